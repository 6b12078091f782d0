"""API keys that are revoked while a connection is open."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.broker.memory import MemoryBroker
from hub.server.keys import add_key, mint_key, revoke_key
from tests.support.livehub import LiveHub


async def test_a_connection_ends_when_its_key_is_revoked(tmp_path: Path) -> None:
    """It was refused to new connections only: a display that was cut off went on to show."""
    path = tmp_path / "keys.json"
    shown, key = mint_key("wall-display", ("*",), (), now=0)
    add_key(path, key)
    settings = {"keys_file": str(path), "heartbeat_seconds": 0.1}
    async with (
        LiveHub(MemoryBroker(), **settings) as live,
        connect(
            live.url.replace("http", "ws") + "/ws",
            additional_headers={"Authorization": f"Bearer {shown}"},
        ) as socket,
    ):
        assert '"heartbeat"' in [await socket.recv(), await socket.recv()][1]
        revoke_key(path, key.id)
        with pytest.raises(ConnectionClosed) as closed:
            await _receive_for_ever(socket)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "the API key was revoked")


async def _receive_for_ever(socket: ClientConnection) -> None:
    while True:
        await socket.recv()
