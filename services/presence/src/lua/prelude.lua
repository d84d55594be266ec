-- What every script of a counter begins with: the state, the clock, the leases, and the reply. Behind a head of constants that
-- the caller writes (LEASE, SETTLE, PUBLISH_GAP, KEEPALIVE, KEEP, IDLE, CLAIM: all in milliseconds).
--
-- KEYS[1] state     HASH  see keys.rs for its fields
-- KEYS[2] sessions  ZSET  session -> end of its lease, in milliseconds of this Redis's clock
-- KEYS[3] visitors  HASH  visitor -> number of registrations
-- KEYS[4] reaping   LIST  sessions that have ended and are still to be taken apart
-- ARGV[1] channel   where the counter's states are published
-- ARGV[2..5]        epoch, version, count and visitors of the state that the caller shows; 0 0 0 0 for none
-- ARGV[6] session   the caller's session; empty for a reader
--
-- Every script returns {status, now, epoch, version, count, visitors, seq, settling, held, due, nodes, reap, session}:
-- the published state, and what the caller should do next (milliseconds where it is a time).

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

-- Numbers that Redis's own formatting would write as 1.7e+15.
local function whole(number)
  return string.format('%.0f', number)
end

local FIELDS = {
  'epoch', 'version', 'count', 'visitors', 'seq', 'published', 'held', 'settle', 'floor', 'visitors_floor',
  'expiry', 'last_session', 'nodes', 'claim', 'kept', 'cursor', 'reap',
}
local state = {}   -- the fields above as they were, then as they become
local own          -- the caller's session: {seq, size, phase}, nil if Redis does not know it
local written = {} -- fields to write back
local changed = false -- registrations or leases changed: what is published may be out of date
local announced = false -- the state is to be published once it is stored
local exists

local function put(field, value)
  state[field] = value
  written[field] = true
end

local function parse_session(text)
  local seq, size, phase = string.match(text, '^(%d+) (%d+) (%a+)$')
  return { seq = tonumber(seq), size = tonumber(size), phase = phase }
end

local function put_session(id, it)
  redis.call('HSET', STATE, 's:' .. id, whole(it.seq) .. ' ' .. whole(it.size) .. ' ' .. it.phase)
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

-- A new epoch: what readers have seen is gone, and nodes are about to register again. Until that has settled, the
-- published number does not fall below what was shown.
local function begin_epoch()
  put('epoch', math.max(now_us, seen.epoch + 1, state.epoch + 1))
  put('version', 0)
  put('published', 0)
  put('settle', now + SETTLE)
  put('floor', seen.count)
  put('visitors_floor', seen.visitors)
  changed = true
end

-- Nothing of an earlier life may be left beside a state that begins: it would never be accounted for.
local function create_state()
  redis.call('UNLINK', SESSIONS, VISITORS, REAPING)
  begin_epoch()
  put('kept', now)
  exists = true
end

-- Compares Redis with what the caller has seen.
local function check_epoch()
  if not exists then return end
  if seen.epoch > state.epoch or (seen.epoch == state.epoch and seen.version > state.version) then
    begin_epoch() -- writes that were published are lost
  elseif state.settle > now and seen.epoch > 0 and seen.epoch < state.epoch then
    if seen.count > state.floor then
      put('floor', seen.count)
      changed = true
    end
    if seen.visitors > state.visitors_floor then
      put('visitors_floor', seen.visitors)
      changed = true
    end
  end
end

-- The session stops counting now; its registrations are taken apart by later calls.
local function end_session(id, it)
  redis.call('ZREM', SESSIONS, id)
  redis.call('HDEL', STATE, 's:' .. id)
  if it.size > 0 then
    redis.call('RPUSH', REAPING, id)
    redis.call('PEXPIRE', REAPING, KEEP)
    if state.reap == '' then put('reap', id) end
  end
  if id == session then own = nil end
  changed = true
end

-- After sessions came or went.
local function count_sessions()
  put('nodes', redis.call('ZCARD', SESSIONS))
  local first = redis.call('ZRANGE', SESSIONS, 0, 0, 'WITHSCORES')
  put('expiry', tonumber(first[2] or 0))
end

-- `expiry` is no later than the earliest end of a lease, so most calls need not look.
local function end_expired()
  if state.nodes == 0 or now < state.expiry then return end
  local expired = redis.call('ZRANGEBYSCORE', SESSIONS, '-inf', now)
  -- The first write is one that may need memory. A Redis that is full refuses it, and the script ends here: nobody can
  -- renew a lease then, so nobody's may end.
  if #expired > 0 then redis.call('HSET', STATE, 'expiry', whole(state.expiry)) end
  for _, id in ipairs(expired) do
    local it = redis.call('HGET', STATE, 's:' .. id)
    end_session(id, it and parse_session(it) or { seq = 0, size = 0 })
  end
  count_sessions()
end

-- Puts the end of the lease where the caller's last word from Redis plus the time since allows, however late this
-- message is: what is delayed or doubled on its way prolongs nothing.
local function renew(heard_at, since)
  local base = math.min(now, heard_at + since)
  redis.call('ZADD', SESSIONS, 'GT', whole(base + LEASE), session)
end

-- Lets everything vanish by itself should all nodes die. Seldom: it is not worth a command in each heartbeat.
local function keep()
  if state.nodes == 0 or now - state.kept < KEEP / 5 then return end
  for _, key in ipairs({ STATE, SESSIONS, VISITORS, REAPING }) do redis.call('PEXPIRE', key, KEEP) end
  put('kept', now)
end

-- The sum over all living sessions.
local function registered()
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

local function announce()
  put('seq', state.seq + 1)
  put('published', now)
  announced = true
end

-- Publishes what has changed, at most every PUBLISH_GAP; what has not changed, every KEEPALIVE, because a reader must be
-- able to tell a quiet subscription from a dead one.
local function publish()
  if state.settle > 0 and now >= state.settle then
    put('settle', 0)
    put('floor', 0)
    put('visitors_floor', 0)
    changed = true
  end
  local since = now - state.published
  if since < 0 then since = KEEPALIVE end -- Redis's clock was set back
  if changed or state.held == 1 then
    if since < PUBLISH_GAP then
      if state.held ~= 1 then put('held', 1) end
      return
    end
    local count = registered()
    local visitors = math.min(redis.call('HLEN', VISITORS), count) -- those of an ended session linger while it is taken apart
    count, visitors = math.max(count, state.floor), math.max(visitors, state.visitors_floor)
    if state.held == 1 then put('held', 0) end
    if state.version == 0 or count ~= state.count or visitors ~= state.visitors then
      put('version', state.version + 1)
      put('count', count)
      put('visitors', visitors)
      announce()
      return
    end
  end
  if since >= KEEPALIVE and state.nodes > 0 then announce() end
end

local function write_state()
  local arguments = {}
  for field in pairs(written) do
    arguments[#arguments + 1] = field
    arguments[#arguments + 1] = field == 'reap' and state.reap or whole(state[field])
  end
  if #arguments > 0 then redis.call('HSET', STATE, unpack(arguments)) end
end

-- After the state is stored: a Redis that is full refuses that, and nobody must have heard of what it does not know.
local function send_announced()
  if not announced then return end
  local settling = math.max(0, state.settle - now)
  redis.call('PUBLISH', CHANNEL, table.concat({
    whole(state.epoch), whole(state.version), whole(state.count), whole(state.visitors), whole(state.seq), whole(settling),
  }, ' '))
end

-- With the last session gone and taken apart, the state stays a little for those who still watch; then nothing is left.
local function let_go()
  if not exists or state.nodes > 0 then return end
  if state.reap == '' then
    redis.call('UNLINK', VISITORS)
    redis.call('PEXPIRE', STATE, IDLE)
  else
    redis.call('PEXPIRE', STATE, KEEP)
  end
end

-- One caller at a time is asked to go on with the reaping.
local function claim_reaping()
  if state.reap == '' or (now < state.claim and state.claim <= now + CLAIM) then return '' end
  put('claim', now + CLAIM)
  return state.reap
end

local function finish(status, reap)
  local changed_before = changed
  publish()
  reap = reap or claim_reaping()
  write_state()
  send_announced()
  if changed_before then let_go() end
  return {
    status, now, state.epoch, state.version, state.count, state.visitors, state.seq,
    math.max(0, state.settle - now),
    state.held == 1 and math.max(1, state.published + PUBLISH_GAP - now) or 0,
    state.nodes > 0 and math.max(0, state.expiry - now) or -1,
    state.nodes, reap, session,
  }
end

-- The answer where there is no state and no need of one: nobody is there, as the caller knows already.
local function nobody()
  local epoch = seen.epoch > 0 and seen.epoch or now_us
  return { OK, now, epoch, seen.version, 0, 0, 0, 0, 0, -1, 0, '', session }
end
