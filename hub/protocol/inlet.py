"""The inlet: a Redis Stream that programs without a publisher add to, and how it is emptied.

Whoever has a Redis client adds an entry of fields to it (`XADD`); `tapecast ingest` publishes them.

Rules:
1. An entry is published and acknowledged in one step of one script, or put among the dead letters
   and acknowledged. There is no moment between the two at which a worker can die.
2. One worker at a time holds the lease, and both scripts do nothing for any other, whatever one
   that was frozen does when it wakes.
3. An entry is passed on only while it is the oldest that is pending, so the inlet's order is kept
   even where one in the middle of a batch fails.
4. A call may be repeated: an entry that is not pending any more is not published, and entries that
   were read and are still pending are read again before newer ones.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from hub.protocol.channels import check_channel, check_event
from hub.protocol.errors import PayloadError
from hub.protocol.publication import AppendEntry, Publication, Receipt, change_from_json
from hub.protocol.scripts import ANSWERS_KEPT, PUBLISH, Call, parse_receipt, publish_call
from hub.protocol.streams import Kind, Stream

DEFAULT_INLET = "tapecast:inlet"
DEFAULT_GROUP = "tapecast"
CONSUMER = "active"
"""One name for whichever worker holds the lease: what a dead one had read is the next one's."""
MAX_NAME_BYTES = 255
IDS_KEPT = 100_000
DEAD_KEPT = 10_000
DEAD_WORDS = 64
"""How many names and values of a bad entry go with it to the dead letters."""


class InletKeys(NamedTuple):
    """Where an inlet and what belongs to it live in Redis."""

    inlet: str
    group: str

    @property
    def lease(self) -> str:
        """String: the token of the worker that is active; expires when that one died."""
        return f"{self.inlet}:{self.group}:lease"

    @property
    def ids(self) -> str:
        """Sorted set: the last ids that entries named, by the time of their entry."""
        return f"{self.inlet}:{self.group}:ids"

    @property
    def dead(self) -> str:
        """Stream: entries that could not be published, with the reason."""
        return f"{self.inlet}:dead"


class InletEntry(msgspec.Struct, frozen=True):
    """What one entry asks for. id: of the stream; name: the publisher's own, "" for none; key:
    that of `publication.AppendEntry`."""

    id: str
    channel: str
    event: str
    data: bytes
    name: str = ""
    key: str = ""


def read_entry(id: str, fields: Sequence[bytes]) -> InletEntry:
    """Read names and values by turns: `channel`, `event` and `data`, and perhaps `id` and `key`.

    Others are ignored. Raises ProtocolError; what the data may be depends on the channel's kind.
    """
    given = dict(zip(fields[::2], fields[1::2], strict=True))
    missing = [name for name in ("channel", "event", "data") if name.encode() not in given]
    if missing:
        raise PayloadError(f"expected the fields channel, event and data, got no {missing[0]}")
    return InletEntry(
        id,
        check_channel(_text(given, b"channel")),
        check_event(_text(given, b"event")),
        given[b"data"],
        _bounded(given, b"id"),
        _bounded(given, b"key"),
    )


def _text(given: dict[bytes, bytes], name: bytes) -> str:
    # What is no UTF-8 is no name either, and is shown.
    return given.get(name, b"").decode(errors="replace")


def _bounded(given: dict[bytes, bytes], name: bytes) -> str:
    value = given.get(name, b"")
    if len(value) > MAX_NAME_BYTES:
        raise PayloadError(
            f"{name.decode()}: expected at most {MAX_NAME_BYTES} bytes, got {len(value)}"
        )
    return _text(given, name)


def publication_of(entry: InletEntry, kind: Kind, group: str, fresh: int) -> Publication:
    """The publish that an entry asks for, on a channel of `kind`. Raises PayloadError.

    fresh: a number that no other call has.
    """
    change = change_from_json(kind, entry.data)
    if isinstance(change, AppendEntry) and entry.key:
        change = AppendEntry(change.data, entry.key)
    # Rule 1 makes it once. By the entry's id it would not be published at all where another inlet's
    # entry has the same, as what is added in the same millisecond does. All are remembered in one
    # place, since none is asked for again.
    n = fresh * ANSWERS_KEPT
    return Publication(entry.channel, kind, entry.event, change, f"inlet-{group}", n)


TAKE = r"""
-- KEYS: inlet, lease.  ARGV: 1 group, 2 consumer, 3 the worker's token, 4 the lease in ms,
--       5 up to which id it has read, 6 up to which id all is acknowledged, 7 most entries,
--       8 whether it has just begun ('1')
local INLET, LEASE, group, consumer, done = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[6]
if redis.call('GET', LEASE) ~= ARGV[3] then return {'lost'} end
redis.call('PEXPIRE', LEASE, ARGV[4])

local function state()
  local groups = redis.call('XINFO', 'GROUPS', INLET)
  for _, one in ipairs(groups) do
    local of = {}
    for i = 1, #one, 2 do of[one[i]] = one[i + 1] end
    if of['name'] == group then
      return of['last-delivered-id'], tonumber(of['entries-read'] or nil), of['lag'], #groups
    end
  end
end

-- What somebody else took in this group's name is its own too.
local at, removed = ARGV[8] == '1' and '0-0' or nil, 0
while at do
  local claimed = redis.call('XAUTOCLAIM', INLET, group, consumer, 0, at, 'COUNT', 1000, 'JUSTID')
  at, removed = claimed[1], removed + #(claimed[3] or {})
  if at == '0-0' then at = nil end
end

local _, read_before = state()
local function read(from)
  local found = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', ARGV[7],
    'STREAMS', INLET, from)
  return found and found[1][2] or {}
end
local entries = read(ARGV[5])
local fresh = #entries == 0
if fresh then entries = read('>') end
local last, read_after, lag, groups = state()
if fresh and read_before and read_after then
  removed = removed + math.max(0, read_after - read_before - #entries)
end
-- Another group may not have seen what this one is done with. Whole nodes cost least; what is left
-- of the last one goes when it is quiet.
if groups == 1 and #entries == 0 and redis.call('XPENDING', INLET, group)[1] == 0 then
  redis.call('XTRIM', INLET, 'MAXLEN', 0)
elseif groups == 1 and done ~= '0-0' then
  redis.call('XTRIM', INLET, 'MINID', '~', done)
end
return {'taken', last, tostring(lag or ''), removed, entries}
"""

PASS_ON = r"""
-- KEYS: inlet, lease, ids, dead letters, then those of PUBLISH
-- ARGV: 1 group, 2 the worker's token, 3 the entry's id, 4 the name that it gave itself, 5 names
--       kept, 6 dead letters kept, 7 words of an entry that are buried,
--       8 the reason to bury it for ('' to publish it),
--       9 whether to bury it where its channel is of another kind ('1'), then those of PUBLISH
local INLET, LEASE, NAMES, DEAD = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, id, name, names_kept = ARGV[1], ARGV[3], ARGV[4], tonumber(ARGV[5])
local function rest(list, from)
  local found = {}
  for i = from, #list do found[#found + 1] = list[i] end
  return found
end
local function publish(KEYS, ARGV)
<publish>
end
local function bury(reason)
  local words = {'reason', reason, 'entry', id}
  local entry = redis.call('XRANGE', INLET, id, id)[1]
  for i = 1, entry and math.min(#entry[2], tonumber(ARGV[7])) or 0 do
    words[#words + 1] = entry[2][i]
  end
  redis.call('XADD', DEAD, 'MAXLEN', '~', ARGV[6], '*', unpack(words))
  redis.call('XACK', INLET, group, id)
  return 'buried ' .. reason
end

if redis.call('GET', LEASE) ~= ARGV[2] then return 'lost' end
local oldest = redis.call('XPENDING', INLET, group, '-', '+', 1)[1]
if not oldest or oldest[1] ~= id then
  return #redis.call('XPENDING', INLET, group, id, id, 1) == 0 and 'gone' or 'later'
end
if ARGV[8] ~= '' then return bury(ARGV[8]) end
if name ~= '' and redis.call('ZSCORE', NAMES, name) then
  redis.call('XACK', INLET, group, id)
  return 'known'
end
local answer = publish(rest(KEYS, 5), rest(ARGV, 10))
if type(answer) == 'table' then
  local word, reason = string.match(answer.err, '^(%u+) (.*)$')
  if word == 'KIND' and ARGV[9] ~= '1' then return 'kind' end
  return bury(reason)
end
redis.call('XACK', INLET, group, id)
if name ~= '' then
  redis.call('ZADD', NAMES, string.match(id, '^%d+'), name)
  local more = redis.call('ZCARD', NAMES) - names_kept
  if more > 0 then redis.call('ZPOPMIN', NAMES, more) end
end
return answer
""".replace("<publish>", PUBLISH)

GIVE_UP = r"""
-- KEYS: lease.  ARGV: 1 the worker's token
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Taken(msgspec.Struct, frozen=True):
    """What `TAKE` read.

    entries: id, and names and values by turns; None where it was removed after it was read.
    last: the newest id that was ever read. lag: what waits behind it, None where Redis can't tell.
    removed: how many entries were removed from the stream before they were published.
    """

    entries: list[tuple[str, list[bytes] | None]]
    last: str
    lag: int | None
    removed: int


def take_call(
    keys: InletKeys, token: str, lease_ms: int, read: str, done: str, limit: int, *, begun: bool
) -> Call:
    """The arguments of `TAKE`: up to which ids this worker has read, and all is acknowledged.

    begun: whether it has just got the lease.
    """
    return Call(
        (keys.inlet, keys.lease),
        (keys.group, CONSUMER, token, lease_ms, read, done, limit, "1" if begun else "0"),
    )


def parse_taken(reply: Sequence[Any]) -> Taken | None:
    """Read the answer of `TAKE`; None where the lease is another's."""
    if reply[0] == b"lost":
        return None
    _, last, lag, removed, entries = reply
    return Taken(
        [(id.decode(), fields) for id, fields in entries],
        last.decode(),
        int(lag) if lag else None,
        int(removed),
    )


def pass_on_call(
    keys: InletKeys,
    token: str,
    entry: InletEntry,
    kind: Kind,
    stream: Stream,
    new_epoch: str,
    fresh: int,
    *,
    kind_is_sure: bool,
) -> Call:
    """The arguments of `PASS_ON`, to publish an entry; where its channel is of another kind it is
    buried if `kind_is_sure`. `fresh`: a number that no other call has. Raises PayloadError."""
    publish = publish_call(publication_of(entry, kind, keys.group, fresh), stream, new_epoch)
    head = _pass_on_head(keys, token, entry.id, entry.name, "")
    return Call(
        (*head.keys, *publish.keys), (*head.args, "1" if kind_is_sure else "0", *publish.args)
    )


def bury_call(keys: InletKeys, token: str, id: str, reason: str) -> Call:
    """The arguments of `PASS_ON`, to put an entry among the dead letters."""
    return _pass_on_head(keys, token, id, "", reason)


def _pass_on_head(keys: InletKeys, token: str, id: str, name: str, reason: str) -> Call:
    return Call(
        (keys.inlet, keys.lease, keys.ids, keys.dead),
        (keys.group, token, id, name, IDS_KEPT, DEAD_KEPT, DEAD_WORDS, reason),
    )


class Fate(enum.Enum):
    """What became of an entry that was not published."""

    LOST = "lost"
    """Nothing: the lease is another worker's."""
    LATER = "later"
    """Nothing: an older entry is pending."""
    KIND = "kind"
    """Nothing: its channel is of another kind than was thought."""
    GONE = "gone"
    """It had been dealt with before."""
    KNOWN = "known"
    """It names itself as an earlier one did."""


class Buried(msgspec.Struct, frozen=True):
    """It is among the dead letters."""

    reason: str


_FATES = {fate.value: fate for fate in Fate}


def parse_passed_on(reply: bytes) -> Receipt | Fate | Buried:
    """Read the answer of `PASS_ON`."""
    word, _, reason = reply.decode(errors="replace").partition(" ")
    if word == "buried":
        return Buried(reason)
    return _FATES.get(word) or parse_receipt(reply)
