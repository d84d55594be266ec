-- The first part of every script of a counter: the state, the clock, the leases and the reply. The caller puts constants
-- before it: LEASE, SETTLE, PUBLISH_GAP, KEEPALIVE, KEEP, IDLE and CLAIM, all in milliseconds.
--
-- KEYS[1] state     HASH  see keys.rs for its fields
-- KEYS[2] sessions  ZSET  session -> end of its lease, in milliseconds of this Redis's clock
-- KEYS[3] visitors  HASH  visitor -> number of registrations
-- KEYS[4] reaping   LIST  ended sessions whose registrations are still to be removed
-- ARGV[1] channel   the counter's channel
-- ARGV[2..5] seen   epoch, version, count and visitors of the state that the caller shows; 0 0 0 0 if it shows none
-- ARGV[6] session   the caller's session; empty for a reader
--
-- Every script returns {status, now, epoch, version, count, visitors, seq, settling, held, due, nodes, reap, session}:
-- the published state, and what the caller should do next. Times are in milliseconds.
--   held     a change is published after this time; 0 if none waits
--   due      no lease ends before this time has passed; -1 if there is no lease
--   reap     the ended session that the caller should continue to remove; empty if none

local OK, UNKNOWN, GAP, DIFFERS = 0, 1, 2, 3

local STATE, SESSIONS, VISITORS, REAPING = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local CHANNEL = ARGV[1]
local seen = {
  epoch = tonumber(ARGV[2]), version = tonumber(ARGV[3]),
  count = tonumber(ARGV[4]), visitors = tonumber(ARGV[5]),
}
local session = ARGV[6]

local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = math.floor(now_us / 1000)

-- Redis's own formatting would write large numbers as 1.7e+15.
local function format_integer(number)
  return string.format('%.0f', number)
end

local FIELDS = {
  'epoch', 'version', 'count', 'visitors', 'seq', 'published', 'held', 'settle', 'floor', 'visitors_floor',
  'expiry', 'last_session', 'nodes', 'claim', 'kept', 'cursor', 'reap',
}
local state = {} -- the fields above: as stored, then as changed by this call
local own        -- the caller's session {seq, size, phase}; nil if it is unknown
local written = {} -- names of the fields to store
local changed = false -- registrations or leases have changed: the published state may be out of date
local publication_due = false -- the state is to be published once it is stored
local exists     -- whether the counter has a state

local function set_field(field, value)
  state[field] = value
  written[field] = true
end

local function parse_session(text)
  local seq, size, phase = string.match(text, '^(%d+) (%d+) (%a+)$')
  return { seq = tonumber(seq), size = tonumber(size), phase = phase }
end

local function store_session(id, it)
  redis.call('HSET', STATE, 's:' .. id, format_integer(it.seq) .. ' ' .. format_integer(it.size) .. ' ' .. it.phase)
end

local function read_state()
  local wanted = {}
  for i, field in ipairs(FIELDS) do wanted[i] = field end
  wanted[#FIELDS + 1] = 's:' .. session
  local values = redis.call('HMGET', STATE, unpack(wanted))
  exists = values[1] and true or false
  for i, field in ipairs(FIELDS) do
    if field == 'reap' then
      state.reap = values[i] or ''
    else
      state[field] = tonumber(values[i] or 0)
    end
  end
  local mine = values[#FIELDS + 1]
  own = mine and parse_session(mine) or nil
end

-- Begins a new epoch: the state that readers have seen is lost, and nodes are about to register again. Until the epoch
-- has settled, the published numbers are not lower than what was shown.
local function begin_epoch()
  set_field('epoch', math.max(now_us, seen.epoch + 1, state.epoch + 1))
  set_field('version', 0)
  set_field('published', 0)
  set_field('settle', now + SETTLE)
  set_field('floor', seen.count)
  set_field('visitors_floor', seen.visitors)
  changed = true
end

-- Removes what is left beside a lost state: no session accounts for it.
local function create_state()
  redis.call('UNLINK', SESSIONS, VISITORS, REAPING)
  begin_epoch()
  set_field('kept', now)
  exists = true
end

-- Begins a new epoch if the caller has seen a newer state than Redis has.
local function check_epoch()
  if not exists then return end
  if seen.epoch > state.epoch or (seen.epoch == state.epoch and seen.version > state.version) then
    begin_epoch() -- published writes are lost
  elseif state.settle > now and seen.epoch > 0 and seen.epoch < state.epoch then
    if seen.count > state.floor then
      set_field('floor', seen.count)
      changed = true
    end
    if seen.visitors > state.visitors_floor then
      set_field('visitors_floor', seen.visitors)
      changed = true
    end
  end
end

-- Ends a session: it stops counting now, and later calls remove its registrations.
local function end_session(id, it)
  redis.call('ZREM', SESSIONS, id)
  redis.call('HDEL', STATE, 's:' .. id)
  if it.size > 0 then
    redis.call('RPUSH', REAPING, id)
    redis.call('PEXPIRE', REAPING, KEEP)
    if state.reap == '' then set_field('reap', id) end
  end
  if id == session then own = nil end
  changed = true
end

-- Called after sessions were added or removed.
local function count_sessions()
  set_field('nodes', redis.call('ZCARD', SESSIONS))
  local first = redis.call('ZRANGE', SESSIONS, 0, 0, 'WITHSCORES')
  set_field('expiry', tonumber(first[2] or 0))
end

-- Ends the sessions whose lease has ended. No lease ends before `expiry`, so most calls need no command.
local function end_expired()
  if state.nodes == 0 or now < state.expiry then return end
  local expired = redis.call('ZRANGEBYSCORE', SESSIONS, '-inf', now)
  -- The first write is one that a full Redis refuses, which ends the script: no lease can be renewed then, so none may
  -- end.
  if #expired > 0 then redis.call('HSET', STATE, 'expiry', format_integer(state.expiry)) end
  for _, id in ipairs(expired) do
    local it = redis.call('HGET', STATE, 's:' .. id)
    end_session(id, it and parse_session(it) or { seq = 0, size = 0 })
  end
  count_sessions()
end

-- Renews the caller's lease from the time at which it sent the report: its last reply from Redis, plus the time since.
-- A report that arrives late or twice does not prolong the lease further.
local function renew(last_reply, elapsed)
  local base = math.min(now, last_reply + elapsed)
  redis.call('ZADD', SESSIONS, 'GT', format_integer(base + LEASE), session)
end

-- Prolongs the life of the keys, which end by themselves if all nodes die. Not at each heartbeat, to save commands.
local function prolong_keys()
  if state.nodes == 0 or now - state.kept < KEEP / 5 then return end
  for _, key in ipairs({ STATE, SESSIONS, VISITORS, REAPING }) do redis.call('PEXPIRE', key, KEEP) end
  set_field('kept', now)
end

-- The number of viewers of all live sessions.
local function count_viewers()
  local sum = 0
  local all = redis.call('HGETALL', STATE)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 's:' then
      local it = parse_session(all[i + 1])
      if it.phase == 'live' then sum = sum + it.size end
    end
  end
  return sum
end

local function plan_publication()
  set_field('seq', state.seq + 1)
  set_field('published', now)
  publication_due = true
end

-- Updates the published state if it has changed, at most every PUBLISH_GAP. Publishes an unchanged state every KEEPALIVE,
-- so that a reader can tell a quiet subscription from a dead one.
local function publish()
  if state.settle > 0 and now >= state.settle then
    set_field('settle', 0)
    set_field('floor', 0)
    set_field('visitors_floor', 0)
    changed = true
  end
  local since = now - state.published
  if since < 0 then since = KEEPALIVE end -- the clock was set back
  if changed or state.held == 1 then
    if since < PUBLISH_GAP then
      if state.held ~= 1 then set_field('held', 1) end
      return
    end
    local count = count_viewers()
    local visitors = math.min(redis.call('HLEN', VISITORS), count) -- includes ended sessions until they are removed
    count, visitors = math.max(count, state.floor), math.max(visitors, state.visitors_floor)
    if state.held == 1 then set_field('held', 0) end
    if state.version == 0 or count ~= state.count or visitors ~= state.visitors then
      set_field('version', state.version + 1)
      set_field('count', count)
      set_field('visitors', visitors)
      plan_publication()
      return
    end
  end
  if since >= KEEPALIVE and state.nodes > 0 then plan_publication() end
end

local function write_state()
  local arguments = {}
  for field in pairs(written) do
    arguments[#arguments + 1] = field
    arguments[#arguments + 1] = field == 'reap' and state.reap or format_integer(state[field])
  end
  if #arguments > 0 then redis.call('HSET', STATE, unpack(arguments)) end
end

-- Called after the state is stored: a full Redis refuses that, and only stored states may be published.
local function send_publication()
  if not publication_due then return end
  local settling = math.max(0, state.settle - now)
  local message = {}
  for i, number in ipairs({ state.epoch, state.version, state.count, state.visitors, state.seq, settling }) do
    message[i] = format_integer(number)
  end
  redis.call('PUBLISH', CHANNEL, table.concat(message, ' '))
end

-- Once the last session has ended and its registrations are removed, keeps the state for IDLE, for those who still watch.
local function expire_if_empty()
  if not exists or state.nodes > 0 then return end
  if state.reap == '' then
    redis.call('UNLINK', VISITORS)
    redis.call('PEXPIRE', STATE, IDLE)
  else
    redis.call('PEXPIRE', STATE, KEEP)
  end
end

-- Asks one caller at a time to continue the removal of ended sessions.
local function claim_reaping()
  if state.reap == '' or (now < state.claim and state.claim <= now + CLAIM) then return '' end
  set_field('claim', now + CLAIM)
  return state.reap
end

-- Publishes, stores the state, and returns the reply.
local function finish(status, reap)
  local changed_before = changed
  publish()
  reap = reap or claim_reaping()
  write_state()
  send_publication()
  if changed_before then expire_if_empty() end
  return {
    status, now, state.epoch, state.version, state.count, state.visitors, state.seq,
    math.max(0, state.settle - now),
    state.held == 1 and math.max(1, state.published + PUBLISH_GAP - now) or 0,
    state.nodes > 0 and math.max(0, state.expiry - now) or -1,
    state.nodes, reap, session,
  }
end

-- The reply for a counter that has no state and needs none: it has no viewers, and the caller shows none.
local function empty_reply()
  local epoch = seen.epoch > 0 and seen.epoch or now_us
  return { OK, now, epoch, seen.version, 0, 0, 0, 0, 0, -1, 0, '', session }
end
