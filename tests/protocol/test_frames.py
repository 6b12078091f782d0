"""What the hub says to a client, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from hub.protocol import frames
from hub.protocol.agent_commands import CommandReceipt
from hub.protocol.codes import TABLE
from hub.protocol.envelope import Envelope, Foreign, decode_envelope
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from tests.support.vectors import vectors

FRAMES = vectors("frames")["frames"]
CHAINS = {chain["name"]: chain for chain in vectors("envelopes")["chains"]}


def _entries(name: str, count: int) -> Iterable[Envelope]:
    chain = CHAINS[name]
    return [
        decode_envelope(chain["channel"], entry["text"].encode())
        for entry in chain["entries"][:count]
    ]


def _encoded(rows: dict[str, str]) -> dict[str, bytes]:
    return {key: row.encode() for key, row in rows.items()}


_READ: dict[str, Callable[[Any], dict[str, Any]]] = {
    "position": lambda it: {"position": msgspec.convert(it, Position)},
    "receipt": lambda it: {"receipt": msgspec.convert(it, CommandReceipt)},
    "kind": lambda it: {"kind": Kind(it)},
    "state": lambda it: {"state": ChannelState(it)},
    "code": lambda it: {"code": next(code for code in TABLE if code.number == it)},
    "rows": lambda it: {"data": frames.snapshot_rows(_encoded(it))},
    "entries": lambda it: {"data": frames.snapshot_entries(_entries(*it))},
    "data": lambda it: {"data": it.encode()},
}


def _arguments(frame: str, given: dict[str, Any]) -> dict[str, Any]:
    if frame == "foreign":
        message = Foreign(given["event"], given["data"].encode())
        return {"channel": given["channel"], "message": message, "ts": given["ts"]}
    arguments: dict[str, Any] = {}
    if "upsert" in given:
        arguments["data"] = frames.update_rows(_encoded(given["upsert"]), given["delete"])
    for name, value in given.items():
        if name not in ("upsert", "delete"):
            arguments |= _READ.get(name, lambda it, name=name: {name: it})(value)
    return arguments


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: str(case["frame"]))
def test_frames_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    """Each frame is written byte for byte as the clients of every language read it."""
    write = getattr(frames, case["frame"])
    text = write(**_arguments(case["frame"], case["args"]))
    assert text.decode() == case["text"]


def test_every_frame_has_a_vector() -> None:
    """No frame is left out of the vectors; what builds a part of one is no frame."""
    parts = {"snapshot_rows", "snapshot_entries", "update_rows"}
    writers = {
        name
        for name, value in vars(frames).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", "") == frames.__name__
        and not isinstance(value, type)
    }
    assert writers - parts == {case["frame"] for case in FRAMES}
