"""The checker of exact delivery bites: each fault that it looks for is seeded, and found."""

from __future__ import annotations

import msgspec
import pytest

from tests.exact.checker import (
    LogFollower,
    Position,
    TableFollower,
    Tape,
    Text,
    Truth,
    ValueFollower,
    decode_text,
)

EPOCH = "kT9a"
# Of the entries below: chained by SHA-1 as docs/protocol.md says, computed with sha1sum.
TAGS = ["", "3e0e8e4f", "7afbe0b6", "cf0db321", "186b3d1f", "f2e2d776"]


def at(seq: int) -> Position:
    return Position(EPOCH, seq, TAGS[seq])


def update(seq: int, *, channel: str = "agent", epoch: str = EPOCH, **fields: object) -> Text:
    """The entry at `seq`, as every client should get it; `fields` are wrong on purpose."""
    frame = {
        "channel": channel,
        "type": "update",
        "event": "entry",
        "epoch": epoch,
        "seq": seq,
        "tag": TAGS[seq],
        "ts": 1_000_000 + seq,
        "data": {"n": seq},
        **fields,
    }
    return decode_text(msgspec.json.encode(frame))


def log_snapshot(seq: int, seqs: list[int]) -> Text:
    entries = [
        {"seq": each, "event": "entry", "ts": 1_000_000 + each, "data": {"n": each}}
        for each in seqs
    ]
    return update(seq, type="snapshot", data={"entries": entries})


def state_snapshot(seq: int, channel: str, data: object) -> Text:
    return update(seq, channel=channel, type="snapshot", data=data)


TRUTH = Truth("log", at(5), {seq: ("entry", {"n": seq}) for seq in range(1, 6)})


class Watched:
    """A client of one log, with all breaches."""

    def __init__(self, tape: Tape | None = None) -> None:
        self.breaches: list[str] = []
        self.tape = tape or Tape("agent")
        self.follower = LogFollower("agent", self.breaches.append, self.tape)

    def join(self, *seqs: int) -> None:
        """Subscribe, with a snapshot of these entries."""
        self.follower.ask()
        self.follower.answer(recovered=False)
        self.follower.take(log_snapshot(seqs[-1] if seqs else 0, list(seqs)))

    def resume(self, *, recovered: bool = True) -> None:
        """Lose the connection, and subscribe again."""
        self.follower.leave()
        self.follower.ask()
        self.follower.answer(recovered)

    def take(self, *seqs: int) -> None:
        for seq in seqs:
            self.follower.take(update(seq))

    def end(self, truth: Truth = TRUTH) -> None:
        self.follower.compare(truth)
        self.tape.compare(truth, self.breaches.append)

    def only_breach(self) -> str:
        [breach] = self.breaches
        return breach


@pytest.fixture
def client() -> Watched:
    """One that has the first two entries."""
    watched = Watched()
    watched.join(1, 2)
    return watched


def test_what_is_exact_breaks_nothing(client: Watched) -> None:
    """A snapshot, entries, a resume and a heartbeat, all in order."""
    client.take(3)
    client.follower.heartbeat(3)
    client.resume()
    client.take(4, 5)
    client.end()
    assert client.breaches == []
    assert client.follower.delivered == 3


def test_a_hole_is_found(client: Watched) -> None:
    """An entry that is missing, and the one after it comes."""
    client.take(4, 5)
    assert client.only_breach() == "agent: 4 after 2: a hole"


def test_a_hole_at_a_resume_is_found(client: Watched) -> None:
    """The reply says that all was recovered, and it was not."""
    client.resume()
    client.take(4)
    assert client.only_breach() == "agent: 4 after 2: a hole"


def test_a_hole_at_the_end_is_found(client: Watched) -> None:
    """The last entries never came."""
    client.take(3, 4)
    client.end()
    assert f"ended at {at(4)}, expected {at(5)}" in client.only_breach()


@pytest.mark.parametrize("seq", [2, 3])
def test_a_duplicate_is_found(client: Watched, seq: int) -> None:
    """Of an update, or of an entry that the snapshot had."""
    client.take(3, seq)
    assert client.only_breach() == f"agent: {seq} after 3: a duplicate, or out of order"


def test_a_duplicate_after_a_resume_is_found(client: Watched) -> None:
    """What was missed begins with what was not missed."""
    client.take(3)
    client.resume()
    client.take(3, 4, 5)
    assert client.only_breach() == "agent: 3 after 3: a duplicate, or out of order"


def test_another_order_is_found(client: Watched) -> None:
    """All entries come, two of them swapped."""
    client.take(4, 3, 5)
    assert client.breaches == [
        "agent: 4 after 2: a hole",
        "agent: 3 after 4: a duplicate, or out of order",
    ]


def test_a_changed_payload_is_found_at_the_end(client: Watched) -> None:
    """All clients got the same, and the producers were acknowledged something else."""
    client.take(3)
    client.follower.take(update(4, data={"n": 44}))
    client.take(5)
    client.end()
    assert client.breaches[0] == ("agent 4: expected ('entry', {'n': 4}), got entry {\"n\":44}")


def test_a_payload_that_one_client_got_otherwise_is_found(client: Watched) -> None:
    """Two clients of one log are sent different bytes."""
    other = Watched(client.tape)
    other.join(1, 2)
    client.take(3)
    other.follower.take(update(3, data={"n": 33}))
    assert "as another client got" in other.only_breach()


def test_a_tag_that_does_not_follow_is_found(client: Watched) -> None:
    """The position of an entry is not the one that its history gives."""
    client.take(3)
    client.follower.take(update(4, tag="00000000"))
    client.take(5)
    client.end()
    assert client.breaches == [
        f"agent 4: the tag 00000000 does not follow {TAGS[3]}",
        f"agent 5: the tag {TAGS[5]} does not follow 00000000",
    ]


def test_another_history_is_found(client: Watched) -> None:
    """An epoch that nobody announced."""
    client.follower.take(update(3, epoch="new"))
    assert client.only_breach() == f"agent: another history at 3: {EPOCH}, then new"


def test_a_reset_is_found(client: Watched) -> None:
    """Nothing was lost, so nothing begins anew."""
    client.follower.take(update(0, type="channel", state="reset"))
    assert "reset at" in client.only_breach()


def test_a_refused_resume_is_found(client: Watched) -> None:
    """Nothing was lost, so everything can be recovered."""
    client.resume(recovered=False)
    assert client.only_breach() == f"agent: not recovered from {at(2)}"


def test_a_conflated_log_is_found(client: Watched) -> None:
    """An update that stands for several, which no entry may."""
    client.follower.take(update(4, prev=2, skipped=1))
    assert client.only_breach() == "agent: 4 was conflated"


def test_a_snapshot_instead_of_entries_is_found(client: Watched) -> None:
    """The state jumps, and nobody said so."""
    client.follower.take(log_snapshot(5, [3, 4, 5]))
    assert client.only_breach() == "agent: a snapshot at 5 that replaces entries"


@pytest.mark.parametrize("seqs", [[1, 3], [1, 2], [2, 1, 3], []])
def test_a_snapshot_with_a_hole_is_found(seqs: list[int]) -> None:
    """It must lead to its position."""
    client = Watched()
    client.follower.ask()
    client.follower.answer(recovered=False)
    client.follower.take(log_snapshot(3, seqs))
    assert "the snapshot at 3 has" in client.only_breach()


def test_an_update_before_the_reply_is_found() -> None:
    """The reply comes first, also at a resume."""
    client = Watched()
    client.follower.ask()
    client.take(1)
    assert client.only_breach() == "agent: update 1 before the reply"


def test_an_update_before_the_snapshot_is_found() -> None:
    """There is nothing yet that it could follow."""
    client = Watched()
    client.follower.ask()
    client.follower.answer(recovered=False)
    client.take(1)
    assert client.only_breach() == "agent: update 1 before a snapshot"


@pytest.mark.parametrize("head", [1, 3])
def test_a_heartbeat_that_is_wrong_is_found(client: Watched, head: int) -> None:
    """A client could not tell a quiet channel from a lost entry."""
    client.follower.heartbeat(head)
    assert client.only_breach() == f"agent: a heartbeat names {head}, served was 2"


def value(breaches: list[str]) -> ValueFollower:
    follower = ValueFollower("portfolio", breaches.append)
    follower.ask()
    follower.answer(recovered=False)
    follower.take(state_snapshot(1, "portfolio", {"n": 1}))
    return follower


def test_a_truthful_conflation_breaks_nothing() -> None:
    """A value may skip to the newest state, or to a snapshot of it."""
    breaches: list[str] = []
    follower = value(breaches)
    follower.take(update(3, channel="portfolio", prev=1, skipped=1))
    follower.take(state_snapshot(5, "portfolio", {"n": 5}))
    follower.compare(Truth("value", at(5), state={"n": 5}))
    assert breaches == []


@pytest.mark.parametrize(("prev", "skipped"), [(2, 1), (1, 0), (0, 3)])
def test_a_conflation_that_miscounts_is_found(prev: int, skipped: int) -> None:
    """What was left out is said exactly."""
    breaches: list[str] = []
    value(breaches).take(update(4, channel="portfolio", prev=prev, skipped=skipped))
    assert breaches == [f"portfolio: 4 says prev {prev}, skipped {skipped}, after 1"]


def test_a_wrong_last_value_is_found() -> None:
    """The position is right and the money is not."""
    breaches: list[str] = []
    follower = value(breaches)
    follower.take(update(2, channel="portfolio", data={"n": 7}))
    follower.compare(Truth("value", at(2), state={"n": 2}))
    assert breaches == ["portfolio: ended with {'n': 7}, expected {'n': 2}"]


def test_a_row_that_stayed_is_found() -> None:
    """A delete that was lost in a conflation."""
    breaches: list[str] = []
    follower = TableFollower("positions", breaches.append)
    follower.ask()
    follower.answer(recovered=False)
    follower.take(state_snapshot(1, "positions", {"rows": {"a": 1, "b": 2}}))
    change = {"upsert": {"a": 3}, "delete": []}
    follower.take(update(3, channel="positions", prev=1, skipped=1, data=change))
    follower.compare(Truth("table", at(3), state={"a": 3}))
    assert breaches == ["positions: ended with {'a': 3, 'b': 2}, expected {'a': 3}"]
