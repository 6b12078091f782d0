"""`tapecast play`: what was recorded on one Valkey is published to another."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from hub.cli.play import INTERRUPTED
from hub.client.recording import Begin, Row, Snapshot, Update, encode_row
from hub.protocol.streams import Kind
from tests.cli.conftest import Command, RunningHub
from tests.cli.test_record import has_snapshots, recording, stop
from tests.support.processes import DEADLINE_SECONDS, wait_until
from tests.support.recordings import updates_of
from tests.support.valkey import Valkey

CHANNELS = ("portfolio", "positions", "decisions")
START = 1_700_000_000_000_000


class Tape:
    """A recording that is written by hand: changes of three channels, at the times given."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seqs = dict.fromkeys(CHANNELS, 0)
        self._rows: list[Row] = [
            Begin(at=START, version=1, channels=CHANNELS, source="hub", tapecast="0"),
            self._snapshot("portfolio", Kind.VALUE, b'{"equity":"1.00"}'),
            self._snapshot("positions", Kind.TABLE, b'{"rows":{"a":{"size":1.10}}}'),
            self._snapshot("decisions", Kind.LOG, b'{"entries":[]}'),
            self._snapshot("alerts", Kind.LOG, b'{"entries":[]}'),
        ]

    def _snapshot(self, channel: str, kind: Kind, data: bytes) -> Snapshot:
        return Snapshot(at=START, channel=channel, kind=kind, epoch="old", seq=1, tag="",
                        ts=START - 60_000_000, data=msgspec.Raw(data))  # fmt: skip

    def add(self, channel: str, ms: float, data: bytes, event: str = "note") -> None:
        """A change, so many milliseconds after the start."""
        self._seqs[channel] += 1
        ts = START + round(ms * 1000)
        self._rows.append(
            Update(at=ts, channel=channel, event=event, ts=ts, epoch="old",
                   seq=self._seqs[channel], tag="", data=msgspec.Raw(data))
        )  # fmt: skip

    def live(self, channel: str, ms: float, data: bytes) -> None:
        """A foreign publish."""
        ts = START + round(ms * 1000)
        data_ = msgspec.Raw(data)
        self._rows.append(Update(at=ts, channel=channel, event="live", ts=ts, data=data_))

    def write(self) -> Path:
        """The file."""
        self.path.write_bytes(b"".join(map(encode_row, self._rows)))
        return self.path


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    """One that nothing was added to yet."""
    return Tape(tmp_path / "day.jsonl")


@pytest.fixture
def client(valkey: Valkey) -> Command:
    """`tapecast` of a user of this server."""
    return Command({"XDG_RUNTIME_DIR": str(valkey.folder), "TAPECAST_REDIS_URL": valkey.url})


def stored(url: str, *channels: str) -> list[dict[str, Any]]:
    """The envelopes of channels, each in its order; over all of them as they were published, which
    the server's clock tells as long as nobody sets it back."""
    found: list[tuple[int, dict[str, Any]]] = []
    with redis.Redis.from_url(url) as link:
        for channel in channels:
            latest = 0
            entries: Any = link.xrange(f"tapecast:{{{channel}}}:log")
            for _, fields in entries:
                envelope = json.loads(fields[b"e"])
                latest = max(latest, envelope["ts"])
                found.append((latest, envelope))
    found.sort(key=lambda each: each[0])
    return [envelope for _, envelope in found]


def brief(envelopes: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Channel, event and data."""
    return [(e["channel"], e["event"], json.dumps(e["data"])) for e in envelopes]


@contextmanager
def playing(client: Command, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A play that runs for the length of the block, unless it ended before."""
    with client.start("play", *arguments, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("source", ["hub", "redis"])
@pytest.mark.parametrize("through", ["hub", "redis"])
def test_what_was_recorded_is_published_again_in_order(
    hub: RunningHub, source: str, through: str, tmp_path: Path
) -> None:
    """Every change of every channel, with its event and its bytes, in the order over all channels
    in which they were published."""
    out = tmp_path / "day.jsonl"
    client = hub.client()
    writer = Command({**client.environ, "TAPECAST_REDIS_URL": hub.redis_url})
    with recording(client, hub, source, out, *CHANNELS) as process:
        wait_until(lambda: has_snapshots(out, 3), "the snapshots")
        for n in range(3):
            given = b"\n".join(
                b'{"n":%d,"money":"1.%02d0","digits":%d.50}' % (n, m, m) for m in range(30)
            )
            assert writer.run("publish", "decisions", f"round{n}", "-", given=given).returncode == 0
            row = b'{"upsert":{"a%d":{"size":"0.10"}},"delete":["a%d"]}' % (n, n - 1)
            assert writer.run("publish", "positions", "moved", "-", given=row).returncode == 0
            value = b'{"equity":"%d.10"}' % n
            assert writer.run("publish", "portfolio", "valued", "-", given=value).returncode == 0
        wait_until(lambda: len(updates_of(out, "decisions")) == 90, "the entries")
        wait_until(lambda: len(updates_of(out, "portfolio")) == 3, "the values")
        stop(process)
    before = stored(hub.redis_url, *CHANNELS)
    names = [f"--map={channel}=again:{channel}" for channel in CHANNELS]
    with Valkey() as other:
        where = ("--redis", other.url)
        if through == "hub":
            where = ("--url", hub.url)
            names = []
            with redis.Redis.from_url(hub.redis_url) as link:
                link.flushall()
        done = client.run("play", str(out), "--speed", "max", *where, *names)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "97 of 97 published" in done.stderr
        url = hub.redis_url if through == "hub" else other.url
        prefix = "" if through == "hub" else "again:"
        after = stored(url, *(f"{prefix}{channel}" for channel in CHANNELS))
    # The states that it begins with: an empty table was none, and nothing was set before.
    changes = [e for e in after if e["event"] != "snapshot"]
    assert [(c, e, d) for c, e, d in brief(changes)] == [
        (f"{prefix}{c}", e, d) for c, e, d in brief(before)
    ]


def test_data_is_published_byte_for_byte(client: Command, valkey: Valkey, tape: Tape) -> None:
    """No digit of a number is lost, of a state neither."""
    tape.add("portfolio", 0, b'{"equity":"2.00","x":1.10}')
    tape.add("positions", 1, b'{"upsert":{"b":{"size":0.100}},"delete":[]}')
    tape.add("decisions", 2, b'{"price":12345678901234567890.10}')
    assert client.run("play", str(tape.write()), "--speed", "max").returncode == 0
    with redis.Redis.from_url(valkey.url) as link:
        assert link.get("tapecast:{portfolio}:state") == b'{"equity":"2.00","x":1.10}'
        assert link.hgetall("tapecast:{positions}:state") == {
            b"a": b'{"size":1.10}', b"b": b'{"size":0.100}',
        }  # fmt: skip
        (entry,) = link.xrange("tapecast:{decisions}:log")
        assert b'"data":{"price":12345678901234567890.10}' in entry[1][b"e"]


def test_the_time_between_changes_is_kept(client: Command, valkey: Valkey, tape: Tape) -> None:
    """Divided by the speed; nothing comes before its time."""
    for n in range(4):
        tape.add("decisions", n * 600, b"%d" % n)
        tape.add("portfolio", n * 600 + 300, b"%d" % n)
    done = client.run("play", str(tape.write()), "--speed", "10", "--channel", "decisions")
    assert done.returncode == 0
    assert "4 of 4 published" in done.stderr
    times = [e["ts"] for e in stored(valkey.url, "decisions")]
    # The first one may have been late itself.
    assert all(time - times[0] >= n * 60_000 - 50_000 for n, time in enumerate(times))
    assert stored(valkey.url, "portfolio") == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("through", ["hub", "redis"])
def test_interrupted_and_played_again_nothing_is_twice(
    hub: RunningHub, tape: Tape, number: int, through: str
) -> None:
    """Also where it was killed before it had noted what it had published: a state was once set
    back by that. Then all of it is played already, and under another id it is anew."""
    count = 400
    for n in range(count):
        tape.add("decisions", n, b"%d" % n)
        tape.add("portfolio", n + 0.5, b"%d" % n)
    path = str(tape.write())
    client = hub.client()
    where = ("--url", hub.url) if through == "hub" else ("--redis", hub.redis_url)

    def entries() -> list[Any]:
        return [e["data"] for e in stored(hub.redis_url, "decisions")]

    for _ in range(2):
        # Counted from here, so that it is interrupted at its work, and not before it began.
        seen = len(entries())
        with playing(client, path, *where, "--speed", "0.2") as process:
            wait_until(lambda seen=seen: len(entries()) > seen + 50, "some")  # type: ignore[misc]
            process.send_signal(number)
            status = process.wait(timeout=DEADLINE_SECONDS)
            assert status == (INTERRUPTED if number == signal.SIGINT else -number)
    assert len(entries()) < count
    again = client.run("play", path, *where, "--speed", "max")
    assert again.returncode == 0, again.stderr
    assert entries() == list(range(count))
    assert [e["data"] for e in stored(hub.redis_url, "portfolio")] == [
        {"equity": "1.00"}, *range(count),
    ]  # fmt: skip
    done = client.run("play", path, *where, "--speed", "max")
    assert "all of it was played already" in done.stderr
    assert len(entries()) == count
    other = client.run("play", path, *where, "--speed", "max", "--id", "second")
    assert other.returncode == 0
    assert entries() == [*range(count), *range(count)]


def test_a_history_that_was_lost_is_played_from_the_start(
    client: Command, valkey: Valkey, tape: Tape
) -> None:
    """What was noted is of another history, or of another server."""
    for n in range(5):
        tape.add("decisions", n, b"%d" % n)
    path = str(tape.write())
    for _ in range(2):
        assert client.run("play", path, "--speed", "max").returncode == 0
        assert [e["data"] for e in stored(valkey.url, "decisions")] == list(range(5))
        with redis.Redis.from_url(valkey.url) as link:
            link.flushall()


def test_a_part_begins_with_the_state_then(client: Command, valkey: Valkey, tape: Tape) -> None:
    """From a time to a time; a log with its first entry of that time."""
    for n in range(10):
        tape.add("positions", n, b'{"upsert":{"k%d":%d},"delete":[]}' % (n, n))
        tape.add("decisions", n, b"%d" % n)
    begin, end = (str(START + ms * 1000) for ms in (4, 6))
    done = client.run("play", str(tape.write()), "--speed", "max", "--from", begin, "--to", end)
    assert done.returncode == 0
    state, *changes = stored(valkey.url, "positions")
    assert state["event"] == "snapshot"
    assert state["data"]["upsert"].keys() == {"a", "k0", "k1", "k2", "k3"}
    assert [list(e["data"]["upsert"]) for e in changes] == [["k4"], ["k5"], ["k6"]]
    assert [e["data"] for e in stored(valkey.url, "decisions")] == [4, 5, 6]
    portfolio = stored(valkey.url, "portfolio")
    assert [e["data"] for e in portfolio] == [{"equity": "1.00"}]


def test_foreign_publishes_are_played_where_they_can_be(hub: RunningHub, tape: Tape) -> None:
    """In Redis in their place; a hub takes none, which is said."""
    tape.add("decisions", 0, b"0")
    tape.live("decisions", 1, b"1.10")
    tape.add("decisions", 2, b"2")
    path = str(tape.write())
    with redis.Redis.from_url(hub.redis_url) as link, link.pubsub() as heard:
        heard.subscribe("tapecast:{decisions}")
        assert (
            hub.client().run("play", path, "--speed", "max", "--redis", hub.redis_url).returncode
            == 0
        )
        messages = [heard.get_message(timeout=DEADLINE_SECONDS) for _ in range(4)]
        assert [m["data"] for m in messages if m][2] == b'{"event":"live","data":1.10}'
    done = hub.client().run("play", path, "--speed", "max", "--url", hub.url, "--id", "b")
    assert done.returncode == 0
    assert "1 foreign publishes are left out" in done.stderr
    assert [e["data"] for e in stored(hub.redis_url, "decisions")] == [0, 2, 0, 2]


def test_a_large_table_is_played_through_a_hub(hub: RunningHub, tape: Tape) -> None:
    """Its state is larger than a frame may be."""
    rows = b",".join(b'"k%d":{"note":"%b"}' % (n, b"x" * 100) for n in range(2000))
    tape._rows[2] = tape._snapshot("positions", Kind.TABLE, b'{"rows":{%b}}' % rows)
    tape.add("positions", 1, b'{"upsert":{"k0":0},"delete":["k1"]}')
    done = hub.client().run("play", str(tape.write()), "--speed", "max", "--url", hub.url)
    assert done.returncode == 0, done.stderr
    with redis.Redis.from_url(hub.redis_url) as link:
        assert link.hlen("tapecast:{positions}:state") == 1999


@pytest.mark.parametrize("through", ["hub", "redis"])
def test_another_kind_is_refused_before_anything_is_published(
    hub: RunningHub, tape: Tape, through: str
) -> None:
    """A table is not played into a log."""
    tape.add("positions", 0, b'{"upsert":{},"delete":["a"]}')
    client = hub.client()
    writer = Command({**client.environ, "TAPECAST_REDIS_URL": hub.redis_url})
    assert writer.run("publish", "news", "e", "1").returncode == 0
    where = ("--url", hub.url) if through == "hub" else ("--redis", hub.redis_url)
    done = client.run(
        "play", str(tape.write()), *where, "--map", "positions=news", "--speed", "max"
    )
    assert done.returncode == 1
    assert "positions was recorded as a table, and news is a log there" in done.stderr
    assert stored(hub.redis_url, *CHANNELS) == []


@pytest.mark.parametrize("through", ["hub", "redis"])
def test_no_agent_is_commanded_by_a_recording(hub: RunningHub, tape: Tape, through: str) -> None:
    """It is refused before anything is published: a hub used to send each command again."""
    tape.add("portfolio", 0, b'{"equity":"1.10"}')
    tape.add("decisions", 1, b'{"data":{},"id":"c1","sender":"ann"}', "emergency.stop")
    where = ("--url", hub.url) if through == "hub" else ("--redis", hub.redis_url)
    client = hub.client(read=["*"], publish=["*"], command=["*"])
    arguments = ("--map", "decisions=commands:desk-7", "--speed", "max")
    done = client.run("play", str(tape.write()), *where, *arguments)
    assert done.returncode == 1
    assert "decisions is not played to commands:desk-7: commands are given" in done.stderr
    assert stored(hub.redis_url, *CHANNELS, "commands:desk-7") == []


def test_what_must_not_be_published_ends_it(client: Command, valkey: Valkey, tape: Tape) -> None:
    """Nothing after it would be right."""
    tape.add("decisions", 0, b"0")
    tape.add("decisions", 1, b'{"equity":"NaN"}')
    tape.add("decisions", 2, b"2")
    done = client.run("play", str(tape.write()), "--speed", "max", "--channel", "decisions")
    assert done.returncode == 1
    assert "decisions, note: expected a finite number" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nowhere.jsonl"], 2, "does not exist"),
        (["FILE", "--speed", "0"], 2, "expected a number above 0, or max"),
        (["FILE", "--speed", "fast"], 2, "expected a number above 0, or max"),
        (["FILE", "--map", "positions"], 2, "expected OLD=NEW"),
        (["FILE", "--map", "positions=A"], 2, "expected a channel name"),
        (["FILE", "--map", "orders=a"], 1, "expected orders, got alerts, decisions, portfolio"),
        (["FILE", "--map", "positions=portfolio"], 1, "expected one channel to be played to"),
        (["FILE", "--channel", "orders"], 1, "expected orders, got"),
        (["FILE", "--to", "2000-01-01"], 0, "nothing to play in it, or of that time"),
        (["FILE", "--id", "a b"], 2, "--id: expected"),
        (["FILE", "--id", "ä"], 2, "--id: expected"),
        (["FILE", "--channel", "alerts", "--map", "alerts=a"], 0, "nothing to play in it"),
        (["FILE", "--url", "http://a", "--redis", "redis://b"], 2, "leave one out"),
        (["FILE", "--url", "http://a"], 2, "TAPECAST_TOKEN"),
        ([__file__], 1, "expected a row of a recording"),
    ],
)
def test_wrong_use_says_what_was_expected(
    client: Command, tape: Tape, arguments: list[str], status: int, said: str
) -> None:
    """And publishes nothing."""
    tape.add("decisions", 0, b"0")
    path = str(tape.write())
    done = client.run("play", *[path if word == "FILE" else word for word in arguments])
    assert done.returncode == status
    assert said in done.stderr


def test_a_redis_that_is_away_ends_it(tape: Tape, alone: Command) -> None:
    """It says which one was meant."""
    done = alone.run("play", str(tape.write()), "--redis", "unix:///nowhere")
    assert done.returncode == 1
    assert "--redis or TAPECAST_REDIS_URL" in done.stderr
    broken = tape.path.with_name("day.jsonl.played")
    broken.write_text("x")
    done = alone.run("play", str(tape.path))
    assert done.returncode == 2
    assert "expected how far a recording was played" in done.stderr
    empty = tape.path.with_name("empty.jsonl")
    empty.touch()
    assert "it is empty" in alone.run("play", str(empty)).stderr
