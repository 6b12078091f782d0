from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from hub.protocol import codes, keys, scripts
from hub.protocol.envelope import Envelope, decode_envelope, decode_lease, encode_envelope
from hub.protocol.errors import ChannelNameError, KindMismatchError, PayloadError, ProtocolError
from hub.protocol.payload import MAX_DATA_BYTES
from hub.protocol.position import Position
from hub.protocol.publication import AppendEntry, Publication, Receipt
from hub.protocol.reading import ChannelReading, missed
from hub.protocol.streams import KNOWN, Kind, Stream, stream_options
from tests.support.publications import entry, patch, rows, touch, value
from tests.support.redis_server import RedisServer
from tests.support.valkey import Valkey


class Caller:
    """Calls the scripts as a broker does. A refusal is raised; `epoch` is what a lost history
    begins with."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.epoch = "first"

    def publish(self, publication: Publication, stream: Stream | None = None) -> Receipt:
        options = stream or stream_options(publication.channel)
        return self.run(scripts.publish_call(publication, options, self.epoch))

    def run(self, call: scripts.Call) -> Receipt:
        try:
            reply = self.client.eval(scripts.PUBLISH, len(call.keys), *call.keys, *call.args)
        except redis.ResponseError as error:
            raise (scripts.refusal(str(error)) or error) from None
        return scripts.parse_receipt(reply)

    def read(
        self, channel: str, since: int | None = None, limit: int = 50, *, state: bool = True
    ) -> ChannelReading:
        call = scripts.read_call(channel, since, limit, state=state)
        reply: Any = self.client.eval(scripts.READ, len(call.keys), *call.keys, *call.args)
        return scripts.parse_reading(channel, reply, newest_first=since is None)

    def log(self, channel: str) -> list[tuple[bytes, Envelope]]:
        found: Any = self.client.xrange(keys.log(channel))
        return [(id, decode_envelope(channel, fields[b"e"])) for id, fields in found]

    def dump(self) -> dict[bytes, bytes | None]:
        names: Any = self.client.keys()
        return {name: self.client.dump(name) for name in names}


@pytest.fixture(scope="module", params=[Valkey, RedisServer])
def server(request: pytest.FixtureRequest) -> Iterator[Valkey]:
    with request.param() as server:
        yield server


@pytest.fixture
def caller(server: Valkey) -> Iterator[Caller]:
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.flushall()
        yield Caller(client)


@pytest.fixture
def heard(caller: Caller) -> Iterator[Callable[[str], list[bytes]]]:
    """What is published on a channel's name from its first call on."""
    with caller.client.pubsub() as pubsub:  # type: ignore[no-untyped-call]

        def take(channel: str) -> list[bytes]:
            if not pubsub.subscribed:
                pubsub.subscribe(keys.pubsub(channel))
                assert pubsub.get_message(timeout=10)["type"] == "subscribe"
            caller.client.publish(keys.pubsub(channel), "end")
            found = []
            while (payload := pubsub.get_message(timeout=10)["data"]) != b"end":
                found.append(payload)
            return found

        yield take


def test_an_entry_is_the_same_bytes_everywhere(
    caller: Caller, heard: Callable[[str], list[bytes]]
) -> None:
    """Stream and pub/sub carry what Python would have written for the same time."""
    heard("decisions")
    receipt = caller.publish(entry(1, b'{"action":"BUY"}'))
    [(id, stored)] = caller.log("decisions")
    empty = Position("first", 0, "")
    expected = encode_envelope("decisions", "decision_made", empty, stored.ts, b'{"action":"BUY"}')
    assert id == b"1-0"
    assert stored == expected
    assert heard("decisions") == [expected.payload]
    assert receipt == Receipt(expected.position)


def test_entries_are_chained_by_their_tags(caller: Caller) -> None:
    """Each entry follows the one before it, and the head is the last one's position."""
    for n in range(1, 6):
        caller.publish(entry(n, b'"%d"' % n))
    at = Position("first", 0, "")
    for _id, envelope in caller.log("decisions"):
        assert envelope.follows(at)
        at = envelope.position
    assert caller.read("decisions").position == at


def test_the_time_is_the_servers(caller: Caller) -> None:
    """An envelope's time lies between the server's own before and after."""
    before: Any = caller.client.time()
    caller.publish(entry(1, b"1"))
    after: Any = caller.client.time()
    [(_id, stored)] = caller.log("decisions")
    assert before[0] * 10**6 + before[1] <= stored.ts <= after[0] * 10**6 + after[1]


def test_a_repeated_publish_is_answered_the_same(caller: Caller) -> None:
    """The same producer and number write nothing, whatever came in between."""
    first = caller.publish(rows(1, {"a": b"1", "b": b"2"}))
    caller.publish(rows(2, {}))
    before = caller.dump()
    again = caller.publish(rows(1, {"a": b"1", "b": b"2"}))
    assert again == Receipt(first.position, duplicate=True, inserted=("a", "b"))
    assert caller.dump() == before


def test_an_unchanged_answer_is_repeated_too(caller: Caller) -> None:
    """A publish that had changed nothing stays unchanged, though the value is another now."""
    caller.publish(value(1, b"1"))
    unchanged = caller.publish(value(2, b"1"))
    caller.publish(value(3, b"2"))
    assert unchanged == Receipt(Position("first", 1, unchanged.position.tag), unchanged=True)
    again = caller.publish(value(2, b"1"))
    assert again == Receipt(unchanged.position, unchanged=True, duplicate=True)


def test_answers_are_kept_for_a_while_and_up_to_a_number(caller: Caller) -> None:
    """An id is forgotten when the producer is that many publishes further, or silent for a day."""
    kept = scripts.ANSWERS_KEPT
    for n in range(1, kept + 1):
        caller.publish(entry(n, b"1"))
    assert caller.publish(entry(1, b"1")).duplicate
    caller.publish(entry(kept + 1, b"2"))
    assert not caller.publish(entry(1, b"3")).duplicate
    assert caller.publish(entry(2, b"1")).duplicate
    answers = keys.answers("decisions", "paper")
    assert caller.client.hlen(answers) == kept
    assert 0 < int(str(caller.client.ttl(answers))) <= scripts.ANSWERS_SECONDS


def _lose_meta(client: redis.Redis, channel: str) -> None:
    client.delete(keys.meta(channel))


def _lose_one_field(client: redis.Redis, channel: str) -> None:
    client.hdel(keys.meta(channel), "tag")


def _lose_log(client: redis.Redis, channel: str) -> None:
    client.delete(keys.log(channel))


def _lose_last_entry(client: redis.Redis, channel: str) -> None:
    client.xdel(keys.log(channel), "2-0")


def _lose_everything(client: redis.Redis, channel: str) -> None:
    client.flushall()


def _add_a_stranger(client: redis.Redis, channel: str) -> None:
    client.xadd(keys.log(channel), {"hello": "world"})


def _break_the_number(client: redis.Redis, channel: str) -> None:
    client.hset(keys.meta(channel), "seq", "many")


def _lose_state(client: redis.Redis, channel: str) -> None:
    client.delete(keys.state(channel))


def _lose_a_row(client: redis.Redis, channel: str) -> None:
    client.hdel(keys.state(channel), "a")


_LOSSES = [
    _lose_meta,
    _lose_one_field,
    _lose_log,
    _lose_last_entry,
    _lose_everything,
    _add_a_stranger,
    _break_the_number,
]


@pytest.mark.parametrize(
    ("make", "lose"),
    [
        *((entry, lose) for lose in _LOSSES),
        *((value, lose) for lose in [*_LOSSES, _lose_state]),
        *(
            (lambda n, data: rows(n, {"a": b"0", "b": data}), lose)
            for lose in [*_LOSSES, _lose_state, _lose_a_row]
        ),
    ],
)
def test_a_lost_history_begins_a_new_epoch(
    caller: Caller,
    make: Callable[[int, bytes], Publication],
    lose: Callable[[redis.Redis, str], None],
) -> None:
    """Whatever is lost by hand, the next publish stands alone, at seq 1 of another epoch, and so
    does one whose id was answered in the old one."""
    channel = make(1, b"1").channel
    caller.publish(make(1, b"1"))
    caller.publish(make(2, b"2"))
    lose(caller.client, channel)
    caller.epoch = "second"
    receipt = caller.publish(make(2, b"2"))
    assert (receipt.position.epoch, receipt.position.seq) == ("second", 1)
    assert not receipt.duplicate
    assert not receipt.unchanged
    [(id, stored)] = caller.log(channel)
    assert id == b"1-0"
    assert stored.follows(Position("second", 0, ""))
    reading = caller.read(channel)
    assert reading.value in (None, b"2")
    assert reading.rows in ({}, {"a": b"0", "b": b"2"})


def test_a_lost_history_forgets_the_keys_of_its_entries(caller: Caller) -> None:
    """A keyed entry of the old epoch is published again in the new one."""
    caller.publish(entry(1, b"1", key="d-1"))
    _lose_log(caller.client, "decisions")
    caller.epoch = "second"
    receipt = caller.publish(entry(2, b"1", key="d-1", changed_event="decision_updated"))
    assert (receipt.position.epoch, receipt.unchanged) == ("second", False)
    assert caller.log("decisions")[0][1].event == "decision_made"


def test_an_answer_of_an_old_epoch_is_no_answer(caller: Caller) -> None:
    """Also where somebody else began the new epoch, an id of the old one is published anew."""
    caller.publish(entry(1, b"1"))
    _lose_log(caller.client, "decisions")
    caller.epoch = "second"
    caller.publish(entry(2, b"2", producer="other"))
    receipt = caller.publish(entry(1, b"1"))
    assert (receipt.position.epoch, receipt.position.seq, receipt.duplicate) == ("second", 2, False)


def _call(**changed: Any) -> scripts.Call:
    """A well-formed publish with single arguments replaced, by their number in the script."""
    call = scripts.publish_call(entry(7, b"7"), KNOWN["decisions"], "first")
    args = list(call.args)
    for name, argument in changed.items():
        args[int(name.removeprefix("argv")) - 1] = argument
    return scripts.Call(call.keys, tuple(args))


def _table_call(*body: scripts.Argument) -> scripts.Call:
    call = scripts.publish_call(rows(7, {}), KNOWN["positions"], "first")
    return scripts.Call(call.keys, (*call.args[:14], *body))


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(_call(argv2="Decisions"), id="channel"),
        pytest.param(_call(argv3="queue"), id="kind"),
        pytest.param(_call(argv3="queue", argv4="touch"), id="kind of a touch"),
        pytest.param(_call(argv4="set"), id="operation of another kind"),
        pytest.param(_call(argv4="truncate"), id="operation"),
        pytest.param(_call(argv5='x","y":"'), id="event"),
        pytest.param(_call(argv5=""), id="no event"),
        pytest.param(_call(argv7='"'), id="epoch"),
        pytest.param(_call(argv8=-1), id="n"),
        pytest.param(_call(argv8="1.5"), id="broken n"),
        pytest.param(_call(argv9="soon"), id="lease"),
        pytest.param(_call(argv9=-1), id="negative lease"),
        pytest.param(_call(argv10=0), id="keep"),
        pytest.param(_call(argv11=""), id="keys kept"),
        pytest.param(_call(argv12=""), id="answers kept"),
        pytest.param(_call(argv14=""), id="most bytes"),
        pytest.param(_call()._replace(args=_call().args[:15]), id="no entry key"),
        pytest.param(_call()._replace(args=(*_call().args, "more")), id="too many"),
        pytest.param(_call()._replace(args=_call().args[:13]), id="too few"),
        pytest.param(_call()._replace(keys=_call().keys[:4]), id="too few keys"),
        pytest.param(_table_call(), id="no rows"),
        pytest.param(_table_call("some"), id="broken number of rows"),
        pytest.param(_table_call(2, "a", "1", "b"), id="fewer rows than announced"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    caller: Caller, call: scripts.Call
) -> None:
    """A script does not roll back, so it refuses first."""
    caller.publish(entry(1, b"1"))
    caller.publish(rows(1, {"a": b"1"}))
    before = caller.dump()
    with pytest.raises(PayloadError) as refused:
        caller.run(call)
    assert refused.value.code is codes.INVALID_DATA
    assert caller.dump() == before


def test_another_kind_is_refused_before_anything_is_written(caller: Caller) -> None:
    """A channel keeps the kind of its first publish."""
    caller.publish(value(1, b"1", channel="decisions"))
    before = caller.dump()
    for publication in (entry(2, b"2"), touch("decisions", Kind.LOG, lease_ms=1000)):
        with pytest.raises(KindMismatchError, match="decisions is a value, not a log"):
            caller.publish(publication)
    assert caller.dump() == before


def test_too_many_bytes_are_refused_before_anything_is_written(caller: Caller) -> None:
    """The bound holds for data and keys together; at the bound a publish is accepted."""
    before = caller.dump()
    with pytest.raises(PayloadError, match=f"at most {MAX_DATA_BYTES} bytes") as refused:
        caller.publish(entry(1, b"1" * MAX_DATA_BYTES, key="k"))
    assert refused.value.code is codes.TOO_LARGE
    assert caller.dump() == before
    assert caller.publish(entry(1, b"1" * (MAX_DATA_BYTES - 1), key="k")).position.seq == 1


def test_errors_of_redis_itself_are_no_refusals() -> None:
    """Only what the publish script says is the publisher's fault."""
    assert scripts.refusal("OOM command not allowed when used memory > 'maxmemory'") is None


@pytest.mark.parametrize("channel", ["Decisions", "", "a}b", "decisions:"])
def test_names_outside_the_grammar_never_reach_redis(channel: str) -> None:
    """A call is not even made of them."""
    with pytest.raises(ChannelNameError):
        scripts.publish_call(entry(1, b"1", channel=channel), KNOWN["decisions"], "first")


def test_events_outside_the_grammar_never_reach_redis() -> None:
    """An event that would break the envelope is refused."""
    change = AppendEntry(b"1")
    publication = Publication("decisions", Kind.LOG, 'x","y":"', change, "paper", 1)
    with pytest.raises(ProtocolError):
        scripts.publish_call(publication, KNOWN["decisions"], "first")


def test_large_numbers_keep_their_digits(caller: Caller) -> None:
    """Lua's numbers are doubles: a seq near 2**53 is written whole, not as 9.007e+15."""
    caller.publish(entry(1, b"1"))
    caller.client.hset(keys.meta("decisions"), "seq", 9007199254740000)
    caller.client.xadd(keys.log("decisions"), {"e": "by hand"}, id="9007199254740000-0")
    receipt = caller.publish(entry(9007199254740000, b"2", key="k", lease_ms=86_400_000))
    assert receipt.position.seq == 9007199254740001
    reading = caller.read("decisions", 9007199254740000)
    assert [entry.seq for entry in reading.entries] == [9007199254740001]
    assert reading.position == receipt.position
    again = caller.publish(entry(9007199254740000, b"2", key="k"))
    assert again == Receipt(receipt.position, duplicate=True)
    same = caller.publish(entry(9007199254740001, b"2", key="k"))
    assert same == Receipt(receipt.position, unchanged=True)


_ODD_KEYS = ['"quoted"', "back\\slash", "a/b", "Zürich 東京", "line\nbreak", "tab\t", "{}", "\x7f"]


def test_row_keys_of_any_text_travel_whole(caller: Caller) -> None:
    """Keys come back as they were given, in envelope, receipt and state."""
    table = {key: b'{"n":%d}' % n for n, key in enumerate(_ODD_KEYS)}
    receipt = caller.publish(rows(1, table))
    assert sorted(receipt.inserted) == sorted(_ODD_KEYS)
    assert caller.read("positions").rows == table
    gone = caller.publish(rows(2, {}))
    assert sorted(gone.deleted) == sorted(_ODD_KEYS)
    [(_, first), (_, second)] = caller.log("positions")
    upsert = {key: {"n": n} for n, key in enumerate(_ODD_KEYS)}
    assert json.loads(first.data) == {"upsert": upsert, "delete": []}
    deleted = json.loads(second.data)
    assert deleted["upsert"] == {}
    assert sorted(deleted["delete"]) == sorted(_ODD_KEYS)


def test_a_patch_changes_what_differs(caller: Caller) -> None:
    """Equal rows and deletes of absent keys are left out; a key that is named twice goes once."""
    caller.publish(rows(1, {"a": b"1", "b": b"2", "c": b"3"}))
    receipt = caller.publish(patch(2, {"a": b"1", "b": b"20", "d": b"4"}, ("c", "x", "c")))
    assert (receipt.inserted, receipt.updated, receipt.deleted) == (("d",), ("b",), ("c",))
    data = json.loads(caller.log("positions")[1][1].data)
    assert data == {"upsert": {"b": 20, "d": 4}, "delete": ["c"]}
    assert caller.read("positions").rows == {"a": b"1", "b": b"20", "d": b"4"}
    assert caller.publish(patch(3, {"a": b"1"}, ("x",))) == Receipt(
        receipt.position, unchanged=True
    )


def test_a_large_table_changes_whole(caller: Caller) -> None:
    """More rows than one call of Redis takes are inserted, updated and deleted like a few."""
    many = {f"p-{n:04}": b"%d" % n for n in range(2501)}
    assert caller.publish(rows(1, many)).inserted == tuple(many)
    assert caller.publish(rows(2, many)).unchanged
    half = dict.fromkeys(list(many)[:1250], b"-1")
    receipt = caller.publish(rows(3, half))
    assert (receipt.inserted, receipt.updated) == ((), tuple(half))
    assert receipt.deleted == tuple(list(many)[1250:])
    assert caller.read("positions").rows == half
    gone = tuple(half)[1:]
    assert caller.publish(patch(4, {"new": b"1"}, gone)).deleted == gone
    assert caller.read("positions").rows == {"p-0000": b"-1", "new": b"1"}
    replaced = caller.publish(rows(5, {"new": b"1", "other": b"2"}))
    assert (replaced.inserted, replaced.deleted) == (("other",), ("p-0000",))


def test_the_oldest_entry_keys_are_forgotten_first(caller: Caller) -> None:
    """Beyond the number kept, the key longest unchanged counts as new again."""
    stream = Stream(keys_keep=2)
    for n, key in enumerate(["a", "b", "a", "c"]):
        caller.publish(entry(n, b"%d" % n, key=key), stream)
    assert caller.publish(entry(10, b"2", key="a"), stream).unchanged
    assert not caller.publish(entry(11, b"1", key="b"), stream).unchanged


def test_a_changed_entry_has_its_own_event(caller: Caller) -> None:
    """An entry under a known key with other data is published as what the publisher says."""
    first = caller.publish(entry(1, b"1", key="d-1", changed_event="decision_updated"))
    caller.publish(entry(2, b"2"))
    same = caller.publish(entry(3, b"1", key="d-1", changed_event="decision_updated"))
    changed = caller.publish(entry(4, b"3", key="d-1", changed_event="decision_updated"))
    unnamed = caller.publish(entry(5, b"4", key="d-1"))
    assert same == Receipt(first.position, unchanged=True)
    assert [changed.position.seq, unnamed.position.seq] == [3, 4]
    events = [envelope.event for _id, envelope in caller.log("decisions")]
    assert events == ["decision_made", "decision_made", "decision_updated", "decision_made"]


def test_the_stream_is_bounded(caller: Caller) -> None:
    """Old entries go, in steps that Redis chooses; what is left can't prove an old position."""
    stream = Stream(history=1, keep=10)
    first = caller.publish(entry(0, b"0"), stream)
    for n in range(1, 400):
        caller.publish(entry(n, b"%d" % n), stream)
    reading = caller.read("decisions", 1, 1000)
    assert 10 <= len(reading.entries) <= 300
    assert missed(reading, first.position) is None
    last = reading.entries[-10].position
    assert missed(reading, last) == reading.entries[-9:]


def test_a_quiet_channel_renews_its_lease(
    caller: Caller, heard: Callable[[str], list[bytes]]
) -> None:
    """A publish that changes nothing says so in a few bytes that are no envelope."""
    heard("portfolio")
    head = caller.publish(value(1, b"1", lease_ms=5000)).position
    caller.publish(value(2, b"1", lease_ms=5000))
    caller.publish(touch("portfolio", Kind.VALUE))
    _envelope, first, *renewals = heard("portfolio")
    for payload in (first, *renewals):
        lease = decode_lease(payload)
        assert lease is not None
        assert (lease.lease_ms, lease.position) == (5000, head)
    assert len(renewals) == 2
    reading = caller.read("portfolio")
    assert reading.lease_ms == 5000
    assert reading.lease_left_ms is not None
    assert 0 < reading.lease_left_ms <= 5000


def test_a_lease_is_announced_when_its_length_changes(
    caller: Caller, heard: Callable[[str], list[bytes]]
) -> None:
    """An envelope renews a lease without naming it, so another length is said beside it."""
    heard("decisions")
    caller.publish(entry(1, b"1", lease_ms=5000))
    caller.publish(entry(2, b"2", lease_ms=5000))
    caller.publish(entry(3, b"3"))
    caller.publish(entry(4, b"4", lease_ms=9000))
    leases = [decode_lease(payload) for payload in heard("decisions")]
    lengths = [lease.lease_ms if lease else None for lease in leases]
    assert lengths == [None, 5000, None, None, None, 9000]


def test_a_lease_that_ran_out_is_negative(caller: Caller) -> None:
    """What is left goes below nothing by as long as the producer is late."""
    caller.publish(value(1, b"1", lease_ms=5000))
    seconds, _micro = caller.client.time()
    caller.client.hset(keys.meta("portfolio"), "until", int(seconds - 60) * 10**6)
    left = caller.read("portfolio").lease_left_ms
    assert left is not None
    assert -70_000 < left <= -60_000


def test_a_channel_without_a_lease_has_none(caller: Caller) -> None:
    """Where no producer said how long, nothing is left and nothing ran out."""
    caller.publish(value(1, b"1"))
    reading = caller.read("portfolio")
    assert (reading.lease_ms, reading.lease_left_ms) == (0, None)


def test_a_touch_opens_a_channel_at_seq_0(caller: Caller) -> None:
    """A channel that was only touched has a kind, an epoch, and no entry."""
    receipt = caller.publish(touch("status", Kind.VALUE, lease_ms=1000))
    assert receipt == Receipt(Position("first", 0, ""), unchanged=True)
    reading = caller.read("status")
    assert (reading.position, reading.kind) == (receipt.position, Kind.VALUE)
    assert (reading.value, reading.entries) == (None, ())
    caller.epoch = "second"
    assert caller.publish(value(1, b"1", channel="status")).position.epoch == "first"


def test_an_empty_table_over_nothing_is_unchanged(caller: Caller) -> None:
    """No rows where there were none is no change."""
    assert caller.publish(rows(1, {})) == Receipt(Position("first", 0, ""), unchanged=True)


def test_reading_a_channel_that_nobody_wrote(caller: Caller) -> None:
    """It is empty, without a position."""
    assert caller.read("portfolio") == ChannelReading.empty("portfolio")


def test_reading_the_newest_and_reading_on(caller: Caller) -> None:
    """Both give entries oldest first; the limit cuts the far end."""
    for n in range(1, 8):
        caller.publish(entry(n, b"%d" % n))
    assert [entry.seq for entry in caller.read("decisions", None, 3).entries] == [5, 6, 7]
    assert [entry.seq for entry in caller.read("decisions", 2, 3).entries] == [3, 4, 5]
    assert [entry.seq for entry in caller.read("decisions", 0, 99).entries] == list(range(1, 8))
    assert caller.read("decisions", 7, 3).entries == ()
    assert caller.read("decisions", 99, 3).entries == ()


@pytest.mark.parametrize("since", [None, 0])
def test_reading_no_entries_at_all(caller: Caller, since: int | None) -> None:
    """With a limit of 0 there is a head and the state; COUNT 0 used to be answered with null."""
    head = caller.publish(value(1, b"1")).position
    reading = caller.read("portfolio", since, 0)
    assert (reading.position, reading.value, reading.entries) == (head, b"1", ())


def test_reading_without_the_state(caller: Caller) -> None:
    """A repair that only needs entries leaves the state where it is."""
    caller.publish(value(1, b"1"))
    caller.publish(rows(1, {"a": b"1"}))
    assert caller.read("portfolio", state=False).value is None
    assert caller.read("positions", state=False).rows == {}
    assert len(caller.read("positions", state=False).entries) == 1


@pytest.mark.parametrize("poison", [{"e": "no envelope"}, {"hello": "world"}])
def test_a_poisoned_entry_ends_what_can_be_read(caller: Caller, poison: dict[str, str]) -> None:
    """Neither reading crosses an entry that no script wrote, so no resume can be proved over it."""
    for n in range(1, 4):
        caller.publish(entry(n, b"%d" % n))
    payloads = [envelope.payload for _id, envelope in caller.log("decisions")]
    caller.client.delete(keys.log("decisions"))
    fields: Any = [{"e": payloads[0]}, poison, {"e": payloads[2]}]
    for n, field in enumerate(fields, 1):
        caller.client.xadd(keys.log("decisions"), field, id=f"{n}-0")
    assert [entry.seq for entry in caller.read("decisions", None).entries] == [3]
    assert [entry.seq for entry in caller.read("decisions", 0).entries] == [1]


def test_an_entry_of_another_channel_is_poison(caller: Caller) -> None:
    """An envelope that was copied from one channel's stream to another's is not read as its own."""
    caller.publish(entry(1, b"1", channel="alerts"))
    caller.publish(entry(1, b"1"))
    stolen = caller.log("alerts")[0][1].payload
    caller.client.delete(keys.log("decisions"))
    caller.client.xadd(keys.log("decisions"), {"e": stolen}, id="1-0")
    assert caller.read("decisions").entries == ()


def test_entries_beyond_the_head_are_not_read(caller: Caller) -> None:
    """What a stranger appended stands after the head, where no reading looks."""
    caller.publish(entry(1, b"1"))
    _add_a_stranger(caller.client, "decisions")
    assert [entry.seq for entry in caller.read("decisions", 0).entries] == [1]
    assert [entry.seq for entry in caller.read("decisions", None).entries] == [1]
