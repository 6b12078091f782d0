"""producers/sources/alerts/watched.py: a channel as rules see it, from readings alone."""

from __future__ import annotations

import json
from typing import Any

from hub.protocol.envelope import Envelope, encode_envelope
from hub.protocol.position import Position
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind, Stream
from producers.sources.alerts.watched import NOWHERE, Look, Watched

BEGIN = 1_800_000_000_000_000


class Channel:
    """A channel as Redis has it, without Redis."""

    def __init__(self, kind: Kind, epoch: str = "e") -> None:
        self.kind = kind
        self.head = Position(epoch, 0, "")
        self.log: list[Envelope] = []
        self.state: Any = {} if kind is Kind.TABLE else None
        self.lease_left_ms: int | None = None

    def publish(self, data: Any, *, at: int = 0, event: str = "x") -> None:
        """One more entry, so many microseconds after the beginning."""
        text = json.dumps(data).encode()
        self.log.append(encode_envelope("c", event, self.head, BEGIN + at, text))
        self.head = self.log[-1].position
        if self.kind is Kind.TABLE:
            kept = {key: row for key, row in self.state.items() if key not in data["delete"]}
            self.state = {**kept, **data["upsert"]}
        else:
            self.state = data

    def read(self, since: int | None = None) -> ChannelReading:
        """Its entries after a seq, and its state."""
        return ChannelReading(
            "c",
            self.head,
            self.kind,
            value=json.dumps(self.state).encode() if self.kind is Kind.VALUE else None,
            rows={key: json.dumps(row).encode() for key, row in self.state.items()}
            if self.kind is Kind.TABLE
            else {},
            entries=tuple(each for each in self.log if each.seq > (since or 0)),
            lease_left_ms=self.lease_left_ms,
        )


def watched(**options: Any) -> Watched:
    """A channel that nobody looked at before."""
    return Watched("c", Stream(**options), None)


def seen(channel: Watched, entries: list[Envelope] | None) -> list[Look]:
    """The channel after each entry."""
    assert entries is not None
    return [channel.apply(entry) for entry in entries]


def contents(channel: Watched, entries: list[Envelope] | None) -> list[Any]:
    return [look.content for look in seen(channel, entries)]


def test_a_value_from_its_state_and_entry_by_entry() -> None:
    """What was there is taken as it is; from then on every entry is seen."""
    there, mine = Channel(Kind.VALUE), watched()
    there.publish(1)
    there.publish(2)
    assert mine.take(there.read()) is None
    assert mine.begin(there.read()) == []
    assert mine.look(there.read(), BEGIN).content == 2
    there.publish(3)
    there.publish(4)
    assert contents(mine, mine.take(there.read(2))) == [3, 4]
    assert mine.take(there.read(4)) == []


def test_one_that_was_not_there_is_seen_from_its_first_entry() -> None:
    """All of it came after somebody looked."""
    there, mine = Channel(Kind.VALUE), watched()
    assert mine.take(ChannelReading.empty("c")) == []
    assert mine.mark == NOWHERE
    assert mine.look(ChannelReading.empty("c"), BEGIN) == Look("c", None, None, is_fresh=False)
    there.publish(1)
    there.publish(2)
    assert contents(mine, mine.take(there.read(0))) == [1, 2]


def test_a_fork_and_a_hole_are_taken_from_the_state() -> None:
    """What can't be proved to follow is not taken for what follows."""
    for damage in ("fork", "hole", "epoch"):
        there, mine = Channel(Kind.VALUE), watched()
        there.publish(1)
        mine.begin(there.read())
        if damage == "fork":
            there.log, there.head = [], Position("e", 0, "")
            there.publish(9, at=1)
        elif damage == "epoch":
            there = Channel(Kind.VALUE, "other")
        there.publish(2)
        there.publish(3)
        if damage == "hole":
            del there.log[1]
        assert mine.take(there.read(1)) is None
        assert mine.begin(there.read()) == []
        assert mine.look(there.read(), BEGIN).content == 3


def test_a_table_row_by_row() -> None:
    """A change says which rows it changed; a table that was left is taken as it is."""
    there, mine = Channel(Kind.TABLE), watched(kind=Kind.TABLE)
    there.publish({"upsert": {"a": 1, "b": 2}, "delete": []})
    mine.begin(there.read())
    there.publish({"upsert": {"c": 3}, "delete": ["a"]})
    [look] = seen(mine, mine.take(there.read(1)))
    assert (look.content, look.changed) == ({"b": 2, "c": 3}, frozenset({"a", "c"}))
    later = Watched("c", Stream(Kind.TABLE), mine.mark)
    assert later.take(there.read(2)) is None
    later.begin(there.read())
    assert later.look(there.read(), BEGIN).content == {"b": 2, "c": 3}


def test_a_table_change_by_hand() -> None:
    """The rows are not known then, until they are read."""
    there, mine = Channel(Kind.TABLE), watched(kind=Kind.TABLE)
    there.publish({"upsert": {"a": 1}, "delete": []})
    mine.begin(there.read())
    there.log.append(encode_envelope("c", "x", there.head, BEGIN, b'"nonsense"'))
    there.head = there.log[-1].position
    assert contents(mine, mine.take(there.read(1))) == [None]
    assert mine.take(there.read(2)) is None
    mine.begin(there.read())
    assert mine.look(there.read(), BEGIN).content == {"a": 1}


def test_a_log_is_not_of_the_past() -> None:
    """What stood there is not news; after a loss, what is newer is."""
    there, mine = Channel(Kind.LOG), watched()
    there.publish("old", at=1)
    assert mine.begin(there.read()) == []
    there = Channel(Kind.LOG, "other")
    there.publish("known", at=1)
    there.publish("new", at=2)
    assert mine.take(there.read(1)) is None
    assert [json.loads(each.data) for each in mine.begin(there.read())] == ["new"]


def test_how_fresh_it_is() -> None:
    """By its lease, else by the stream's deadline; without either it is never stale by itself."""
    there, mine = Channel(Kind.VALUE), watched(deadline_seconds=2)
    there.publish(1, at=0)
    mine.begin(there.read())
    assert mine.look(there.read(), BEGIN + 1_999_999).is_fresh
    late = mine.look(there.read(), BEGIN + 2_000_000)
    assert (late.is_fresh, late.stale_since) == (False, BEGIN + 2_000_000)
    there.lease_left_ms = 1
    assert mine.look(there.read(), BEGIN + 9_000_000).is_fresh
    there.lease_left_ms = -3_000
    late = mine.look(there.read(), BEGIN + 9_000_000)
    assert (late.is_fresh, late.stale_since) == (False, BEGIN + 6_000_000)
    there.lease_left_ms = None
    other = watched()
    other.begin(there.read())
    look = other.look(there.read(), BEGIN + 9_000_000)
    assert (look.is_fresh, look.silent_since) == (True, BEGIN)


def test_poison_is_not_known() -> None:
    """What may not be shown is not compared either."""
    there, mine = Channel(Kind.VALUE), watched()
    there.publish({"equity": "NaN"})
    mine.begin(there.read())
    assert mine.look(there.read(), BEGIN).content is None
