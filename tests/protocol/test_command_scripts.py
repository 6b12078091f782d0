"""What becomes of a command in Redis, step by step: hub/protocol/command_scripts.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from hub.protocol import codes, command_scripts, keys
from hub.protocol.agent_commands import (
    MAX_COMMAND_BYTES,
    CommandReceipt,
    CommandRequest,
    CommandState,
    command_request,
)
from hub.protocol.command_calls import (
    MAX_OPEN,
    Lane,
    NoneWaiting,
    Outcome,
    Taken,
    send_call,
    send_refusal,
    sweep_call,
)
from hub.protocol.command_scripts import MOST_ATTEMPTS, SWEPT_AT_ONCE
from hub.protocol.envelope import decode_envelope, decode_lease
from hub.protocol.errors import KindMismatchError, PayloadError, ProtocolError
from hub.protocol.position import Position
from hub.protocol.scripts import Call
from tests.support.command_desk import CHANNEL, Desk
from tests.support.redis_server import RedisServer
from tests.support.valkey import Valkey

DIED = "its worker died, or lost Redis for too long; it may have been done"


@pytest.fixture(scope="module", params=[Valkey, RedisServer])
def server(request: pytest.FixtureRequest) -> Iterator[Valkey]:
    with request.param() as server:
        yield server


@pytest.fixture
def desk(server: Valkey) -> Iterator[Desk]:
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.flushall()
        yield Desk(client)


# Sending


def test_a_command_is_an_entry_of_its_log(desk: Desk) -> None:
    """It says who sent it and until when it may begin; its place is the answer."""
    receipt = desk.send(data=b'{"reason":"lunch"}', sender="Ann Ö")
    [(event, data)] = desk.log()
    assert event == "agent.pause"
    assert data == {
        "id": "c1",
        "sender": "Ann Ö",
        "expires_at": receipt.expires_at,
        "data": {"reason": "lunch"},
    }
    found: Any = desk.client.xrange(keys.log(CHANNEL))
    [(_, fields)] = found
    envelope = decode_envelope(CHANNEL, fields[b"e"])
    assert envelope.follows(Position("e1", 0, ""))
    assert receipt.position == envelope.position
    assert receipt.expires_at == envelope.ts + 60_000_000
    assert (receipt.state, receipt.duplicate) == (CommandState.SENT, False)


def test_a_command_that_is_sent_again_is_the_same(desk: Desk) -> None:
    """It is answered with where it is now, and nothing is written."""
    first = desk.send()
    before = desk.dump()
    again = desk.send()
    assert desk.dump() == before
    assert again == CommandReceipt("c1", first.position, first.expires_at, CommandState.SENT, True)
    taken = desk.taken()
    assert desk.send().state is CommandState.SENT
    desk.accept(taken)
    assert desk.send().state is CommandState.ACCEPTED
    desk.end(taken)
    again = desk.send()
    assert (again.state, again.position, again.duplicate) == (
        CommandState.DONE,
        first.position,
        True,
    )
    assert isinstance(desk.take(), NoneWaiting)


@pytest.mark.parametrize(
    "other", [{"event": "agent.resume"}, {"data": b'{"x":1}'}, {"sender": "bob"}]
)
def test_an_id_is_not_given_to_another_command(desk: Desk, other: dict[str, Any]) -> None:
    """Another content under a known id is refused: the wrong one would be answered for it."""
    desk.send()
    before = desk.dump()
    with pytest.raises(ProtocolError, match="the id c1 was another command's"):
        desk.send(**other)
    assert desk.dump() == before


def test_ids_are_remembered_within_bounds(desk: Desk) -> None:
    """The oldest makes room."""
    request = command_request(
        channel=CHANNEL, id="a", event="x", data=b"{}", sender="ann", origin=""
    )
    keys_, args = send_call(request, 1_000, "e1", "hub-1")
    for id in ("a", "b", "c"):
        own = (*args[:5], id, *args[6:13], 2, args[14])
        desk.client.eval(command_scripts.SEND, len(keys_), *keys_, *own)
    known: Any = desk.client.hkeys(keys.state(CHANNEL))
    assert set(known) == {b"b", b"c"}


def test_open_commands_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused until another ends; an emergency stop is not."""
    monkeypatch.setattr("hub.protocol.command_calls.MAX_OPEN", 2)
    for id in ("c1", "c2"):
        desk.send(id)
        desk.begun()
    with pytest.raises(ProtocolError, match="2 commands to this agent wait") as refused:
        desk.send("c3")
    assert refused.value.code is codes.TOO_MANY
    desk.send("stop", "emergency.stop")
    assert MAX_OPEN > 2


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        (1, "UPPER"),
        (2, "no epoch"),
        (3, "many"),
        (5, "a b"),
        (6, "a b"),
        (7, b"[]"),
        (7, b'{"x":\n1}'),
        (7, b'{"x":"%b"}' % (b"x" * MAX_COMMAND_BYTES)),
        (8, b'"a\nb"'),
        (10, 0),
        (10, "soon"),
        (12, "many"),
    ],
)
def test_wrong_arguments_write_nothing(desk: Desk, at: int, wrong: str | bytes | int) -> None:
    """A script does not roll back, so it looks first."""
    desk.send()
    before = desk.dump()
    request = CommandRequest(CHANNEL, "c2", "x", b"{}", "ann", "socket")
    call = send_call(request, 1_000, "e1", "hub-1")
    args = (*call.args[:at], wrong, *call.args[at + 1 :])
    with pytest.raises(redis.ResponseError, match="ARGS"):
        desk.run(command_scripts.SEND, Call(call.keys, args))
    with pytest.raises(redis.ResponseError, match="ARGS"):
        desk.run(command_scripts.SEND, Call(call.keys[:7], call.args))
    assert desk.dump() == before


@pytest.mark.parametrize(
    ("script", "args"),
    [
        (command_scripts.TAKE, ('"w"', 0, "any", 1)),
        (command_scripts.TAKE, ('"w"', 1, "some", 1)),
        (command_scripts.TAKE, ('"w"', 1, "any", 0)),
        (command_scripts.TAKE, ('"\n"', 1, "any", 1)),
        (command_scripts.ACCEPT, ("c1", "one", 1, "")),
        (command_scripts.ACCEPT, ("c1", 1, 0, "")),
        (command_scripts.RENEW, (0,)),
        (command_scripts.RENEW, (1, "c1")),
        (command_scripts.END, ("c1", 1, "over", "null", 10)),
        (command_scripts.END, ("c1", 1, "done", "12345678901", 10)),
    ],
)
def test_a_workers_wrong_arguments_write_nothing(
    desk: Desk, script: str, args: tuple[Any, ...]
) -> None:
    """Neither do the other scripts."""
    desk.send()
    before = desk.dump()
    call = sweep_call(CHANNEL, 1_000, "e1", "w")
    with pytest.raises(redis.ResponseError, match="ARGS"):
        desk.run(script, Call(call.keys, (*call.args, *args)))
    assert desk.dump() == before


def test_a_channel_of_another_kind_is_refused(desk: Desk) -> None:
    """Somebody made it one by hand."""
    desk.client.hset(keys.meta(CHANNEL), "kind", "value")
    with pytest.raises(KindMismatchError):
        desk.send()


def test_refusals_that_are_not_of_a_command() -> None:
    """Those of every script are read as they are, those of Redis are left."""
    assert isinstance(send_refusal("ARGS a command x"), PayloadError)
    assert send_refusal("OOM command not allowed") is None


# Taking, and beginning


def test_a_command_is_taken_once(desk: Desk) -> None:
    """Whoever takes it has all there is to know, and nobody else gets it."""
    receipt = desk.send(data=b'{"x":1}', sender="Ann Ö")
    taken = desk.taken()
    assert taken == Taken(
        "c1", 1, "agent.pause", b'{"x":1}', "Ann Ö", receipt.expires_at - 60_000_000,
        receipt.expires_at,
    )  # fmt: skip
    assert isinstance(desk.take(), NoneWaiting)


def test_commands_are_taken_in_order(desk: Desk) -> None:
    """In the order in which they were sent."""
    for id in ("z", "a", "m"):
        desk.send(id)
    assert [desk.taken().id for _ in range(3)] == ["z", "a", "m"]


def test_nothing_to_do_says_when_to_look_again(desk: Desk) -> None:
    """Where the log stands, and when something may become of a command."""
    assert desk.take() == NoneWaiting(0, None)
    desk.send()
    desk.taken()
    found = desk.take()
    assert isinstance(found, NoneWaiting)
    assert found.seq == 1
    assert found.due_ms is not None
    assert 0 < found.due_ms <= 60_000


def test_a_handed_command_that_its_worker_left_waits_again(desk: Desk) -> None:
    """Nothing was begun, so another may have it; the first can't begin any more."""
    desk.send("c1")
    desk.send("c2")
    first = desk.taken()
    desk.let_the_lease_pass("c1")
    second = desk.taken()
    assert (second.id, second.attempt) == ("c1", 2)
    assert desk.accept(first) is Outcome.LOST
    assert desk.accept(second) is Outcome.ACCEPTED
    assert desk.end(first) is Outcome.LOST
    assert desk.end(second) is Outcome.ENDED
    assert desk.events() == ["agent.pause", "agent.pause", "command.accepted", "command.done"]
    assert "returned" in desk.steps()


def test_a_handed_command_can_be_given_back(desk: Desk) -> None:
    """At once, and twice is once; what was begun can't."""
    desk.send()
    first = desk.taken()
    desk.give_back(first)
    desk.give_back(first)
    second = desk.begun()
    assert second.attempt == 2
    desk.give_back(second)
    assert isinstance(desk.take(), NoneWaiting)
    assert desk.steps() == ["sent", "handed", "returned", "handed", "accepted"]


def test_an_acceptance_is_told_once(desk: Desk) -> None:
    """Asked again, since the answer was lost, it is accepted still."""
    desk.send()
    taken = desk.taken()
    assert [desk.accept(taken) for _ in range(2)] == [Outcome.ACCEPTED] * 2
    assert desk.log()[1:] == [
        (
            "command.accepted",
            {
                "id": "c1",
                "event": "agent.pause",
                "sender": "ann",
                "attempt": 1,
                "worker": "paper@here:1",
            },
        )
    ]


def test_a_late_command_is_not_begun(desk: Desk) -> None:
    """It expires in the worker's hands."""
    desk.send()
    taken = desk.taken()
    desk.let_it_expire()
    assert desk.accept(taken) is Outcome.EXPIRED
    assert desk.accept(taken) is Outcome.LOST
    assert desk.events() == ["agent.pause", "command.expired"]
    assert desk.send().state is CommandState.EXPIRED


@pytest.mark.parametrize("handed", [False, True])
def test_what_nobody_accepted_expires(desk: Desk, handed: bool) -> None:
    """A hub's sweep ends it though no worker ever comes."""
    desk.send()
    if handed:
        desk.taken()
    desk.let_it_expire()
    desk.sweep()
    assert desk.events() == ["agent.pause", "command.expired"]
    assert isinstance(desk.take(), NoneWaiting)
    assert desk.log()[-1][1]["worker"] == ("paper@here:1" if handed else None)


def test_an_accepted_command_does_not_expire(desk: Desk) -> None:
    """It began in time; how long it takes is the worker's business, while that lives."""
    desk.send()
    taken = desk.begun()
    desk.let_it_expire()
    assert desk.renew(taken) == []
    desk.sweep()
    assert desk.end(taken) is Outcome.ENDED


# Ending


def test_a_command_is_done_with_its_result(desk: Desk) -> None:
    """Which follows in the log."""
    desk.send()
    assert desk.end(desk.begun(), CommandState.DONE, b'{"closed":["p-1"]}') is Outcome.ENDED
    event, data = desk.log()[-1]
    assert event == "command.done"
    assert data == {
        "id": "c1",
        "event": "agent.pause",
        "sender": "ann",
        "attempt": 1,
        "worker": "paper@here:1",
        "result": {"closed": ["p-1"]},
    }
    for name in (keys.open_commands, keys.waiting_commands, keys.due_commands):
        assert not desk.client.exists(name(CHANNEL))


@pytest.mark.parametrize("accepted", [False, True])
def test_a_command_fails_with_its_reason(desk: Desk, accepted: bool) -> None:
    """Also one that a worker looked at and did not begin."""
    desk.send()
    taken = desk.begun() if accepted else desk.taken()
    assert desk.end(taken, CommandState.FAILED, b'"no such position"') is Outcome.ENDED
    event, data = desk.log()[-1]
    assert (event, data["reason"]) == ("command.failed", "no such position")


def test_nothing_is_done_that_was_not_begun(desk: Desk) -> None:
    """A worker that forgot to accept is told."""
    desk.send()
    assert desk.end(desk.taken(), CommandState.DONE) is Outcome.LOST
    assert "command.done" not in desk.events()


def test_an_end_is_recorded_once(desk: Desk) -> None:
    """Said again, since the answer was lost, it is taken as said; said otherwise, it is not."""
    desk.send()
    taken = desk.begun()
    assert [desk.end(taken) for _ in range(2)] == [Outcome.ENDED] * 2
    assert desk.end(taken, CommandState.FAILED, b'"x"') is Outcome.LOST
    assert desk.events() == ["agent.pause", "command.accepted", "command.done"]


def test_what_a_dead_worker_had_accepted_fails(desk: Desk) -> None:
    """It may have been done, so nobody does it again; the worker that was not dead is told."""
    desk.send()
    taken = desk.begun()
    desk.let_the_lease_pass()
    desk.sweep()
    assert isinstance(desk.take(), NoneWaiting)
    event, data = desk.log()[-1]
    assert (event, data["reason"]) == ("command.failed", DIED)
    assert desk.renew(taken) == [b"c1"]
    assert desk.end(taken) is Outcome.LOST
    assert desk.events().count("command.failed") == 1
    assert desk.audit()[-1] | {"by": ""} == {
        "step": "refused", "id": "c1", "event": "", "sender": '""', "attempt": "1", "by": "",
        "outcome": "done", "text": "null",
    }  # fmt: skip


def test_a_late_end_counts_while_nobody_else_ended_it(desk: Desk) -> None:
    """A worker whose lease has passed, and whom nobody has missed yet, tells the truth."""
    desk.send()
    taken = desk.begun()
    desk.let_the_lease_pass()
    assert desk.end(taken) is Outcome.ENDED


def test_what_may_be_done_again_is_handed_to_another(desk: Desk) -> None:
    """Under another attempt; the dead worker's end counts no more."""
    desk.send()
    first = desk.begun(again=True)
    desk.let_the_lease_pass()
    second = desk.begun(again=True)
    assert second.attempt == 2
    assert desk.end(first) is Outcome.LOST
    assert desk.renew(first, second) == [b"c1"]
    assert desk.end(second) is Outcome.ENDED
    assert desk.events() == [
        "agent.pause", "command.accepted", "command.accepted", "command.done",
    ]  # fmt: skip


def test_what_may_be_done_again_is_not_begun_late(desk: Desk) -> None:
    """After its time it fails: nobody wants it now, and whether it was done is not known."""
    desk.send()
    desk.begun(again=True)
    desk.let_it_expire()
    desk.sweep()
    assert desk.log()[-1][1]["reason"] == DIED


def test_a_command_that_kills_its_workers_ends(desk: Desk) -> None:
    """After so many attempts."""
    desk.send()
    for attempt in range(1, MOST_ATTEMPTS + 1):
        assert desk.begun(again=True).attempt == attempt
        desk.let_the_lease_pass()
    assert isinstance(desk.take(), NoneWaiting)
    assert desk.events().count("command.accepted") == MOST_ATTEMPTS
    assert desk.events()[-1] == "command.failed"


def test_a_renewed_lease_holds(desk: Desk) -> None:
    """Of what is handed and of what was begun; a handed one no longer than until it expires."""
    desk.send("c1")
    desk.send("c2", expires_in_ms=30_000)
    begun, handed = desk.begun(), desk.taken()
    for id in ("c1", "c2"):
        desk.let_the_lease_pass(id)
    assert desk.renew(begun, handed) == []
    scores: Any = desk.client.zrange(keys.due_commands(CHANNEL), 0, -1, withscores=True)
    due = dict(scores)
    assert due[b"c2"] == handed.expires_at < due[b"c1"]
    desk.sweep()
    assert isinstance(desk.take(), NoneWaiting)
    assert desk.steps().count("returned") == 0


# Emergencies


def test_an_emergency_stop_overtakes(desk: Desk) -> None:
    """What was not begun fails, so that a start from before it is not done after it."""
    desk.send("closing", "position.close")
    running = desk.begun()
    desk.send("handed", "agent.start")
    handed = desk.taken()
    desk.send("waiting", "agent.start")
    desk.send("stop", "emergency.stop")
    desk.send("later", "agent.start")
    assert desk.accept(handed) is Outcome.LOST
    assert [desk.taken().id for _ in range(2)] == ["stop", "later"]
    assert desk.end(running) is Outcome.ENDED
    failed = {data["id"]: data["reason"] for event, data in desk.log() if event == "command.failed"}
    reason = "an emergency stop came before it was accepted"
    assert failed == {"handed": reason, "waiting": reason}


def test_emergency_stops_have_a_lane(desk: Desk) -> None:
    """A worker that is busy can take them alone; a second one does not end the first."""
    desk.send("stop-1", "emergency.stop")
    desk.send("c1")
    desk.send("stop-2", "emergency.stop")
    desk.send("c2")
    assert isinstance(ordinary := desk.take(Lane.ORDINARY), Taken)
    assert ordinary.id == "c2"
    assert isinstance(desk.take(Lane.ORDINARY), NoneWaiting)
    urgent = [desk.take(Lane.URGENT) for _ in range(3)]
    assert [each.id for each in urgent if isinstance(each, Taken)] == ["stop-1", "stop-2"]


# The channel


def test_a_worker_shows_that_it_listens(desk: Desk) -> None:
    """By the channel's lease, said now and then and not with every look."""
    with desk.client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(keys.pubsub(CHANNEL))
        pubsub.get_message(timeout=10)
        for _ in range(3):
            desk.take()
        desk.client.publish(keys.pubsub(CHANNEL), "end")
        lease = decode_lease(pubsub.get_message(timeout=10)["data"])
        assert lease is not None
        assert (lease.lease_ms, lease.position) == (3_000, Position("e1", 0, ""))
        assert pubsub.get_message(timeout=10)["data"] == b"end"
    meta: Any = desk.client.hgetall(keys.meta(CHANNEL))
    assert meta[b"kind"] == b"log"


def test_what_is_heard_is_what_is_stored(desk: Desk) -> None:
    """Subscribers of the channel get the log's own bytes."""
    with desk.client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(keys.pubsub(CHANNEL))
        pubsub.get_message(timeout=10)
        desk.send()
        stored: Any = desk.client.xrange(keys.log(CHANNEL))
        assert pubsub.get_message(timeout=10)["data"] == stored[0][1][b"e"]


def test_entries_are_chained(desk: Desk) -> None:
    """Each follows the one before it, whichever script wrote it."""
    desk.send()
    desk.end(desk.begun())
    at = Position("e1", 0, "")
    found: Any = desk.client.xrange(keys.log(CHANNEL))
    for _, fields in found:
        envelope = decode_envelope(CHANNEL, fields[b"e"])
        assert envelope.follows(at)
        at = envelope.position
    assert at.seq == 3


def test_a_lost_history_begins_anew_and_loses_no_command(desk: Desk) -> None:
    """Commands that are open stay open, and those that ended are known still."""
    desk.send("c1")
    desk.end(desk.begun())
    desk.send("c2")
    desk.client.delete(keys.log(CHANNEL))
    taken = desk.taken()
    assert (taken.id, desk.accept(taken)) == ("c2", Outcome.ACCEPTED)
    assert desk.events() == ["command.accepted"]
    assert desk.send("c1").state is CommandState.DONE
    assert desk.end(taken) is Outcome.ENDED


def test_the_log_is_bounded(desk: Desk) -> None:
    """By the stream's `keep`, as any other."""
    for n in range(300):
        request = CommandRequest(CHANNEL, f"c{n}", "x", b"{}", "ann", "")
        desk.run(command_scripts.SEND, send_call(request, 10, "e1", "hub-1"))
    assert desk.client.xlen(keys.log(CHANNEL)) < 300


def test_a_sweep_takes_bounded_steps(desk: Desk) -> None:
    """A thousand commands that expired together do not hold up the server in one go."""
    ids = [f"c{n}" for n in range(SWEPT_AT_ONCE + 1)]
    for id in ids:
        desk.send(id)
    for id in ids:
        desk.let_it_expire(id)
    desk.sweep()
    assert desk.client.hlen(keys.open_commands(CHANNEL)) == 1
    desk.sweep()
    assert desk.events().count("command.expired") == SWEPT_AT_ONCE + 1


def test_what_was_damaged_by_hand_is_passed_over(desk: Desk) -> None:
    """A command whose fields are gone is forgotten, and the next one taken."""
    desk.send("c1")
    desk.send("c2")
    desk.client.hdel(keys.open_commands(CHANNEL), "c1")
    assert isinstance(desk.take(), NoneWaiting)
    assert desk.taken().id == "c2"
    desk.let_the_lease_pass("c1")
    desk.sweep()
    assert not desk.client.zscore(keys.due_commands(CHANNEL), "c1")


def test_the_audit_says_who_and_from_where(desk: Desk) -> None:
    """Each step, with what was asked and what came of it."""
    desk.send(data=b'{"x":1}')
    desk.end(desk.begun(), CommandState.DONE, b'{"y":2}')
    sent, handed, accepted, done = desk.audit()
    of_all = {"id": "c1", "event": "agent.pause", "sender": '"ann"'}
    expires = sent.pop("expires_at")
    assert sent == {
        "step": "sent", **of_all, "attempt": "0", "by": "hub-1", "from": "socket",
        "data": '{"x":1}',
    }  # fmt: skip
    assert expires.isdecimal()
    of_worker = {**of_all, "attempt": "1", "by": "paper@here:1"}
    assert handed == {"step": "handed", **of_worker}
    assert accepted == {"step": "accepted", **of_worker}
    assert done == {"step": "done", **of_worker, "result": '{"y":2}'}
