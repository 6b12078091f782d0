"""`tapecast record`, through a hub and straight from Redis."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from hub.client.recording import Begin, End, Recovered, Reset, Snapshot, Turned
from hub.protocol.streams import Kind
from tests.cli.conftest import Command, RunningHub
from tests.support.processes import DEADLINE_SECONDS, wait_until
from tests.support.recordings import datas, rows_of, updates_of
from tests.support.valkey import Valkey

CHANNELS = ("portfolio", "positions", "decisions")
SOURCES = ["hub", "redis"]


@contextmanager
def recording(
    client: Command, hub: RunningHub, source: str, out: Path, *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    """A recorder that runs for the length of the block, unless it ended before."""
    where = ("--redis", hub.redis_url) if source == "redis" else ()
    with client.start("record", *arguments, *where, "--out", str(out)) as process:
        try:
            yield process
        finally:
            process.kill()


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> None:
    """Ask it to end, and see that it ends well."""
    process.send_signal(number)
    assert process.wait(timeout=DEADLINE_SECONDS) == 0


def publish(hub: RunningHub, channel: str, values: Sequence[object]) -> None:
    """Publish to Redis, whether a hub runs or not."""
    environ = {**hub.client().environ, "TAPECAST_REDIS_URL": hub.redis_url}
    given = "\n".join(json.dumps(value) for value in values).encode()
    done = Command(environ).run("publish", channel, "note", "-", given=given)
    assert done.returncode == 0, done.stderr


def has_snapshots(out: Path, count: int = 1) -> bool:
    """Whether so many snapshots are recorded."""
    return out.exists() and sum(isinstance(row, Snapshot) for row in rows_of(out)) >= count


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_is_recorded_with_position_and_time(
    hub: RunningHub, source: str, tmp_path: Path
) -> None:
    """First the state, then each change, its data byte for byte as it was published."""
    out = tmp_path / "day.jsonl"
    publish(hub, "portfolio", [{"equity": "10.00"}])
    with recording(hub.client(), hub, source, out, *CHANNELS) as process:
        wait_until(lambda: has_snapshots(out, 3), "the snapshots")
        publish(hub, "portfolio", [{"equity": "10.10", "n": 1.50}])
        publish(hub, "positions", [{"upsert": {"a": {"size": "0.10"}}}, {"delete": ["a"]}])
        publish(hub, "decisions", [{"id": n} for n in range(20)])
        wait_until(lambda: len(updates_of(out, "decisions")) == 20, "the entries")
        stop(process)
    begin, *_, end = rows_of(out)
    assert isinstance(begin, Begin)
    assert (begin.channels, begin.source) == (CHANNELS, source)
    assert isinstance(end, End)
    states = {row.channel: row for row in rows_of(out) if isinstance(row, Snapshot)}
    assert bytes(states["portfolio"].data) == b'{"equity":"10.00"}'
    assert {row.channel: row.kind for row in states.values()} == {
        "portfolio": Kind.VALUE, "positions": Kind.TABLE, "decisions": Kind.LOG,
    }  # fmt: skip
    (value,) = updates_of(out, "portfolio")
    assert bytes(value.data) == b'{"equity":"10.10","n":1.5}'
    rows = [bytes(row.data) for row in updates_of(out, "positions")]
    assert rows == [
        b'{"upsert":{"a":{"size":"0.10"}},"delete":[]}', b'{"upsert":{},"delete":["a"]}',
    ]  # fmt: skip
    entries = updates_of(out, "decisions")
    assert [row.seq for row in entries] == list(range(1, 21))
    assert datas(entries) == [{"id": n} for n in range(20)]
    with redis.Redis.from_url(hub.redis_url) as link:
        stored = [json.loads(f[b"e"]) for _, f in link.xrange("tapecast:{decisions}:log")]
    assert [(e["epoch"], e["tag"], e["ts"], e["event"]) for e in stored] == [
        (row.epoch, row.tag, row.ts, row.event) for row in entries
    ]


def test_nothing_is_lost_while_the_hub_is_killed(hub: RunningHub, tmp_path: Path) -> None:
    """kill -9 and a new hub at its place: what was missed follows, each entry once."""
    out = tmp_path / "day.jsonl"
    with recording(hub.client(), hub, "hub", out, "decisions") as process:
        wait_until(lambda: has_snapshots(out), "the snapshot")
        for turn in range(2):
            publish(hub, "decisions", range(turn * 100, turn * 100 + 50))
            hub.kill()
            publish(hub, "decisions", range(turn * 100 + 50, turn * 100 + 100))
            hub.start()
            wait_until(
                lambda turn=turn: len(updates_of(out, "decisions")) == turn * 100 + 100,  # type: ignore[misc]
                "every entry",
            )
        stop(process, signal.SIGTERM)
    assert datas(updates_of(out, "decisions")) == list(range(200))
    assert any(isinstance(row, Recovered) for row in rows_of(out))
    assert not any(isinstance(row, Reset) for row in rows_of(out))


@pytest.mark.parametrize("source", SOURCES)
def test_a_channel_may_turn_out_to_be_of_another_kind(
    hub: RunningHub, source: str, tmp_path: Path
) -> None:
    """Its first publish came while the recorder was away, which had taken it for a log: it used to
    be played as one."""
    out = tmp_path / "day.jsonl"
    with recording(hub.client(), hub, source, out, "orders") as process:
        wait_until(lambda: has_snapshots(out), "the snapshot")
        stop(process)
    hub.kill()
    config = tmp_path / "tapecast.toml"
    config.write_text('[streams.orders]\nkind = "table"\n')
    writer = Command({**hub.client().environ, "TAPECAST_REDIS_URL": hub.redis_url})
    for row in (1, 2):
        change = f'{{"upsert":{{"a":{row}}}}}'
        done = writer.run("publish", "orders", "e", change, "--config", str(config))
        assert done.returncode == 0, done.stderr
    hub.start()
    with recording(hub.client(), hub, source, out, "orders") as process:
        wait_until(lambda: [u.seq for u in updates_of(out, "orders")][-1:] == [2], "both changes")
        stop(process)
    kinds = [row.kind for row in rows_of(out) if isinstance(row, Snapshot)]
    assert kinds == [Kind.LOG, Kind.TABLE]
    newest = updates_of(out, "orders")[-1].ts
    told = writer.run("replay", "orders", "--file", str(out), "--at", str(newest), "--json")
    assert json.loads(told.stdout)["data"] == {"rows": {"a": 2}}


@pytest.mark.parametrize("source", SOURCES)
def test_a_recorder_that_was_killed_goes_on_in_its_file(
    hub: RunningHub, source: str, tmp_path: Path
) -> None:
    """A line that it was writing is taken back, and what it missed is there once, in order."""
    out = tmp_path / "day.jsonl"
    client = hub.client()
    with recording(client, hub, source, out, "decisions") as process:
        wait_until(lambda: has_snapshots(out), "the snapshot")
        publish(hub, "decisions", range(50))
        wait_until(lambda: len(updates_of(out, "decisions")) > 10, "some entries")
        process.kill()
        process.wait()
    with out.open("ab") as file:
        file.write(b'{"type":"update","at":17')
    publish(hub, "decisions", range(50, 100))
    with recording(client, hub, source, out, "decisions", "alerts") as process:
        wait_until(lambda: len(updates_of(out, "decisions")) == 100, "every entry")
        publish(hub, "decisions", [100])
        wait_until(lambda: len(updates_of(out, "decisions")) == 101, "one more")
        stop(process)
    assert datas(updates_of(out, "decisions")) == list(range(101))
    assert sum(isinstance(row, Begin) for row in rows_of(out)) == 2
    assert sum(isinstance(row, Recovered) for row in rows_of(out)) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_what_cannot_be_had_again_is_said(hub: RunningHub, source: str, tmp_path: Path) -> None:
    """A history that was lost while nobody recorded: a reset, and the state of the new one."""
    out = tmp_path / "day.jsonl"
    client = hub.client()
    publish(hub, "decisions", [1])
    with recording(client, hub, source, out, "decisions") as process:
        wait_until(lambda: has_snapshots(out), "the snapshot")
        stop(process)
    with redis.Redis.from_url(hub.redis_url) as link:
        link.flushall()
    publish(hub, "decisions", [2])
    with recording(client, hub, source, out, "decisions") as process:
        wait_until(lambda: has_snapshots(out, 2), "the new snapshot")
        with redis.Redis.from_url(hub.redis_url) as link:
            link.flushall()
        publish(hub, "decisions", [3])
        wait_until(lambda: has_snapshots(out, 3), "the next one")
        stop(process)
    rows = [row for row in rows_of(out) if isinstance(row, Snapshot | Reset)]
    assert [type(row) for row in rows] == [Snapshot, Reset, Snapshot, Reset, Snapshot]
    for reset, cause in ((rows[1], "missed"), (rows[3], "history")):
        assert isinstance(reset, Reset)
        assert (reset.cause, reset.last.seq) == (cause, 1)


@pytest.mark.parametrize("source", SOURCES)
def test_foreign_publishes_and_staleness_are_recorded(
    hub: RunningHub, source: str, tmp_path: Path
) -> None:
    """What is in no stream is there too: a bare PUBLISH, and a producer that missed its lease."""
    out = tmp_path / "day.jsonl"
    name = "tapecast:{agent}"
    with (
        recording(hub.client(), hub, source, out, "agent", "--duration", "1h") as process,
        redis.Redis.from_url(hub.redis_url) as link,
    ):
        wait_until(lambda: has_snapshots(out), "the snapshot")
        publish(hub, "agent", [1])
        wait_until(lambda: len(updates_of(out, "agent")) == 1, "the entry")
        link.publish(name, '{"event": "hello", "data": {"n": 1}}')
        wait_until(lambda: len(updates_of(out, "agent")) == 2, "the foreign publish")
        head = link.hmget(f"{name}:meta", "epoch", "seq", "tag")
        link.publish(name, b"~50 " + b" ".join(head))
        wait_until(lambda: any(isinstance(row, Turned) for row in rows_of(out)), "stale")
        stop(process)
    foreign = updates_of(out, "agent")[1]
    assert (foreign.position, foreign.event, bytes(foreign.data)) == (None, "hello", b'{"n":1}')


def test_it_ends_by_itself_and_says_how_much_there_is(hub: RunningHub, tmp_path: Path) -> None:
    """After --duration, with a row that says so."""
    out = tmp_path / "day.jsonl"
    done = hub.client().run("record", "decisions", "--out", str(out), "--duration", "1s")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"{out}: 3 rows, 0 of them changes\n"
    assert [type(row) for row in rows_of(out)] == [Begin, Snapshot, End]


def test_without_the_hub_at_the_end_nothing_is_claimed(hub: RunningHub, tmp_path: Path) -> None:
    """No row `end` where the hub could not say that it had sent everything."""
    out = tmp_path / "day.jsonl"
    with recording(hub.client(), hub, "hub", out, "decisions") as process:
        wait_until(lambda: has_snapshots(out), "the snapshot")
        hub.kill()
        stop(process)
    assert [type(row) for row in rows_of(out)] == [Begin, Snapshot]


def test_what_it_may_not_read_ends_it(hub: RunningHub, tmp_path: Path) -> None:
    """The token's rights hold, and the file is a recording of what came before."""
    out = tmp_path / "day.jsonl"
    done = hub.client(read=["alerts"]).run("record", "decisions", "--out", str(out))
    assert done.returncode == 1
    assert "4403" in done.stderr
    assert [type(row) for row in rows_of(out)] == [Begin]


@pytest.mark.parametrize("content", [b"notes", b"notes\n", b'{"type":"update"}\n'])
def test_no_other_file_is_written_to(alone: Command, content: bytes, tmp_path: Path) -> None:
    """What is no recording stays as it is."""
    out = tmp_path / "notes.txt"
    out.write_bytes(content)
    alone.environ["TAPECAST_TOKEN"] = "x"
    done = alone.run("record", "decisions", "--out", str(out))
    assert done.returncode == 1
    assert str(out) in done.stderr
    assert out.read_bytes() == content


def test_a_file_has_one_recorder(hub: RunningHub, tmp_path: Path) -> None:
    """A second one is refused, and the first goes on."""
    out = tmp_path / "day.jsonl"
    client = hub.client()
    with recording(client, hub, "hub", out, "decisions") as process:
        wait_until(lambda: has_snapshots(out), "the snapshot")
        second = client.run("record", "decisions", "--out", str(out))
        assert second.returncode == 1
        assert "another recorder" in second.stderr
        stop(process)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "x"], "Missing argument"),
        (["decisions"], "Missing option '--out'"),
        (["decisions", "--out", "x", "--redis", "redis://a", "--url", "http://b"], "leave one"),
        (["decisions", "--out", "x"], "TAPECAST_TOKEN"),
        (["decisions", "--out", "x", "--duration", "5"], "expected a duration"),
    ],
)
def test_wrong_use_writes_nothing(
    alone: Command, arguments: list[str], said: str, tmp_path: Path
) -> None:
    """Exit status 2, and what was expected."""
    done = alone.run("record", *[str(tmp_path / "x") if a == "x" else a for a in arguments])
    assert done.returncode == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_redis_that_is_restarted_loses_nothing(durable_valkey: Valkey, tmp_path: Path) -> None:
    """Straight from Redis, killed and started again on its append-only file."""
    out = tmp_path / "day.jsonl"
    hub = RunningHub(durable_valkey)
    with recording(hub.client(), hub, "redis", out, "decisions") as process:
        wait_until(lambda: has_snapshots(out), "the snapshot")
        for turn in range(3):
            publish(hub, "decisions", range(turn * 10, turn * 10 + 10))
            durable_valkey.kill()
            durable_valkey.start()
        publish(hub, "decisions", [30])
        wait_until(lambda: len(updates_of(out, "decisions")) == 31, "every entry")
        stop(process)
    assert datas(updates_of(out, "decisions")) == list(range(31))
