"""One subscription's place in its channel."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub.client.frames import (
    Cause,
    Frame,
    Recovered,
    Reset,
    Snapshot,
    StateChanged,
    SubscribeResult,
    Update,
    decode_frame,
)
from hub.client.tracker import Stage, Tracker
from hub.protocol import frames
from hub.protocol.envelope import Foreign
from hub.protocol.frames import ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from tests.support.fakehub import Tape


def read(text: bytes) -> Any:
    """The frame of a text."""
    return decode_frame(text)


def result(
    position: Position, *, recovered: bool = False, kind: Kind = Kind.LOG, stale: bool = False
) -> SubscribeResult:
    """The hub's answer to a subscribe."""
    return SubscribeResult(
        "c", position.epoch, position.seq, position.tag, recovered, kind=kind, stale=stale
    )


def following(tape: Tape, kind: Kind = Kind.LOG, entries: int = 3) -> Tracker:
    """A tracker that has taken a snapshot after some entries."""
    for n in range(entries):
        tape.write(n)
    tracker = Tracker("c")
    tracker.ask()
    tracker.answer(result(tape.position, kind=kind))
    tracker.receive(read(tape.snapshot(None)))
    return tracker


def names(frames: list[Frame]) -> list[str]:
    """The types of frames, in order."""
    return [type(frame).__name__ for frame in frames]


def test_a_first_subscription_begins_with_a_snapshot() -> None:
    """Without `since`, nothing is announced: the snapshot comes, then what follows it."""
    tape, tracker = Tape("c"), Tracker("c")
    tape.write(1)
    assert tracker.ask() is None
    assert tracker.answer(result(tape.position)) == []
    assert names(tracker.receive(read(tape.snapshot(1)))) == ["Snapshot"]
    assert names(tracker.receive(read(tape.write(2)))) == ["Update"]
    assert tracker.position == tape.position
    assert tracker.kind is Kind.LOG


def test_nothing_counts_before_the_answer() -> None:
    """Frames that come between a subscribe and its answer belong to the older subscription."""
    tape = Tape("c")
    tracker = following(tape)
    before = tracker.position
    tracker.rest()
    assert tracker.receive(read(tape.write(4))) == []
    tracker.ask()
    assert tracker.receive(read(tape.write(5))) == []
    assert tracker.position == before


def test_updates_before_the_snapshot_do_not_count() -> None:
    """An update that overtakes its snapshot is dropped, as is a foreign publish."""
    tape, tracker = Tape("c"), Tracker("c")
    tracker.ask()
    tracker.answer(result(tape.position))
    assert tracker.receive(read(tape.write(1))) == []
    assert tracker.receive(read(frames.foreign("c", Foreign("message", b"1"), 1))) == []
    assert tracker.stage is Stage.BEHIND


def test_a_returning_subscription_recovers() -> None:
    """With `since`, a recovered answer is announced, and what was missed follows."""
    tape = Tape("c")
    tracker = following(tape)
    since = tape.position
    missed = [tape.write(n) for n in (4, 5)]
    tracker.rest()
    assert tracker.ask() == since
    heard = tracker.answer(result(tape.position, recovered=True))
    assert heard == [Recovered(channel="c", since=since)]
    for text in missed:
        assert names(tracker.receive(read(text))) == ["Update"]
    assert tracker.position == tape.position


def test_what_could_not_be_recovered_is_announced() -> None:
    """With `since` and without recovery, a Reset says where the subscription had been."""
    tape = Tape("c")
    tracker = following(tape)
    since = tape.position
    tracker.rest()
    tracker.ask()
    heard = tracker.answer(result(tape.position))
    assert heard == [Reset(channel="c", cause=Cause.MISSED, last=since)]
    assert names(tracker.receive(read(tape.snapshot(None)))) == ["Snapshot"]


def test_duplicates_are_dropped() -> None:
    """An update at or before the position is dropped without a word."""
    tape = Tape("c")
    tracker = following(tape)
    update = tape.write(4)
    assert names(tracker.receive(read(update))) == ["Update"]
    assert tracker.receive(read(update)) == []
    assert tracker.stage is Stage.FOLLOWING


def test_a_hole_is_asked_for() -> None:
    """An update that does not follow is held to be a hole, and asked for from the position."""
    tape = Tape("c")
    tracker = following(tape)
    since = tape.position
    lost, later = tape.write(4), tape.write(5)
    assert tracker.receive(read(later)) == []
    assert tracker.stage is Stage.HOLE
    assert tracker.ask() == since
    tracker.answer(result(tape.position, recovered=True))
    assert names([*tracker.receive(read(lost)), *tracker.receive(read(later))]) == ["Update"] * 2


def test_another_epoch_is_a_hole() -> None:
    """An update of another history does not follow, whatever its seq."""
    tape = Tape("c")
    tracker = following(tape, entries=3)
    other = Tape("c", "e2")
    other.position = Position("e2", 3, tape.position.tag)
    assert tracker.receive(read(other.write(4))) == []
    assert tracker.stage is Stage.HOLE


def test_a_hole_that_asking_does_not_mend_ends_in_a_snapshot() -> None:
    """Twice the same hole with nothing received in between is asked for without `since`."""
    tape = Tape("c")
    tracker = following(tape)
    since = tape.position
    tape.write(4)
    later = tape.write(5)
    tracker.receive(read(later))
    assert tracker.ask() == since
    tracker.answer(result(tape.position, recovered=True))
    tracker.receive(read(later))
    assert tracker.stage is Stage.HOLE
    assert tracker.ask() is None
    heard = tracker.answer(result(tape.position))
    assert heard == [Reset(channel="c", cause=Cause.MISSED, last=since)]
    assert names(tracker.receive(read(tape.snapshot(None)))) == ["Snapshot"]


def test_a_recovery_that_was_not_asked_for_waits_for_a_snapshot() -> None:
    """Without `since` there is nothing that could have been recovered."""
    tape, tracker = Tape("c"), Tracker("c")
    tracker.ask()
    assert tracker.answer(result(tape.position, recovered=True)) == []
    assert tracker.stage is Stage.BEHIND


def test_the_first_entry_of_any_history_follows_an_empty_channel() -> None:
    """An empty channel has no epoch; its first entry brings one, and nothing was lost."""
    tracker = Tracker("c")
    tracker.ask()
    empty = Position("", 0, "")
    tracker.answer(result(empty))
    tracker.receive(read(frames.snapshot("c", empty, 0, b'{"entries":[]}')))
    tape = Tape("c")
    assert names(tracker.receive(read(tape.write(1)))) == ["Update"]
    assert tracker.position == tape.position


def test_a_conflated_update_follows_its_predecessor() -> None:
    """A conflated update counts where it begins at or before the position."""
    tape = Tape("c")
    tracker = following(tape, Kind.VALUE, entries=3)
    at = Position("e1", 9, "ab")
    heard = tracker.receive(read(frames.conflated("c", "set", at, 1, b"1", prev=3)))
    assert names(heard) == ["Update"]
    assert tracker.position == at
    far = frames.conflated("c", "set", Position("e1", 20, "cd"), 1, b"1", prev=10)
    assert tracker.receive(read(far)) == []
    assert tracker.stage is Stage.HOLE


def test_a_reset_is_announced_once_with_its_cause() -> None:
    """The hub's reset ends continuity; the snapshot of the new history follows."""
    tape = Tape("c")
    tracker = following(tape)
    last = tape.position
    notice = read(frames.channel_reset("c", 5, Kind.LOG))
    assert tracker.receive(notice) == [Reset(channel="c", cause=Cause.HISTORY, last=last)]
    tape.restart("e2")
    assert tracker.receive(read(tape.write(1))) == []
    assert names(tracker.receive(read(tape.snapshot(None)))) == ["Snapshot"]
    assert names(tracker.receive(read(tape.write(2)))) == ["Update"]


def test_a_reset_says_the_kind_that_follows() -> None:
    """A channel may begin anew as another kind, and is conflated by the rules of that."""
    tape = Tape("c")
    tracker = following(tape)
    kinds = [tracker.kind]
    tracker.receive(read(frames.channel_reset("c", 5, Kind.VALUE)))
    assert [*kinds, tracker.kind] == [Kind.LOG, Kind.VALUE]


def test_a_reset_holds_over_a_reconnect() -> None:
    """After a Reset only a snapshot follows, though the link breaks in between.

    It used to ask from the position that it had announced as lost, and updates followed the Reset.
    """
    tape = Tape("c")
    tracker = following(tape)
    tracker.receive(read(frames.channel_reset("c", 5, Kind.LOG)))
    tracker.rest()
    assert tracker.ask() is None
    assert tracker.answer(result(tape.position)) == [], "it was announced already"
    assert names(tracker.receive(read(tape.snapshot(None)))) == ["Snapshot"]


def test_a_snapshot_may_stand_for_conflated_updates() -> None:
    """A value or table may be brought forward by its whole state; nothing was lost."""
    tape = Tape("c")
    tracker = following(tape, Kind.TABLE)
    tape.write(4)
    assert names(tracker.receive(read(tape.snapshot(None)))) == ["Snapshot"]


def test_a_snapshot_may_follow_an_empty_channel() -> None:
    """A table that was empty has lost nothing when its first rows come as a snapshot."""
    tracker = Tracker("c", since=Position("", 0, ""))
    tracker.ask()
    tape = Tape("c")
    tape.write(1)
    tracker.answer(result(tape.position, recovered=True, kind=Kind.TABLE))
    assert names(tracker.receive(read(tape.snapshot({"rows": {}})))) == ["Snapshot"]


def test_a_snapshot_in_the_middle_of_a_log_is_announced() -> None:
    """Of a log, an unannounced snapshot hides entries, so a Reset precedes it."""
    tape = Tape("c")
    tracker = following(tape, Kind.LOG)
    tape.write(4)
    assert names(tracker.receive(read(tape.snapshot(None)))) == ["Reset", "Snapshot"]


def test_a_snapshot_of_the_past_is_announced() -> None:
    """A table that goes back, or to another history, was not conflated."""
    for position in (Position("e1", 1, "ab"), Position("e2", 9, "ab")):
        tracker = following(Tape("c"), Kind.TABLE)
        snapshot = read(frames.snapshot("c", position, 1, b'{"rows":{}}'))
        assert names(tracker.receive(snapshot)) == ["Reset", "Snapshot"]


def test_staleness_is_told_once() -> None:
    """A change of the channel's state is told, a repetition is not."""
    tracker = following(Tape("c"))
    stale = read(frames.channel_state("c", ChannelState.STALE, 5))
    assert tracker.receive(stale) == [StateChanged(channel="c", state=ChannelState.STALE, since=5)]
    assert tracker.receive(stale) == []
    live = read(frames.channel_state("c", ChannelState.LIVE, 6))
    assert tracker.receive(live) == [StateChanged(channel="c", state=ChannelState.LIVE, since=6)]


def test_a_channel_that_came_back_meanwhile_is_live() -> None:
    """A stale channel that became live while the link was away is told to be live."""
    tape = Tape("c")
    tracker = following(tape)
    tracker.receive(read(frames.channel_state("c", ChannelState.STALE, 5)))
    tracker.rest()
    tracker.ask()
    assert names(tracker.answer(result(tape.position, recovered=True, stale=True))) == ["Recovered"]
    tracker.rest()
    tracker.ask()
    heard = tracker.answer(result(tape.position, recovered=True))
    assert heard[0] == StateChanged(channel="c", state=ChannelState.LIVE, since=None)


def test_a_foreign_publish_passes() -> None:
    """A foreign publish is told, and moves nothing."""
    tape = Tape("c")
    tracker = following(tape)
    update = read(frames.foreign("c", Foreign("message", b"1"), 1))
    assert tracker.receive(update) == [update]
    assert tracker.position == tape.position


def test_a_head_that_is_not_reached_is_a_hole() -> None:
    """A head that one heartbeat names must be reached by the next."""
    tracker = following(Tape("c"), entries=3)
    stages = []
    for head in (3, 4, 4, 5):
        tracker.heartbeat(head)
        stages.append(tracker.stage)
    assert stages == [Stage.FOLLOWING, Stage.FOLLOWING, Stage.HOLE, Stage.HOLE]


def test_a_head_that_runs_ahead_of_a_busy_channel_is_no_hole() -> None:
    """A head is compared with the heartbeat before, so what is on its way is not missing."""
    tape = Tape("c")
    tracker = following(tape, entries=3)
    for _ in range(5):
        tracker.heartbeat(tape.position.seq + 1)
        assert tracker.stage is Stage.FOLLOWING
        tracker.receive(read(tape.write(0)))


def test_a_head_is_forgotten_when_asked_anew() -> None:
    """A head from before a new subscription does not make a hole in it."""
    tape = Tape("c")
    tracker = following(tape, entries=3)
    tracker.heartbeat(4)
    tracker.rest()
    tracker.heartbeat(4)
    tracker.ask()
    tracker.answer(result(tape.position, recovered=True))
    tracker.heartbeat(4)
    assert tracker.stage is Stage.FOLLOWING


class Continuity(RuleBasedStateMachine):
    """A log on a hub that loses, repeats and forgets; what is heard never hides a hole.

    The model is the list of all entries of each history.
    """

    def __init__(self) -> None:
        super().__init__()
        self.histories = 1
        self.tape = Tape("c", "e1")
        self.texts: list[bytes] = []
        self.wire: list[bytes] = []
        self.tracker = Tracker("c")
        self.heard: list[Frame] = []
        self.answer_due = False
        self.subscribe()

    def subscribe(self) -> None:
        """Ask, and answer as the hub does: recovered where the history still reaches."""
        since = self.tracker.ask()
        self.wire.clear()
        here = self.tape.position
        recovered = since is not None and since.epoch == here.epoch and since.seq <= here.seq
        self.heard += self.tracker.answer(result(here, recovered=recovered))
        if recovered:
            assert since is not None
            self.wire += self.texts[since.seq :]
        else:
            self.wire.append(self.tape.snapshot(None))

    @rule(n=st.integers(1, 3))
    def publish(self, n: int) -> None:
        """Entries are written and sent."""
        for _ in range(n):
            self.texts.append(self.tape.write(self.tape.position.seq))
            self.wire.append(self.texts[-1])

    @precondition(lambda self: self.wire)
    @rule()
    def arrive(self) -> None:
        """The next frame arrives; a hole makes the client ask."""
        self.heard += self.tracker.receive(read(self.wire.pop(0)))
        if self.tracker.stage is Stage.HOLE:
            self.subscribe()

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A frame gets lost."""
        self.wire.pop(data.draw(st.integers(0, len(self.wire) - 1)))

    @precondition(lambda self: self.texts)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """An old frame comes again."""
        self.wire.append(data.draw(st.sampled_from(self.texts)))

    @rule()
    def reconnect(self) -> None:
        """The link breaks, and comes back."""
        self.tracker.rest()
        self.subscribe()

    @rule(announced=st.booleans())
    def forget_history(self, announced: bool) -> None:
        """The history is lost; the hub says so, unless the link breaks before."""
        self.histories += 1
        self.tape.restart(f"e{self.histories}")
        self.texts.clear()
        if announced:
            self.wire.append(frames.channel_reset("c", 1, Kind.LOG))
            self.wire.append(self.tape.snapshot(None))
        else:
            self.reconnect()

    @invariant()
    def heard_without_a_hole(self) -> None:
        """Each update follows what was heard before it, and each break is announced."""
        at: Position | None = None
        broken = True
        for frame in self.heard:
            match frame:
                case Reset():
                    assert frame.last == at
                    broken = True
                case Snapshot():
                    assert broken, "a snapshot without an announcement"
                    at, broken = frame.position, False
                case Update(position=position):
                    assert not broken
                    assert position is not None
                    assert at is not None
                    assert position.seq == at.seq + 1
                    assert position.epoch == at.epoch
                    assert frame.data == at.seq
                    at = position

    def teardown(self) -> None:
        """In the end, with nothing lost any more, the client stands where the hub does."""
        self.wire.append(self.tape.write(self.tape.position.seq))
        self.texts.append(self.wire[-1])
        self.reconnect()
        for _ in range(1_000):
            if not self.wire:
                break
            self.arrive()
        assert self.tracker.position == self.tape.position
        self.heard_without_a_hole()


TestContinuity = Continuity.TestCase
TestContinuity.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_data_is_left_encoded() -> None:
    """The tracker reads heads only: a frame passes with the bytes that the hub sent."""
    tape = Tape("c")
    tracker = following(tape)
    text = tape.write({"price": "1.50"})
    [update] = tracker.receive(read(text))
    assert isinstance(update, Update)
    assert update.text == text
    assert msgspec.json.decode(update.text)["data"] == {"price": "1.50"}
