"""What a channel showed at a time, against a model that remembers every state."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.client import Cause, recording
from hub.client.past import FromEntries, FromRecording, Past, UnknownPast
from hub.client.recording import (
    VERSION,
    Begin,
    End,
    RecordingError,
    Recovered,
    Reset,
    Row,
    Snapshot,
    Turned,
    Update,
)
from hub.protocol.envelope import Envelope, encode_envelope
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind

START = 1_000
END = 2_000
"""When the channel was read."""
CHANNEL = "c"


class Channel:
    """A channel and each state that it ever had, by the time since which."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.position = Position("e", 0, "")
        self.entries: list[Envelope] = []
        self.states: list[Any] = []
        self.rows: dict[str, Any] = {}

    def publish(self, data: Any) -> None:
        """The next change, ten microseconds later."""
        ts = START + 10 * self.position.seq
        raw = json.dumps(data, separators=(",", ":")).encode()
        entry = encode_envelope(CHANNEL, "e", self.position, ts, raw)
        self.entries.append(entry)
        self.position = entry.position
        if self.kind is Kind.TABLE:
            self.rows = {**self.rows, **data["upsert"]}
            for key in data["delete"]:
                self.rows.pop(key, None)
            self.states.append({"rows": self.rows})
        elif self.kind is Kind.VALUE:
            self.states.append(data)
        else:
            self.states.append({"entries": [
                {"seq": e.seq, "event": "e", "ts": e.ts, "data": json.loads(e.data)}
                for e in self.entries
            ]})  # fmt: skip

    def reading(self) -> ChannelReading:
        """What there is now."""
        rows = {key: json.dumps(row).encode() for key, row in self.rows.items()}
        return ChannelReading(CHANNEL, self.position, self.kind, rows=rows)

    def past(self, at: int, *, kept: int, history: int = 300) -> Past:
        """What is known of a time where so many entries are kept."""
        found = FromEntries(self.reading(), at, history, END)
        found.take(self.entries[-kept:])
        assert found.complete
        return found.result()


def read(past: Past) -> Any:
    """The decoded state."""
    return msgspec.json.decode(past.data)


CHANGES = st.builds(
    lambda upsert, delete: {"upsert": upsert, "delete": sorted(delete - upsert.keys())},
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), max_size=3),
    st.sets(st.sampled_from("abcdef"), max_size=2),
)


@given(changes=st.lists(CHANGES, min_size=1, max_size=25), kept=st.integers(1, 25), data=st.data())
def test_a_table_of_then_is_told_as_far_as_it_can_be_known(
    changes: list[Any], kept: int, data: st.DataObject
) -> None:
    """Every row that is told is as it was, none is left out in silence, and what is kept decides
    whether it is exact."""
    channel = Channel(Kind.TABLE)
    for change in changes:
        channel.publish(change)
    kept = min(kept, len(changes))
    n = data.draw(st.integers(len(changes) - kept, len(changes) - 1))
    past = channel.past(START + 10 * n + data.draw(st.integers(0, 9)), kept=kept)
    then, told = channel.states[n]["rows"], read(past)["rows"]
    assert past.position == channel.entries[n].position
    assert told.items() <= then.items()
    assert set(past.unknown) >= then.keys() - told.keys()
    assert past.exact == (not past.unknown)
    if kept == len(changes):
        assert past.exact


@pytest.mark.parametrize("kind", [Kind.VALUE, Kind.LOG])
@pytest.mark.parametrize("kept", [10, 4])
def test_values_and_logs_of_then(kind: Kind, kept: int) -> None:
    """A value is known where its entry is kept; a log where its whole history is."""
    channel = Channel(kind)
    for n in range(10):
        channel.publish({"n": n})
    for n in range(10 - kept, 10):
        past = channel.past(START + 10 * n + 9, kept=kept, history=3)
        assert past.position == channel.entries[n].position
        assert past.proved == kept
        assert past.stale is None
        if kind is Kind.VALUE:
            assert (read(past), past.exact) == ({"n": n}, True)
        else:
            shown = [entry["seq"] for entry in read(past)["entries"]]
            oldest = max(1, n - 1, 11 - kept)
            assert shown == list(range(oldest, n + 2))
            assert past.exact == (len(shown) == 3 or kept == 10)
    with pytest.raises(UnknownPast, match="before the oldest"):
        channel.past(START + 10 * (10 - kept) - 1, kept=kept)


def test_entries_that_are_not_chained_to_now_do_not_count() -> None:
    """After a hole the older ones prove nothing; without a way to the head nothing is known."""
    channel = Channel(Kind.VALUE)
    for n in range(10):
        channel.publish(n)
    found = FromEntries(channel.reading(), START + 95, 1, END)
    found.take(channel.entries[:3])
    found.take(channel.entries[5:])
    assert found.result().proved == 5
    found = FromEntries(channel.reading(), START + 15, 1, END)
    found.take([*channel.entries[:3], *channel.entries[5:]])
    with pytest.raises(UnknownPast) as unknown:
        found.result()
    assert unknown.value.first == START + 50
    found = FromEntries(channel.reading(), START + 15, 1, END)
    assert not found.complete
    found.take(channel.entries[:5])
    with pytest.raises(UnknownPast, match="do not lead"):
        found.result()


def test_the_future_is_not_known() -> None:
    """Though nothing was published yet that it could be told from; the newest entry may be of a
    clock that is ahead of the reader's. It used to be called exact."""
    channel = Channel(Kind.VALUE)
    channel.publish(1)
    assert read(channel.past(END, kept=1)) == 1
    with pytest.raises(UnknownPast, match="still to come") as unknown:
        channel.past(END + 1, kept=1)
    assert (unknown.value.first, unknown.value.last) == (START, END)
    for n in range(200):
        channel.publish(n)
    assert channel.entries[-1].ts > END
    assert read(channel.past(channel.entries[-1].ts, kept=201)) == 199


def test_what_came_after_the_state_was_read_is_left_out() -> None:
    """The state and the entries are read one after the other."""
    channel = Channel(Kind.TABLE)
    channel.publish({"upsert": {"a": 1}, "delete": []})
    found = FromEntries(channel.reading(), START, 1, END)
    channel.publish({"upsert": {"a": 2}, "delete": []})
    found.take(channel.entries)
    assert read(found.result()) == {"rows": {"a": 1}}


@pytest.mark.parametrize(
    ("kind", "shown"),
    [(Kind.VALUE, None), (Kind.TABLE, {"rows": {}})],
)
def test_poison_is_told_as_a_hub_shows_it(kind: Kind, shown: Any) -> None:
    """What somebody wrote by hand reached no screen."""
    channel = Channel(kind)
    entry = encode_envelope(CHANNEL, "e", channel.position, START, b'{"equity":"NaN"}')
    channel.entries, channel.position = [entry], entry.position
    assert read(channel.past(START, kept=1)) == shown


# From a recording


def rows_of(channel: Channel, first: int, *, end: int | None) -> list[Row]:
    """A recording that began after so many changes; `at` is the time of what it heard."""
    head = channel.entries[first - 1]
    begin = Begin(at=head.ts + 1, version=VERSION, channels=(CHANNEL,), source="hub", tapecast="0")
    data = msgspec.Raw(json.dumps(channel.states[first - 1]).encode())
    at = head.position
    rows: list[Row] = [
        begin,
        Snapshot(at=head.ts + 2, channel=CHANNEL, kind=channel.kind, epoch=at.epoch, seq=at.seq,
                 tag=at.tag, ts=head.ts, data=data),
        *(update(entry) for entry in channel.entries[first:]),
    ]  # fmt: skip
    return rows if end is None else [*rows, End(at=end)]


def update(entry: Envelope, **more: Any) -> Update:
    """The row of an entry."""
    at = entry.position
    return Update(
        at=entry.ts + 1, channel=CHANNEL, event=entry.event, ts=entry.ts, epoch=at.epoch,
        seq=at.seq, tag=at.tag, data=msgspec.Raw(entry.data), **more,
    )  # fmt: skip


def replay(rows: list[Row], at: int, history: int = 300) -> Past:
    """What a recording says."""
    found = FromRecording(CHANNEL, at, history)
    for row in rows:
        found.take(row)
    return found.result()


def filled(kind: Kind, count: int = 10) -> Channel:
    """A channel of so many changes."""
    channel = Channel(kind)
    for n in range(count):
        rows = {"upsert": {f"k{n % 3}": n}, "delete": [f"k{(n + 1) % 3}"]}
        channel.publish(rows if kind is Kind.TABLE else {"n": n})
    return channel


@pytest.mark.parametrize("kind", list(Kind))
def test_a_recording_tells_every_state_of_its_time(kind: Kind) -> None:
    """From its snapshot on, exactly, and up to where it ended."""
    channel = filled(kind)
    rows = rows_of(channel, 3, end=START + 200)
    for n in range(2, 10):
        past = replay(rows, START + 10 * n + 5)
        assert past.exact
        assert past.proved == n - 2
        assert read(past) == channel.states[n]
        assert past.stale is False
    assert read(replay(rows, START + 200)) == channel.states[9]
    for at, said in ((START + 19, "before the recording"), (START + 201, "after the recording")):
        with pytest.raises(UnknownPast, match=said) as unknown:
            replay(rows, at)
        assert (unknown.value.first, unknown.value.last) == (START + 20, START + 200)


def test_a_recorder_that_was_killed_knows_up_to_its_last_row() -> None:
    """Silence after that says nothing."""
    rows = rows_of(filled(Kind.VALUE), 3, end=None)
    assert replay(rows, START + 91).exact
    with pytest.raises(UnknownPast, match="after"):
        replay(rows, START + 92)
    with pytest.raises(UnknownPast, match="nothing of the channel"):
        replay(rows[:1], START)


def test_a_gap_is_known_from_a_recovery() -> None:
    """Between two runs everything is known where the second recovered, but not whether it was
    stale; nothing where it did not."""
    channel = filled(Kind.VALUE)
    first = [*rows_of(channel, 3, end=None)[:4], End(at=START + 45)]
    at = channel.entries[4].position
    begin = Begin(at=START + 80, version=VERSION, channels=(CHANNEL,), source="hub", tapecast="0")
    recovered = Recovered(at=START + 81, channel=CHANNEL, since=at)
    later: list[Row] = [update(entry) for entry in channel.entries[5:]]
    rows: list[Row] = [*first, begin, recovered, *later]
    for at_us, stale in ((START + 44, False), (START + 65, None), (START + 85, False)):
        past = replay(rows, at_us)
        assert past.exact
        assert read(past) == channel.states[(at_us - START) // 10]
        assert past.stale is stale
    reset = Reset(at=START + 81, channel=CHANNEL, cause=Cause.MISSED, last=at)
    rows = [*first, begin, reset, *rows_of(channel, 8, end=None)[1:]]
    with pytest.raises(UnknownPast, match="gap") as unknown:
        replay(rows, START + 65)
    assert (unknown.value.first, unknown.value.last) == (START + 40, START + 70)
    past = replay(rows, START + 75)
    assert past.exact
    assert past.reset == reset
    with pytest.raises(UnknownPast, match="after"):
        replay([*first, begin, reset], START + 85)


def test_staleness_of_then_is_told() -> None:
    """From when the recorder heard of it, until it heard otherwise."""
    channel = filled(Kind.VALUE, 3)
    rows: list[Row] = [
        *rows_of(channel, 3, end=None),
        Turned(at=START + 40, channel=CHANNEL, state=ChannelState.STALE, since=START + 20),
        Turned(at=START + 50, channel=CHANNEL, state=ChannelState.LIVE, since=START + 50),
        End(at=START + 60),
    ]
    told = {at: replay(rows, START + at).stale for at in (39, 40, 49, 50)}
    assert told == {39: False, 40: True, 49: True, 50: False}


@pytest.mark.parametrize(
    ("altered", "said"),
    [
        ({"data": msgspec.Raw(b'{"n":77}')}, "does not prove"),
        ({"ts": START + 31}, "does not prove"),
        ({"seq": 6}, "does not follow"),
        ({"prev": 3, "skipped": 1, "seq": 5}, "stands for 1 more"),
    ],
)
def test_what_the_tags_do_not_prove_is_not_called_exact(altered: dict[str, Any], said: str) -> None:
    """A row that was changed, left out or conflated, until the next snapshot."""
    channel = filled(Kind.VALUE)
    rows = rows_of(channel, 3, end=START + 200)
    rows[2] = msgspec.structs.replace(rows[2], **altered)
    past = replay(rows, START + 35)
    assert not past.exact
    assert said in past.missing
    rows[5:5] = rows_of(channel, 6, end=None)[1:2]
    assert replay(rows, START + 75).exact


def test_an_empty_channel_is_followed_by_any_history() -> None:
    """The first entry of any epoch follows it, and foreign publishes and other channels are no
    part of the state."""
    channel = filled(Kind.VALUE, 2)
    empty = Snapshot(at=5, channel=CHANNEL, kind=Kind.VALUE, epoch="", seq=0, tag="", ts=0,
                     data=msgspec.Raw(b"null"))  # fmt: skip
    begin = rows_of(channel, 1, end=None)[0]
    foreign = Update(at=START + 4, channel=CHANNEL, event="x", ts=START, data=msgspec.Raw(b"9"))
    other = msgspec.structs.replace(update(channel.entries[0]), channel="d")
    rows: list[Row] = [begin, empty, foreign, other, *map(update, channel.entries)]
    assert read(replay(rows, START - 1)) is None
    past = replay(rows, START + 11)
    assert (past.exact, past.proved, read(past)) == (True, 2, {"n": 1})


def test_a_recording_that_makes_no_sense_is_refused() -> None:
    """An update before any snapshot, and data of another kind."""
    channel = filled(Kind.TABLE)
    rows = rows_of(channel, 3, end=START + 200)
    with pytest.raises(RecordingError, match="expected a snapshot"):
        replay([rows[0], *rows[2:]], START + 100)
    rows[3] = msgspec.structs.replace(rows[3], data=msgspec.Raw(b"1"))
    with pytest.raises(RecordingError, match="c #5: "):
        replay(rows, START + 100)
    assert isinstance(rows[0], recording.Begin)
