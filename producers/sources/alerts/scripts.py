"""The Lua scripts of alerts: who is active, and what only that one may write.

A worker that was frozen may wake at any time and go on where it was. So each script that writes
compares the lease's token with the caller's, within the same step, and does nothing for any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hub.protocol import keys
from hub.protocol.scripts import PUBLISH, Call

HOLD: Final = r"""
-- KEYS: lease.  ARGV: 1 token, 2 ms, 3 whether to take it where nobody has it ('1')
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
if holder or ARGV[3] ~= '1' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

GIVE_UP: Final = r"""
-- KEYS: lease.  ARGV: 1 token
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

COMMIT: Final = r"""
-- KEYS: lease, memory, then those of PUBLISH
-- ARGV: 1 token, 2 number of this commit, 3 words to set, 4 fields to delete, 5 publishes, then
--       fields and values by turns, the fields to delete, and the arguments of each publish
local LEASE, MEMORY, token, n = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
local words, gone, publishes = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local function slice(list, from, to)
  local found = {}
  for i = from, to do found[#found + 1] = list[i] end
  return found
end
local function publish(KEYS, ARGV)
<publish>
end

if redis.call('GET', LEASE) ~= token then return 'lost' end
-- One whose answer was lost is not done again; nor is one that somebody's went before.
local last = redis.call('HGET', MEMORY, '#') or '0 '
if last == ARGV[2] .. ' ' .. token then return 'done' end
if tonumber(string.match(last, '^%d+')) ~= n - 1 then return 'lost' end
local at, size = 6 + words + gone, 0
if publishes > 0 then size = (#ARGV - at + 1) / publishes end
for i = 1, publishes do
  local answer = publish(slice(KEYS, 3, #KEYS), slice(ARGV, at, at + size - 1))
  if type(answer) == 'table' then return answer end
  at = at + size
end
for i = 6, 5 + words, 1000 do
  redis.call('HSET', MEMORY, unpack(ARGV, i, math.min(i + 999, 5 + words)))
end
for i = 6 + words, 5 + words + gone, 1000 do
  redis.call('HDEL', MEMORY, unpack(ARGV, i, math.min(i + 999, 5 + words + gone)))
end
redis.call('HSET', MEMORY, '#', ARGV[2] .. ' ' .. token)
return 'done'
""".replace("<publish>", PUBLISH)

MARK: Final = r"""
-- KEYS: lease, sinks.  ARGV: 1 token, 2 sink, 3 mark, 4 whether only where it has none ('1')
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call(ARGV[4] == '1' and 'HSETNX' or 'HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
"""

NUMBER_FIELD: Final = b"#"


class Place:
    """The keys of one set of rules. channel: the log that it publishes to; name: its own."""

    def __init__(self, channel: str, name: str) -> None:
        self.channel = channel
        self.lease = keys.rules_lease(channel, name)
        self.memory = keys.rules(channel, name)
        self.sinks = keys.sinks(channel, name)


def hold_call(place: Place, token: str, lease_ms: int, *, take: bool) -> Call:
    """The arguments of `HOLD`: answered 1 where the lease is the caller's now."""
    return Call((place.lease,), (token, lease_ms, "1" if take else "0"))


def commit_call(
    place: Place,
    token: str,
    number: int,
    changes: Mapping[str, bytes | None],
    publishes: Sequence[Call],
) -> Call:
    """The arguments of `COMMIT`: what to remember, None for what to forget, and what to publish.

    All publishes are to one channel, by one producer.
    """
    words = [word for pair in changes.items() if pair[1] is not None for word in pair]
    gone = [field for field, value in changes.items() if value is None]
    head = (token, number, len(words), len(gone), len(publishes))
    given = [word for word in words if word is not None]
    publish_keys = publishes[0].keys if publishes else ()
    args = [argument for call in publishes for argument in call.args]
    return Call((place.lease, place.memory, *publish_keys), (*head, *given, *gone, *args))


def mark_call(place: Place, token: str, sink: str, mark: bytes, *, first: bool) -> Call:
    """The arguments of `MARK`: answered 1 where the lease is the caller's."""
    return Call((place.lease, place.sinks), (token, sink, mark, "1" if first else "0"))
