"""The two Lua scripts that channels are written and read with, and their calls in Python.

Redis runs a script whole or not at all as others see it, but does not roll back what a failing one
has written (Redis documentation, "Scripting with Lua"). So `PUBLISH` checks and reads all it needs
before its first write. Both are called by hash (`EVALSHA`); the caller loads them on NOSCRIPT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from hub.protocol import codes, keys
from hub.protocol.agent_commands import check_publishable
from hub.protocol.channels import check_event
from hub.protocol.envelope import Envelope, decode_envelope
from hub.protocol.errors import EnvelopeError, KindMismatchError, PayloadError, ProtocolError
from hub.protocol.payload import MAX_DATA_BYTES
from hub.protocol.position import Position
from hub.protocol.publication import (
    AppendEntry,
    Change,
    PatchRows,
    Publication,
    Receipt,
    ReplaceRows,
    SetValue,
)
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind, Stream

ANSWERS_KEPT = 1024
"""How many publishes of one producer to one channel are remembered. A publisher never has as many
unanswered."""

ANSWERS_SECONDS = 24 * 3600

Argument: TypeAlias = str | bytes | int


class Call(NamedTuple):
    """One EVALSHA: pass `len(keys)`, the keys, then the arguments."""

    keys: tuple[str, ...]
    args: tuple[Argument, ...]


PUBLISH = r"""
-- KEYS: meta, log, state, entry keys, answers of this producer
-- ARGV: 1 pub/sub name, 2 channel, 3 kind, 4 operation, 5 event, 6 event of a changed entry,
--       7 epoch to start where history was lost, 8 n, 9 lease in ms (0: as it is), 10 keep,
--       11 keys kept, 12 answers kept, 13 seconds they are kept, 14 most bytes of data, then
--       value, log:     15 data, 16 the entry's key ('' for none)
--       patch, replace: 15 number of rows, then key and row of each, then keys to delete
-- A call into Redis takes as long as many lines between them, so one call reads or writes
-- what it can; of at most 1,000 words, as Lua's stack is bounded.
local META, LOG, STATE, ENTRY_KEYS, ANSWERS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local pubsub, channel, kind, op, event = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local n, new_lease = ARGV[8], tonumber(ARGV[9])
local keep, keys_kept, answers_kept = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local max_bytes = tonumber(ARGV[14])

-- Check the arguments.
local of_rows = op == 'patch' or op == 'replace'
local of_kind = op == 'set' and 'value' or op == 'append' and 'log' or of_rows and 'table'
    or op == 'touch' and kind
if #KEYS ~= 5 or #ARGV < 14 or of_kind ~= kind
    or not (kind == 'value' or kind == 'table' or kind == 'log')
    or not (n and string.match(n, '^%d+$')) or not new_lease or new_lease < 0
    or not keep or keep < 1 or not keys_kept or not answers_kept or answers_kept < 1
    or not max_bytes or not string.match(event, '^[%w_.:-]+$')
    or not string.match(ARGV[7], '^[%w_-]+$') or not string.match(channel, '^[%l%d_.:-]+$') then
  return redis.error_reply('ARGS a publish of ' .. tostring(op) .. ' to a ' .. tostring(kind))
end
local rows = tonumber(ARGV[15])
if of_rows then
  if not rows or #ARGV < 15 + 2 * rows then
    return redis.error_reply('ARGS fewer rows than announced')
  end
elseif op ~= 'touch' and #ARGV ~= 16 then
  return redis.error_reply('ARGS expected data and key')
end
local bytes = 0
for i = 15, #ARGV do bytes = bytes + #ARGV[i] end
if bytes > max_bytes then
  return redis.error_reply('SIZE expected at most ' .. ARGV[14] .. ' bytes, got ' .. bytes)
end

-- Read where the channel stands; lost history begins a new epoch.
local meta = redis.call('HMGET', META, 'epoch', 'seq', 'tag', 'kind', 'lease', 'rows')
local epoch, seq, tag, lease = meta[1], tonumber(meta[2]), meta[3], tonumber(meta[5]) or 0
if meta[4] and meta[4] ~= kind then
  return redis.error_reply('KIND ' .. channel .. ' is a ' .. meta[4] .. ', not a ' .. kind)
end
local value = op == 'set' and redis.call('GET', STATE)
local lost = not (epoch and seq and tag and meta[4])
if not lost then
  local last = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]
  lost = (last and last[1] or '0-0') ~= meta[2] .. '-0'
    or (kind == 'table' and redis.call('HLEN', STATE) ~= tonumber(meta[6] or 0))
    or (kind == 'value' and seq > 0 and not value
        and (op == 'set' or redis.call('EXISTS', STATE) == 0))
end

-- A publish that was answered before is answered the same, unless its history is gone.
-- What it is answered stands in a ring: the one that is so many publishes older makes room.
local slot = n % answers_kept
if not lost and op ~= 'touch' then
  local known = redis.call('HGET', ANSWERS, slot)
  if known then
    local known_n, answer, known_epoch = string.match(known, '^(%d+) (%l+ (%S+) .*)$')
    if known_n == n and known_epoch == epoch then return 'again ' .. answer end
  end
end

-- Find what changed.
local data, inserted, updated, deleted = nil, {}, {}, {}
local writes, changes, digest, same = {}, '', nil, nil
if op == 'set' then
  if lost or seq == 0 or value ~= ARGV[15] then data = ARGV[15] end
elseif op == 'append' then
  data = ARGV[15]
  if ARGV[16] ~= '' then
    digest = redis.sha1hex(data)
    local before = not lost and redis.call('HGET', STATE, ARGV[16])
    if before then
      local old_digest, old_seq, old_tag = string.match(before, '^(%x+) (%d+) (%x+)$')
      if old_digest == digest then
        data = nil
        same = {old_seq, old_tag}
      elseif ARGV[6] ~= '' then
        event = ARGV[6]
      end
    end
  end
elseif of_rows then
  -- The rows' keys, then those to delete.
  local names, before, upsert = {}, {}, {}
  for i = 16, 14 + 2 * rows, 2 do names[#names + 1] = ARGV[i] end
  for i = 16 + 2 * rows, #ARGV do names[#names + 1] = ARGV[i] end
  for at = 1, lost and 0 or #names, 1000 do
    local found = redis.call('HMGET', STATE, unpack(names, at, math.min(at + 999, #names)))
    for i = 1, #found do before[at + i - 1] = found[i] end
  end
  for i = 1, rows do
    local row = ARGV[15 + 2 * i]
    if before[i] ~= row then
      local key = cjson.encode(names[i])
      local changed = before[i] and updated or inserted
      changed[#changed + 1] = key
      upsert[#upsert + 1] = key .. ':' .. row
      writes[#writes + 1], writes[#writes + 2] = names[i], row
    end
  end
  if op == 'patch' then
    local seen = {}
    for i = rows + 1, #names do
      if before[i] and not seen[names[i]] then deleted[#deleted + 1] = names[i] end
      seen[names[i]] = true
    end
  elseif not lost and #inserted + tonumber(meta[6] or 0) ~= rows then
    local given = {}
    for i = 1, rows do given[names[i]] = true end
    for _, key in ipairs(redis.call('HKEYS', STATE)) do
      if not given[key] then deleted[#deleted + 1] = key end
    end
  end
  table.sort(deleted)
  if #upsert + #deleted > 0 then
    local delete = {}
    for i, key in ipairs(deleted) do delete[i] = cjson.encode(key) end
    upsert, delete = table.concat(upsert, ','), table.concat(delete, ',')
    data = '{"upsert":{' .. upsert .. '},"delete":[' .. delete .. ']}'
    changes = '[[' .. table.concat(inserted, ',') .. '],[' .. table.concat(updated, ',') .. '],['
      .. delete .. ']]'
  end
end

-- From here on, only writes.
local time = redis.call('TIME')
local ts = time[1] .. string.format('%06d', time[2])
if lost then
  redis.call('DEL', META, LOG, STATE, ENTRY_KEYS)
  epoch, seq, tag = ARGV[7], 0, ''
  redis.call('HSET', META, 'epoch', epoch, 'seq', 0, 'tag', '', 'kind', kind, 'rows', 0)
end
local status, fields, at_seq, at_tag = 'unchanged', {}, string.format('%.0f', seq), tag
if new_lease > 0 then lease = new_lease end
if lease > 0 then
  fields = {'lease', lease, 'until', string.format('%.0f', ts + lease * 1000)}
end
if same then at_seq, at_tag = same[1], same[2] end
if data then
  status, seq = 'stored', seq + 1
  at_seq = string.format('%.0f', seq)
  tag = string.sub(redis.sha1hex(
    tag .. ' ' .. epoch .. ' ' .. at_seq .. ' ' .. event .. ' ' .. ts .. ' ' .. data), 1, 8)
  at_tag = tag
  local envelope = '{"channel":"' .. channel .. '","type":"update","event":"' .. event
    .. '","epoch":"' .. epoch .. '","seq":' .. at_seq .. ',"tag":"' .. tag
    .. '","ts":' .. ts .. ',"data":' .. data .. '}'
  redis.call('XADD', LOG, 'MAXLEN', '~', keep, at_seq .. '-0', 'e', envelope)
  if kind == 'value' then
    redis.call('SET', STATE, data)
  elseif kind == 'table' then
    for at = 1, #writes, 1000 do
      redis.call('HSET', STATE, unpack(writes, at, math.min(at + 999, #writes)))
    end
    for at = 1, #deleted, 1000 do
      redis.call('HDEL', STATE, unpack(deleted, at, math.min(at + 999, #deleted)))
    end
    fields[#fields + 1], fields[#fields + 2] = 'rows', redis.call('HLEN', STATE)
  elseif digest then
    redis.call('HSET', STATE, ARGV[16], digest .. ' ' .. at_seq .. ' ' .. at_tag)
    redis.call('ZADD', ENTRY_KEYS, at_seq, ARGV[16])
    if redis.call('ZCARD', ENTRY_KEYS) > keys_kept then
      redis.call('HDEL', STATE, redis.call('ZPOPMIN', ENTRY_KEYS)[1])
    end
  end
  redis.call('HSET', META, 'seq', at_seq, 'tag', tag, unpack(fields))
  redis.call('PUBLISH', pubsub, envelope)
elseif lease > 0 then
  redis.call('HSET', META, unpack(fields))
end
-- Hubs take the lease's length from here; an envelope renews it without naming it.
if not data or (new_lease > 0 and new_lease ~= tonumber(meta[5])) then
  redis.call('PUBLISH', pubsub, string.format('~%.0f ', lease) .. epoch .. ' '
    .. string.format('%.0f ', seq) .. tag)
end
local answer = status .. ' ' .. epoch .. ' ' .. at_seq .. ' ' .. at_tag .. ' ' .. changes
if op ~= 'touch' then
  redis.call('HSET', ANSWERS, slot, n .. ' ' .. answer)
  redis.call('EXPIRE', ANSWERS, ARGV[13])
end
return answer
"""

READ = r"""
-- KEYS: meta, log, state.  ARGV: 1 seq to read on from ('' for the newest), 2 most entries,
--       3 whether to read the state too ('1')
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'tag', 'kind', 'lease', 'until')
if not (meta[1] and meta[2] and meta[3] and meta[4]) then return {} end
local time = redis.call('TIME')
local left = ''
if meta[6] then
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  left = string.format('%.0f', (tonumber(meta[6]) - now) / 1000)
end
local state = {}
if ARGV[3] == '1' then
  if meta[4] == 'value' then
    state = {redis.call('GET', KEYS[3]) or nil}
  elseif meta[4] == 'table' then
    state = redis.call('HGETALL', KEYS[3])
  end
end
local entries = {}
if ARGV[2] == '0' then
  -- COUNT 0 would be answered with null.
elseif ARGV[1] == '' then
  entries = redis.call('XREVRANGE', KEYS[2], meta[2] .. '-0', '-', 'COUNT', ARGV[2])
else
  entries = redis.call('XRANGE', KEYS[2], '(' .. ARGV[1] .. '-0', meta[2] .. '-0',
    'COUNT', ARGV[2])
end
return {meta[1], meta[2], meta[3], meta[4], meta[5] or '0', left, state, entries}
"""

_Keys: TypeAlias = tuple[str, ...]
_decode_changes = msgspec.json.Decoder(tuple[_Keys, _Keys, _Keys]).decode

_OPERATIONS = {SetValue: "set", AppendEntry: "append", PatchRows: "patch", ReplaceRows: "replace"}


def publish_call(publication: Publication, stream: Stream, new_epoch: str) -> Call:
    """The arguments of `PUBLISH`; `new_epoch` is a fresh random id, used where history was lost.

    Raises ChannelNameError, and ProtocolError where commands travel.
    """
    channel, change = check_publishable(publication.channel), publication.change
    body: tuple[Argument, ...]
    match change:
        case SetValue(data):
            body = (data, "")
        case AppendEntry(data, key):
            body = (data, key)
        case ReplaceRows(rows):
            body = (len(rows), *_flat(rows))
        case PatchRows(upsert, delete):
            body = (len(upsert), *_flat(upsert), *delete)
        case _:
            body = ()
    return Call(
        keys.of_publish(channel, publication.producer),
        (
            keys.pubsub(channel),
            channel,
            publication.kind,
            _OPERATIONS.get(type(change), "touch"),
            check_event(publication.event),
            _changed_event(change),
            new_epoch,
            publication.n,
            publication.lease_ms,
            stream.keep,
            stream.keys_keep,
            ANSWERS_KEPT,
            ANSWERS_SECONDS,
            MAX_DATA_BYTES,
            *body,
        ),
    )


def _changed_event(change: Change) -> str:
    name = change.changed_event if isinstance(change, AppendEntry) else ""
    return check_event(name) if name else ""


def _flat(rows: dict[str, bytes]) -> tuple[Argument, ...]:
    return tuple(part for row in rows.items() for part in row)


def parse_receipt(reply: bytes) -> Receipt:
    """Read the answer of `PUBLISH`, in bytes as redis-py gives it without `decode_responses`."""
    # A row that somebody wrote by hand may have a key of any bytes.
    text = reply.decode(errors="replace")
    duplicate = text.startswith("again ")
    status, epoch, seq, tag, changes = text.removeprefix("again ").split(" ", 4)
    inserted, updated, deleted = _decode_changes(changes) if changes else ((), (), ())
    return Receipt(
        Position(epoch, int(seq), tag),
        unchanged=status == "unchanged",
        duplicate=duplicate,
        inserted=inserted,
        updated=updated,
        deleted=deleted,
    )


def refusal(message: str) -> ProtocolError | None:
    """The error that `PUBLISH` refused a publish with, or None for one that is Redis's own.

    Takes the error reply's text, with or without its first word's code.
    """
    word, _, rest = message.partition(" ")
    match word:
        case "KIND":
            return KindMismatchError(f"{rest}; a channel keeps the kind of its first publish")
        case "SIZE":
            return PayloadError(rest, code=codes.TOO_LARGE)
        case "ARGS":
            return PayloadError(rest)
    return None


def read_call(channel: str, since: int | None, limit: int, *, state: bool) -> Call:
    """The arguments of `READ`: entries after seq `since`, or the newest where it is None."""
    return Call(
        (keys.meta(channel), keys.log(channel), keys.state(channel)),
        ("" if since is None else since, limit, "1" if state else "0"),
    )


def parse_reading(channel: str, reply: Sequence[Any], *, newest_first: bool) -> ChannelReading:
    """Read the answer of `READ`. Entries that no script wrote end the run of entries there."""
    if not reply:
        return ChannelReading.empty(channel)
    epoch, seq, tag, kind, lease, left, state, raw_entries = reply
    kind = Kind(kind.decode())
    entries: list[Envelope] = []
    for _id, fields in raw_entries:
        try:
            entries.append(decode_envelope(channel, fields[fields.index(b"e") + 1]))
        except (EnvelopeError, ValueError):
            # Newest first, what is older than a stranger can't be chained to the head; oldest
            # first, what is newer can't be chained to the caller's position.
            break
    if newest_first:
        entries.reverse()
    return ChannelReading(
        channel=channel,
        position=Position(epoch.decode(), int(seq), tag.decode()),
        kind=kind,
        value=state[0] if kind is Kind.VALUE and state else None,
        rows={state[i].decode(): state[i + 1] for i in range(0, len(state), 2)}
        if kind is Kind.TABLE
        else {},
        entries=tuple(entries),
        lease_ms=int(lease),
        lease_left_ms=int(left) if left else None,
    )
