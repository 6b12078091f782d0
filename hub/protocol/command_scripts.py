"""What becomes of a command, decided in Redis: the Lua scripts that `command_calls` calls.

    sent -> handed -> accepted -> done | failed
     |        |          `-> sent, where it may be done again
     |        `-> sent, where its worker left it
     `-> expired, failed

The rules:

1. `SEND` stores a command and makes it wait. The same id again is the same command, answered with
   where it is now; the same id with other content is refused.
2. `TAKE` hands the first that waits to a worker, under an attempt of its own: the number rises each
   time. Handed is not begun: left for longer than its lease, it waits again.
3. `ACCEPT` is the only way to begin, for the newest attempt alone, before the command expires.
4. A lease that `RENEW` did not prolong in time means that the worker died. What it had accepted may
   have been done, so it fails; only where the worker had said that it may be done again does it
   wait again, before it expires and `MOST_ATTEMPTS` times at most.
5. `END` records done or failed, for the attempt that accepted and while nobody has ended it. A
   worker that comes back too late is answered `lost`, and that is noted.
6. What nobody accepted before it expires is expired.
7. An emergency stop is handed out before all others, and fails those that were not accepted: what
   was meant to happen before it must not happen after it.
8. Each step is an entry of the channel's log and one of the audit, in the same step as the change.

So a command ends once, is done at most once, and nobody begins it while another may be at it. Time
is the server's. A script does not roll back, so arguments are checked before the first write.
"""

from __future__ import annotations

from typing import Final

AUDIT_KEPT: Final = 100_000
"""Steps of one agent's commands in the audit, at least."""
MOST_ATTEMPTS: Final = 5
SWEPT_AT_ONCE: Final = 100

_SHARED = (
    r"""
-- KEYS: meta, log, what is remembered, its ids by time, open, waiting, due, audit
-- ARGV: 1 pub/sub name, 2 channel, 3 epoch to start where history was lost, 4 keep, 5 who calls
local META, LOG, KNOWN, IDS, OPEN, WAITING, DUE, AUDIT = unpack(KEYS)
local pubsub, channel, keep, by = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
local AUDIT_KEPT, MOST_ATTEMPTS, SWEPT = '@audit@', @attempts@, @swept@
if #KEYS ~= 8 or not string.match(channel, '^[%l%d_.:-]+$')
    or not string.match(ARGV[3], '^[%w_-]+$') or not tonumber(keep) then
  return redis.error_reply('ARGS a command of ' .. tostring(channel))
end
local clock = redis.call('TIME')
local ts = clock[1] .. string.format('%06d', clock[2])
local now = tonumber(ts)
local function int(number) return string.format('%.0f', number) end

-- Where the channel stands; lost history begins a new epoch.
local meta = redis.call('HMGET', META, 'epoch', 'seq', 'tag', 'kind', 'lease', 'until')
local epoch, seq, tag = meta[1], tonumber(meta[2]), meta[3]
if meta[4] and meta[4] ~= 'log' then
  return redis.error_reply('KIND ' .. channel .. ' is a ' .. meta[4] .. ', not a log')
end
local lost = not (epoch and seq and tag and meta[4])
if not lost then
  local last = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]
  lost = (last and last[1] or '0-0') ~= meta[2] .. '-0'
end

local fresh_until = not lost and tonumber(meta[6]) or 0

local function begin()
  if lost then
    redis.call('DEL', META, LOG)
    epoch, seq, tag, lost = ARGV[3], 0, '', false
    redis.call('HSET', META, 'epoch', epoch, 'seq', 0, 'tag', '', 'kind', 'log', 'rows', 0)
  end
end

-- An entry of the log: the same bytes as PUBLISH writes.
local function say(event, data)
  begin()
  seq = seq + 1
  tag = string.sub(redis.sha1hex(
    tag .. ' ' .. epoch .. ' ' .. int(seq) .. ' ' .. event .. ' ' .. ts .. ' ' .. data), 1, 8)
  local envelope = '{"channel":"' .. channel .. '","type":"update","event":"' .. event
    .. '","epoch":"' .. epoch .. '","seq":' .. int(seq) .. ',"tag":"' .. tag
    .. '","ts":' .. ts .. ',"data":' .. data .. '}'
  redis.call('XADD', LOG, 'MAXLEN', '~', keep, int(seq) .. '-0', 'e', envelope)
  redis.call('HSET', META, 'seq', int(seq), 'tag', tag)
  redis.call('PUBLISH', pubsub, envelope)
end

-- A command that has not ended is one string, a field a line; JSON has no line of its own in it.
local FIELDS = {'state', 'attempt', 'again', 'worker', 'order', 'sent', 'expires', 'event',
  'sender', 'data'}

local function read(id)
  local found = redis.call('HGET', OPEN, id)
  if not found then return nil end
  local command, at = {id = id}, 0
  for field in string.gmatch(found, '([^\n]*)\n') do
    at = at + 1
    command[FIELDS[at]] = field
  end
  return command
end

local function write(command)
  local fields = {}
  for at, name in ipairs(FIELDS) do fields[at] = command[name] end
  redis.call('HSET', OPEN, command.id, table.concat(fields, '\n') .. '\n')
end

local function note(step, command, ...)
  redis.call('XADD', AUDIT, 'MAXLEN', '~', AUDIT_KEPT, '*', 'step', step, 'id', command.id,
    'event', command.event or '', 'sender', command.sender or '""',
    'attempt', command.attempt or '0', 'by', by, ...)
end

-- outcome: '"result":...,' or '"reason":...,' or ''
local function tell(state, command, outcome)
  local worker = command.worker == '' and 'null' or command.worker
  say('command.' .. state, '{"attempt":' .. command.attempt .. ',"event":"' .. command.event
    .. '","id":"' .. command.id .. '",' .. outcome .. '"sender":' .. command.sender
    .. ',"worker":' .. worker .. '}')
end

local function remember(command, state)
  local known = redis.call('HGET', KNOWN, command.id)
  if known then
    local head = string.match(known, '^%x+ %S+ %d+ %x+ %d+ ')
    redis.call('HSET', KNOWN, command.id, head .. state .. ' ' .. command.attempt)
  end
end

local function finish(state, command, field, text)
  redis.call('HDEL', OPEN, command.id)
  redis.call('ZREM', WAITING, command.id)
  redis.call('ZREM', DUE, command.id)
  tell(state, command, field and '"' .. field .. '":' .. text .. ',' or '')
  remember(command, state)
  if field then note(state, command, field, text) else note(state, command) end
end

local function wait_again(command)
  command.state = 'sent'
  write(command)
  redis.call('ZADD', WAITING, command.order, command.id)
  redis.call('ZADD', DUE, command.expires, command.id)
  remember(command, 'sent')
  note('returned', command)
end

local function is_late(command) return now >= tonumber(command.expires) end

-- What becomes of commands by themselves.
local function sweep()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', ts, 'LIMIT', 0, SWEPT)) do
    local command = read(id)
    if not command then
      redis.call('ZREM', DUE, id)
      redis.call('ZREM', WAITING, id)
    elseif command.state == 'accepted' then
      if command.again == '1' and not is_late(command)
          and tonumber(command.attempt) < MOST_ATTEMPTS then
        wait_again(command)
      else
        finish('failed', command, 'reason',
          '"its worker died, or lost Redis for too long; it may have been done"')
      end
    elseif is_late(command) then
      finish('expired', command)
    else
      wait_again(command)
    end
  end
end
""".replace("@audit@", str(AUDIT_KEPT))
    .replace("@attempts@", str(MOST_ATTEMPTS))
    .replace("@swept@", str(SWEPT_AT_ONCE))
)

SEND = (
    _SHARED
    + r"""
-- ARGV: 6 id, 7 event, 8 data, 9 sender (JSON), 10 where it came from, 11 ms until it expires,
--       12 whether it goes before all others ('1'), 13 most open, 14 ids remembered, 15 most bytes
local id, event, data, sender, origin = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local expires_ms, most, remembered = tonumber(ARGV[11]), tonumber(ARGV[13]), tonumber(ARGV[14])
if #ARGV ~= 15 or not string.match(id, '^[%w_-]+$') or not string.match(event, '^[%w_.:-]+$')
    or not (expires_ms and expires_ms > 0) or not most or not remembered
    or not string.match(data, '^{.*}$') or string.find(data .. sender, '\n', 1, true)
    or #data > tonumber(ARGV[15]) then
  return redis.error_reply('ARGS a command ' .. event .. ' to ' .. channel)
end
local digest = redis.sha1hex(event .. ' ' .. sender .. ' ' .. data)
local known = redis.call('HGET', KNOWN, id)
if known then
  local before, answer = string.match(known, '^(%x+) (.*) %d+$')
  if before ~= digest then return redis.error_reply('OTHER ' .. id) end
  return 'again ' .. answer
end
sweep()
local urgent = ARGV[12] == '1'
if urgent then
  for _, other in ipairs(redis.call('HKEYS', OPEN)) do
    local command = read(other)
    if command.state ~= 'accepted' and command.event ~= event then
      finish('failed', command, 'reason', '"an emergency stop came before it was accepted"')
    end
  end
end
-- An emergency stop is not refused for all the commands that go before it.
if redis.call('HLEN', OPEN) >= (urgent and 2 or 1) * most then
  return redis.error_reply('FULL ' .. ARGV[13])
end
local expires = int(now + expires_ms * 1000)
say(event, '{"data":' .. data .. ',"expires_at":' .. expires .. ',"id":"' .. id .. '","sender":'
  .. sender .. '}')
local answer = epoch .. ' ' .. int(seq) .. ' ' .. tag .. ' ' .. expires .. ' sent'
redis.call('HSET', KNOWN, id, digest .. ' ' .. answer .. ' 0')
redis.call('ZADD', IDS, ts, id)
if redis.call('ZCARD', IDS) > remembered then
  redis.call('HDEL', KNOWN, redis.call('ZPOPMIN', IDS)[1])
end
-- In the order of sending, but for what is urgent: below every time.
local order = urgent and int(now - 4e15) or ts
local command = {id = id, state = 'sent', attempt = '0', again = '', worker = '', order = order,
  sent = ts, expires = expires, event = event, sender = sender, data = data}
write(command)
redis.call('ZADD', WAITING, order, id)
redis.call('ZADD', DUE, expires, id)
note('sent', command, 'from', origin, 'data', data, 'expires_at', expires)
return 'sent ' .. answer
"""
)

TAKE = (
    _SHARED
    + r"""
-- ARGV: 6 worker (JSON), 7 lease in ms, 8 which: 'any', 'urgent' or 'ordinary',
--       9 ms for which this shows that the agent listens
local lease, listens = tonumber(ARGV[7]), tonumber(ARGV[9])
local lanes = {any = {'-inf', '+inf'}, urgent = {'-inf', '(0'}, ordinary = {'0', '+inf'}}
local lane = lanes[ARGV[8]]
if #ARGV ~= 9 or not (lease and lease > 0) or not (listens and listens > 0) or not lane
    or string.find(ARGV[6], '\n', 1, true) then
  return redis.error_reply('ARGS a worker of ' .. channel)
end
sweep()
begin()
if fresh_until < now + listens * 500 then
  redis.call('HSET', META, 'lease', int(listens), 'until', int(now + listens * 1000))
  redis.call('PUBLISH', pubsub,
    '~' .. int(listens) .. ' ' .. epoch .. ' ' .. int(seq) .. ' ' .. tag)
end
local id = redis.call('ZRANGEBYSCORE', WAITING, lane[1], lane[2], 'LIMIT', 0, 1)[1]
local command = id and read(id)
if not command then
  if id then redis.call('ZREM', WAITING, id) end
  local due = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2]
  return {int(seq), due and int(math.max(0, tonumber(due) - now) / 1000) or ''}
end
command.state, command.worker = 'handed', ARGV[6]
command.attempt = int(tonumber(command.attempt) + 1)
write(command)
redis.call('ZREM', WAITING, id)
redis.call('ZADD', DUE, int(math.min(now + lease * 1000, tonumber(command.expires))), id)
note('handed', command)
return {int(seq), '', id, command.attempt, command.event, command.data, command.sender,
  command.sent, command.expires}
"""
)

ACCEPT = (
    _SHARED
    + r"""
-- ARGV: 6 id, 7 attempt, 8 lease in ms, 9 whether it may be done again ('1')
local lease, command = tonumber(ARGV[8]), read(ARGV[6])
if #ARGV ~= 9 or not tonumber(ARGV[7]) or not (lease and lease > 0) then
  return redis.error_reply('ARGS a worker of ' .. channel)
end
if not command or command.attempt ~= ARGV[7] or command.state == 'sent' then
  note('refused', {id = ARGV[6], attempt = ARGV[7]}, 'outcome', 'accepted')
  return 'lost'
end
if command.state == 'handed' then
  if is_late(command) then
    finish('expired', command)
    return 'expired'
  end
  command.state, command.again = 'accepted', ARGV[9]
  write(command)
  tell('accepted', command, '')
  remember(command, 'accepted')
  note('accepted', command)
end
redis.call('ZADD', DUE, int(now + lease * 1000), command.id)
return 'accepted'
"""
)

RENEW = (
    _SHARED
    + r"""
-- ARGV: 6 lease in ms, then id and attempt of each; answers the ids that are this worker's no more
local lease, gone = tonumber(ARGV[6]), {}
if not (lease and lease > 0) or #ARGV % 2 ~= 0 then
  return redis.error_reply('ARGS a worker of ' .. channel)
end
for at = 7, #ARGV, 2 do
  local command = read(ARGV[at])
  if not command or command.attempt ~= ARGV[at + 1] or command.state == 'sent' then
    gone[#gone + 1] = ARGV[at]
  else
    local till = now + lease * 1000
    if command.state == 'handed' then till = math.min(till, tonumber(command.expires)) end
    redis.call('ZADD', DUE, int(till), command.id)
  end
end
return gone
"""
)

END = (
    _SHARED
    + r"""
-- ARGV: 6 id, 7 attempt, 8 'done', 'failed' or 'returned', 9 result or reason (JSON), 10 most bytes
local state, text, command = ARGV[8], ARGV[9], read(ARGV[6])
if #ARGV ~= 10 or not (state == 'done' or state == 'failed' or state == 'returned')
    or #text > tonumber(ARGV[10]) then
  return redis.error_reply('ARGS an end of a command to ' .. channel)
end
local mine = command and command.attempt == ARGV[7]
if state == 'returned' then
  if mine and command.state == 'handed' then wait_again(command) end
elseif mine and (command.state == 'accepted'
    or command.state == 'handed' and state == 'failed') then
  finish(state, command, state == 'done' and 'result' or 'reason', text)
else
  local known = redis.call('HGET', KNOWN, ARGV[6])
  if known and string.sub(known, -#state - #ARGV[7] - 2) == ' ' .. state .. ' ' .. ARGV[7] then
    return 'ended'
  end
  note('refused', {id = ARGV[6], attempt = ARGV[7]}, 'outcome', state, 'text', text)
  return 'lost'
end
return 'ended'
"""
)

SWEEP = (
    _SHARED
    + r"""
sweep()
return 'swept'
"""
)
