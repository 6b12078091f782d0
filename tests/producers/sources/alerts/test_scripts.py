"""producers/sources/alerts/scripts.py: only who has the lease writes, and each commit once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis

from hub.protocol.publication import AppendEntry, Publication
from hub.protocol.scripts import Call, publish_call
from hub.protocol.streams import KNOWN, Kind
from producers.sources.alerts.scripts import (
    COMMIT,
    GIVE_UP,
    HOLD,
    MARK,
    Place,
    commit_call,
    hold_call,
    mark_call,
)
from tests.producers.redis_view import history
from tests.support.valkey import Valkey

PLACE = Place("alerts", "night")


class Hand:
    """One candidate for the lease, by hand."""

    def __init__(self, valkey: Valkey, token: str) -> None:
        self._valkey = valkey
        self.token = token

    def eval(self, script: str, call: Call) -> Any:
        with Redis.from_url(self._valkey.url) as redis:
            return redis.eval(script, len(call.keys), *call.keys, *call.args)

    def hold(self, *, take: bool = True) -> bool:
        return bool(self.eval(HOLD, hold_call(PLACE, self.token, 60_000, take=take)))

    def give_up(self) -> None:
        self.eval(GIVE_UP, Call((PLACE.lease,), (self.token,)))

    def commit(
        self, number: int, changes: Mapping[str, bytes | None], says: Sequence[str] = ()
    ) -> Any:
        publishes = [
            publish_call(
                Publication("alerts", Kind.LOG, "alert", AppendEntry(b'"%b"' % said.encode()),
                            "night", 10 * number + n),
                KNOWN["alerts"],
                "epoch",
            )
            for n, said in enumerate(says)
        ]  # fmt: skip
        return self.eval(COMMIT, commit_call(PLACE, self.token, number, changes, publishes))

    def mark(self, mark: bytes, *, first: bool = False) -> bool:
        return bool(self.eval(MARK, mark_call(PLACE, self.token, "desk", mark, first=first)))


def stored(valkey: Valkey, key: str) -> dict[str, str]:
    with Redis.from_url(valkey.url, decode_responses=True) as redis:
        found: Any = redis.hgetall(key)
    return dict(found)


def said(valkey: Valkey) -> list[Any]:
    return [data for _event, data in history(valkey, "alerts")]


def test_one_holds_the_lease(valkey: Valkey) -> None:
    """Until it gives it up; renewing takes it from nobody, and not where nobody has it."""
    one, two = Hand(valkey, "one"), Hand(valkey, "two")
    assert not one.hold(take=False)
    assert one.hold()
    assert not two.hold()
    assert one.hold(take=False)
    two.give_up()
    assert not two.hold()
    one.give_up()
    assert two.hold()


def test_what_is_told_and_remembered_is_one_step(valkey: Valkey) -> None:
    """Both, or neither; what is to be forgotten goes with it, however much it is."""
    one = Hand(valkey, "one")
    one.hold()
    many: dict[str, bytes | None] = {f"row {n}": b"x" for n in range(1_500)}
    assert one.commit(1, {**many, "a": b"1"}, ["first", "second"]) == b"done"
    assert said(valkey) == ["first", "second"]
    assert len(stored(valkey, PLACE.memory)) == 1_502
    assert one.commit(2, {**dict.fromkeys(many), "a": b"2"}) == b"done"
    assert stored(valkey, PLACE.memory) == {"a": "2", "#": "2 one"}


def test_a_commit_is_done_once(valkey: Valkey) -> None:
    """One whose answer was lost on the way is answered again, and publishes nothing."""
    one = Hand(valkey, "one")
    one.hold()
    for _ in range(2):
        assert one.commit(1, {"a": b"1"}, ["first"]) == b"done"
    assert said(valkey) == ["first"]


def test_who_was_frozen_writes_nothing(valkey: Valkey) -> None:
    """Neither while another has the lease, nor with a lease again that another had meanwhile."""
    one, two = Hand(valkey, "one"), Hand(valkey, "two")
    one.hold()
    assert one.commit(1, {"a": b"1"}, ["first"]) == b"done"
    one.give_up()
    two.hold()
    assert one.commit(2, {"a": b"old"}, ["doubled"]) == b"lost"
    assert not one.mark(b"old")
    assert two.commit(2, {"a": b"2"}, ["second"]) == b"done"
    assert two.mark(b"2")
    two.give_up()
    one.hold()
    assert one.commit(2, {"a": b"old"}, ["doubled"]) == b"lost"
    assert said(valkey) == ["first", "second"]
    assert stored(valkey, PLACE.memory)["a"] == "2"
    assert stored(valkey, PLACE.sinks) == {"desk": "2"}


def test_the_first_mark_of_a_sink(valkey: Valkey) -> None:
    """It is set where there is none, so that nothing is skipped after a restart."""
    one = Hand(valkey, "one")
    one.hold()
    assert one.mark(b"1", first=True)
    assert one.mark(b"2", first=True)
    assert stored(valkey, PLACE.sinks) == {"desk": "1"}
