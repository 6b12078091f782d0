"""The load generator against a small server whose every step the test decides."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.typing import Subprotocol

from benchmarks import load
from benchmarks.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.http11 import Request, Response

pytestmark = pytest.mark.skipif(load.compiler() is None, reason="there is no C compiler")

WELCOME = '{"type":"welcome","session":"s","heartbeat_ms":5000,"version":"0"}'
REPLY = '{"id":1,"result":{"channel":"portfolio","epoch":"e","seq":1,"tag":"9fa3c01b"}}'
SNAPSHOT = (
    '{"channel":"portfolio","type":"snapshot","epoch":"e","seq":1,"tag":"9fa3c01b",'
    '"ts":1,"data":%s}'
)
UPDATE = (
    '{"channel":"portfolio","type":"update","event":"portfolio_update","epoch":"e","seq":2,'
    '"tag":"0b1c2d3e","ts":%d,"data":{"equity":"1.00"}}'
)

SUBPROTOCOL = Subprotocol("tapecast.v1")

Subscribed = Callable[[ServerConnection], Awaitable[None]]


async def answer(connection: ServerConnection) -> None:
    """Answer a subscribe as the hub does."""
    await connection.send(REPLY)
    await connection.send(SNAPSHOT % "{}")


@asynccontextmanager
async def served(
    subscribed: Subscribed = answer, refuse: Callable[[Request], bool] = lambda _: False
) -> AsyncIterator[tuple[int, set[ServerConnection]]]:
    """A server that calls `subscribed` for each subscribe; gives its port and its connections."""
    connections: set[ServerConnection] = set()

    async def converse(connection: ServerConnection) -> None:
        connections.add(connection)
        await connection.send(WELCOME)
        command = json.loads(await connection.recv())
        assert command == {"id": 1, "method": "subscribe", "params": {"channel": "portfolio"}}
        await subscribed(connection)
        await connection.wait_closed()

    def check(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n") if refuse(request) else None

    async with serve(
        converse,
        "127.0.0.1",
        0,
        process_request=check,
        subprotocols=[SUBPROTOCOL],
        compression=None,
        ping_interval=None,
    ) as server:
        yield server.sockets[0].getsockname()[1], connections


async def storm(port: int, connections: int, **plan: object) -> load.Report:
    """Run a storm while this loop serves it."""
    return await asyncio.to_thread(
        load.storm,
        load.Plan(port=port, connections=connections, **plan),  # type: ignore[arg-type]
    )


async def test_every_connection_becomes_ready() -> None:
    """A storm reports each connection and each frame, from more than one source address."""
    async with served() as (port, connections):
        report = await storm(port, 50, concurrency=7, source_addresses=3)
        peers = {connection.remote_address[0] for connection in connections}
    assert (report.phase, report.connections, report.ready) == ("storm", 50, 50)
    assert (report.failures, report.first_failure) == ({}, "")
    assert report.frames == 3 * 50
    assert report.delay_us is not None
    assert report.delay_us.count == 50
    assert report.delay_us.p50 <= report.delay_us.p99 <= report.delay_us.max
    assert peers == {"127.0.0.1", "127.0.0.2", "127.0.0.3"}


async def test_so_many_in_flight_and_no_more() -> None:
    """As many connections as `concurrency` says wait for their snapshot at a time."""
    waiting, most = 0, 0
    together = asyncio.Barrier(4)

    async def in_fours(connection: ServerConnection) -> None:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await together.wait()
        waiting -= 1
        await answer(connection)

    async with served(in_fours) as (port, _):
        assert (await storm(port, 28, concurrency=4)).ready == 28
    assert most == 4


async def test_tokens_are_taken_in_turn(tmp_path: Path) -> None:
    """Connections bring the file's tokens one after the other, and start again at its end."""
    seen: list[str] = []

    def note(request: Request) -> bool:
        seen.append(request.headers["Authorization"])
        return False

    tokens = tmp_path / "tokens"
    tokens.write_text("first\n\nsecond\n")
    async with served(refuse=note) as (port, _):
        assert (await storm(port, 4, tokens=tokens)).ready == 4
    assert sorted(seen) == ["Bearer first"] * 2 + ["Bearer second"] * 2


async def test_a_large_snapshot_arrives_in_parts() -> None:
    """A frame that takes many reads is put together again."""
    data = json.dumps("x" * 200_000)

    async def largely(connection: ServerConnection) -> None:
        await connection.send(REPLY)
        await connection.send(SNAPSHOT % data)

    async with served(largely) as (port, _):
        report = await storm(port, 3)
    assert report.ready == 3
    assert report.bytes == 3 * len(WELCOME + REPLY + SNAPSHOT % data)


@pytest.mark.parametrize("spin_us", [0, 200])
async def test_windows_count_updates_and_their_delay(spin_us: int) -> None:
    """A window counts what was received since the last one, and how old it was."""

    def hold(port: int) -> tuple[load.Report, Sequence[load.Report]]:
        plan = load.Plan(port=port, connections=10, latency=True, spin_us=spin_us)
        with load.hold(plan) as held:
            quiet = held.window()
            loop.call_soon_threadsafe(publish)
            windows = [held.window()]
            while sum(window.updates for window in windows) < 10:
                windows.append(held.window())
        return quiet, windows

    async with served() as (port, connections):
        loop = asyncio.get_running_loop()

        def publish() -> None:
            broadcast(connections, UPDATE % (time.time_ns() // 1000))

        quiet, windows = await asyncio.to_thread(hold, port)
    assert (quiet.phase, quiet.ready, quiet.frames, quiet.delay_us) == ("hold", 10, 0, None)
    assert sum(window.updates for window in windows) == 10
    delays = [window.delay_us for window in windows if window.delay_us is not None]
    assert sum(delay.count for delay in delays) == 10
    assert max(delay.max for delay in delays) < 60_000_000


async def test_pings_are_answered() -> None:
    """A server that counts on pongs keeps its connections."""

    async def after_pong(connection: ServerConnection) -> None:
        await (await connection.ping(b"are you there"))
        await answer(connection)

    async with served(after_pong) as (port, _):
        assert (await storm(port, 5)).ready == 5


async def test_connections_share_channels_in_turn() -> None:
    """With two channels every second connection subscribes to the same one."""
    channels: list[str] = []

    async def converse(connection: ServerConnection) -> None:
        await connection.send(WELCOME)
        channels.append(json.loads(await connection.recv())["params"]["channel"])
        await answer(connection)
        await connection.wait_closed()

    async with serve(converse, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], compression=None) as at:
        port = at.sockets[0].getsockname()[1]
        assert (await storm(port, 4, channels=2)).ready == 4
    assert sorted(channels) == ["portfolio:0", "portfolio:0", "portfolio:1", "portfolio:1"]


async def test_socketio_is_spoken() -> None:
    """Opened, connected and subscribed in Socket.IO's words; pings are answered, events counted."""

    async def converse(connection: ServerConnection) -> None:
        assert connection.request is not None
        assert connection.request.path == "/socket.io/?EIO=4&transport=websocket"
        await connection.send('0{"sid":"a","upgrades":[],"pingInterval":25000}')
        assert await connection.recv() == "40"
        await connection.send('40{"sid":"b"}')
        assert await connection.recv() == '420["subscribe",{"channel":"portfolio"}]'
        await connection.send("2")
        assert await connection.recv() == "3"
        await connection.send('430[{"channel":"portfolio"}]')
        await connection.send('42["snapshot",{"channel":"portfolio","type":"snapshot"}]')
        await connection.send(f'42["update",{UPDATE % (time.time_ns() // 1000)}]')
        await connection.wait_closed()

    def hold(port: int) -> tuple[load.Report, load.Report]:
        path = "/socket.io/?EIO=4&transport=websocket"
        plan = load.Plan(port, 3, path=path, dialect="socketio", latency=True)
        with load.hold(plan) as held:
            window = held.window()
            while held.storm.updates + window.updates < 3:
                window = held.window()
            return held.storm, window

    async with serve(converse, "127.0.0.1", 0, compression=None) as at:
        port = at.sockets[0].getsockname()[1]
        storm_report, _ = await asyncio.to_thread(hold, port)
    assert (storm_report.ready, storm_report.first_failure) == (3, "")


async def test_listening_is_enough() -> None:
    """Where nothing is sent to subscribe, the first frame makes a connection ready."""

    async def converse(connection: ServerConnection) -> None:
        await connection.send(SNAPSHOT % "{}")
        await connection.wait_closed()

    async with serve(converse, "127.0.0.1", 0, compression=None) as at:
        port = at.sockets[0].getsockname()[1]
        report = await storm(port, 3, dialect="listen")
    assert (report.ready, report.frames) == (3, 3)


@pytest.mark.parametrize(("compression", "ready"), [("deflate", 3), (None, 0)])
async def test_compression_is_offered(compression: str | None, ready: int) -> None:
    """Compressed frames count like others; a server that does not agree is a failure."""

    async def converse(connection: ServerConnection) -> None:
        await connection.recv()
        await answer(connection)
        await connection.wait_closed()

    async with serve(
        converse, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], compression=compression
    ) as at:
        report = await storm(at.sockets[0].getsockname()[1], 3, deflate=True)
    assert report.ready == ready
    if not ready:
        assert report.first_failure == "permessage-deflate was offered and not taken"


async def refuse_subscription(connection: ServerConnection) -> None:
    """Answer with an error."""
    await connection.send('{"id":1,"error":{"code":4403,"message":"not yours","retry":false}}')


async def close_at_once(connection: ServerConnection) -> None:
    """Close with a code."""
    await connection.close(4503, "full")


async def reply_alone(connection: ServerConnection) -> None:
    """Answer, and send no snapshot."""
    await connection.send(REPLY)


@pytest.mark.parametrize(
    ("subscribed", "kind", "words"),
    [
        (refuse_subscription, "subscribe", "not yours"),
        (close_at_once, "lost", "close 4503 full"),
        (reply_alone, "timeout", "waited for the snapshot"),
    ],
)
async def test_failures_are_counted_by_kind(subscribed: Subscribed, kind: str, words: str) -> None:
    """A connection that fails is counted under its reason, with the words of the first."""
    async with served(subscribed) as (port, _):
        report = await storm(port, 5, timeout_seconds=1.0)
    assert (report.ready, report.failures) == (0, {kind: 5})
    assert words in report.first_failure


async def test_a_refused_handshake_is_a_failure() -> None:
    """The status line of another answer than 101 is reported."""
    async with served(refuse=lambda _: True) as (port, _):
        report = await storm(port, 5)
    assert report.failures == {"handshake": 5}
    assert report.first_failure == "HTTP/1.1 401 Unauthorized"


async def test_a_lost_connection_shows_in_its_window() -> None:
    """A connection that the server closes while it is held is no longer ready."""

    def hold(port: int) -> tuple[load.Report, load.Report]:
        with load.hold(load.Plan(port=port, connections=2)) as held:
            asyncio.run_coroutine_threadsafe(close_one(), loop).result()
            window = held.window()
            while not window.failures:
                window = held.window()
            return held.storm, window

    async with served() as (port, connections):
        loop = asyncio.get_running_loop()

        async def close_one() -> None:
            await connections.pop().close(1001, "bye")

        storm_report, window = await asyncio.to_thread(hold, port)
    assert storm_report.ready == 2
    assert (window.ready, window.failures) == (1, {"lost": 1})
    assert window.first_failure == "close 1001 bye"


def test_no_server_is_a_failure_to_connect() -> None:
    """Where nobody listens, every connection fails with the system's reason."""
    report = load.storm(load.Plan(port=free_port(), connections=3))
    assert (report.ready, report.failures) == (0, {"connect": 3})
    assert report.first_failure == "connect: Connection refused"


def test_a_missing_compiler_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a C compiler the error says what to install."""
    monkeypatch.setattr(load, "BUILD", tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(load.LoadError, match="there is no C compiler: install one"):
        load.build()


def test_a_newer_program_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source is compiled once, and again when it changed."""
    monkeypatch.setattr(load, "BUILD", tmp_path / "build")
    source = tmp_path / "one.c"
    source.write_text("int main(void) { return 0; }\n")
    program = load.build(source)
    inode = program.stat().st_ino
    assert load.build(source).stat().st_ino == inode

    source.write_text("int main(void) { return }\n")
    later = program.stat().st_mtime + 10
    os.utime(source, (later, later))
    with pytest.raises(load.LoadError, match=r"could not compile one\.c"):
        load.build(source)
