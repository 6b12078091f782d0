"""Recordings as Parquet: the same rows, in columns."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from hub.client import Cause
from hub.client.recording import (
    Begin,
    End,
    Recovered,
    Reset,
    Row,
    Snapshot,
    Turned,
    Update,
    encode_row,
)
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from tests.cli.conftest import Command, RunningHub
from tests.cli.test_record import has_snapshots, publish, recording, stop
from tests.support.parquet import pyarrow_folder
from tests.support.processes import wait_until
from tests.support.recordings import datas, rows_of, updates_of

AT = Position("e", 7, "00aa11bb")
EVERY: list[Row] = [
    Begin(at=1_000_000, version=1, channels=("c", "d"), source="hub", tapecast="0.1.0"),
    Snapshot(at=2, channel="c", kind=Kind.LOG, epoch="e", seq=7, tag="00aa11bb", ts=5,
             data=msgspec.Raw(b'{"entries":[]}')),
    Update(at=3, channel="c", event="x", ts=6, epoch="e", seq=8, tag="0",
           data=msgspec.Raw(b'{"n":1.10}')),
    Update(at=3, channel="c", event="x", ts=6, epoch="e", seq=10, tag="0", prev=8, skipped=1,
           data=msgspec.Raw(b"12345678901234567890.10")),
    Update(at=3, channel="c", event="x", ts=6, data=msgspec.Raw('"foreign, ü"'.encode())),
    Reset(at=4, channel="c", cause=Cause.MISSED, last=AT),
    Recovered(at=5, channel="c", since=AT),
    Turned(at=6, channel="c", state=ChannelState.STALE, since=6),
    Turned(at=6, channel="c", state=ChannelState.LIVE),
    End(at=9),
]  # fmt: skip
CONVERT = """\
import sys
from pathlib import Path
from hub.cli.parquet import lines_to_read, read, write
from hub.client.recording import read_rows

given, made, back = map(Path, sys.argv[1:])
with given.open("rb") as lines:
    write(read_rows(lines), made)
with lines_to_read(made) as lines:
    back.write_bytes(lines.read_bytes())
"""
LOOK = """\
import json, sys
from pyarrow import parquet
table = parquet.read_table(sys.argv[1])
print(json.dumps({"types": [str(t) for t in table.schema.types], "rows": table.num_rows,
                  "names": table.schema.names}))
"""


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    """Where pyarrow is."""
    return {"PYTHONPATH": str(pyarrow_folder())}


def run(program: str, environ: dict[str, str], *arguments: object) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**Command(environ).environ, "PYTHONPATH": environ["PYTHONPATH"]},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_row_comes_back_as_it_was(environ: dict[str, str], tmp_path: Path) -> None:
    """Byte for byte, over more rows than are written in one go; moments are typed as such."""
    given, made, back = (tmp_path / name for name in ("a.jsonl", "b.parquet", "c.jsonl"))
    given.write_bytes(b"".join(map(encode_row, EVERY)) + encode_row(EVERY[2]) * 25_000)
    run(CONVERT, environ, given, made, back)
    assert back.read_bytes() == given.read_bytes()
    assert not list(tmp_path.glob("b.parquet.*"))
    seen: dict[str, Any] = json.loads(run(LOOK, environ, made))
    assert seen["rows"] == len(EVERY) + 25_000
    types = dict(zip(seen["names"], seen["types"], strict=True))
    assert types["ts"] == types["at"] == "timestamp[us, tz=UTC]"
    assert types["data"] == "string"


def test_a_recording_is_made_gone_on_with_and_played(
    hub: RunningHub, environ: dict[str, str], tmp_path: Path
) -> None:
    """Lines stand beside it while it is recorded, and after a kill; every command reads it."""
    out, lines = tmp_path / "day.parquet", tmp_path / "day.parquet.jsonl"
    client = hub.client()
    client.environ |= environ
    with recording(client, hub, "redis", out, "decisions") as process:
        wait_until(lambda: has_snapshots(lines), "the snapshot")
        publish(hub, "decisions", range(10))
        wait_until(lambda: len(updates_of(lines, "decisions")) == 10, "the entries")
        assert not out.exists()
        stop(process)
    assert out.exists()
    assert not lines.exists()
    publish(hub, "decisions", range(10, 20))
    with recording(client, hub, "redis", out, "decisions") as process:
        wait_until(lambda: lines.exists() and len(updates_of(lines, "decisions")) == 20, "more")
        process.send_signal(signal.SIGKILL)
        process.wait()
    publish(hub, "decisions", range(20, 30))
    with recording(client, hub, "redis", out, "decisions") as process:
        wait_until(lambda: len(updates_of(lines, "decisions")) == 30, "all of them")
        recorded = rows_of(lines)
        assert datas(updates_of(lines, "decisions")) == list(range(30))
        stop(process)
    ts = next(row.ts for row in recorded if isinstance(row, Update) and row.seq == 15)
    past = client.run("replay", "decisions", "--at", str(ts), "--file", str(out), "--json")
    assert past.returncode == 0, past.stderr
    assert json.loads(past.stdout)["position"]["seq"] == 15
    arguments = ["--speed", "max", "--map", "decisions=again", "--redis", hub.redis_url]
    played = client.run("play", str(out), *arguments)
    assert played.returncode == 0, played.stderr
    with redis.Redis.from_url(hub.redis_url) as link:
        entries: Any = link.xrange("tapecast:{again}:log")
    assert [json.loads(fields[b"e"])["data"] for _, fields in entries] == list(range(30))


def test_without_pyarrow_it_says_what_to_install(alone: Command, tmp_path: Path) -> None:
    """Before anything is recorded."""
    alone.environ["TAPECAST_TOKEN"] = "x"
    done = alone.run("record", "decisions", "--out", str(tmp_path / "day.parquet"))
    assert done.returncode == 1
    assert "pip install 'tapecast[parquet]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_recording_is_refused(
    alone: Command, environ: dict[str, str], tmp_path: Path
) -> None:
    """Another file of that name, and a Parquet file of other columns."""
    alone.environ |= environ
    other = tmp_path / "other.parquet"
    make = "import sys, pyarrow; from pyarrow import parquet; "
    make += "parquet.write_table(pyarrow.table({'a': [1]}), sys.argv[1])"
    run(make, environ, other)
    text = tmp_path / "text.parquet"
    text.write_text("text")
    for file, said in ((other, "expected the columns of a recording"), (text, "in Parquet")):
        done = alone.run("replay", "decisions", "--at", "1h", "--file", str(file))
        assert done.returncode == 1
        assert said in done.stderr
