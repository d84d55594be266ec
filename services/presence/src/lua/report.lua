-- A node reports changes of its viewers, renews its lease, or only reads: all of it answered with the state.
--
-- KEYS as in prelude.lua, and
-- KEYS[6] viewers   HASH  viewer -> visitor: the session's registrations
-- KEYS[7] old       HASH  with phase 'live': the registrations of the node's former session
-- ARGV[6] session   empty for a reader; then only the phase matters of what follows
-- ARGV[7] seq       the number of this report in its session. One more than the last: applied. The last one's: a retry
-- or a
--                   heartbeat, nothing is applied. Lower: late, nothing is done. Higher: reports are missing
-- ARGV[8] last_reply     this Redis's clock in the last answer that the node had, in milliseconds
-- ARGV[9] elapsed     milliseconds since that answer came, by the node's steady clock
-- ARGV[10] expected how many viewers the session has after this report, by the node's count
-- ARGV[11] phase    '' no change, 'live' the registration is complete and counts from now, 'ended' the session ends,
-- 'look' a reader that takes
--                   nothing apart
-- ARGV[12] old      with 'live': the node's former session, which ends in the same moment; may be empty or unknown
-- ARGV[13] joins    14 bytes each: viewer (6), visitor (8)
-- ARGV[14] leaves   6 bytes each: viewer
-- ARGV[15] upkeep   '' none, 'audit' compare what is expected with the registrations themselves

local VIEWERS = KEYS[6]
local VIEWER_BYTES, JOIN_BYTES = 6, 14

local function join(joins)
  for at = 1, #joins, JOIN_BYTES do
    local viewer = string.sub(joins, at, at + VIEWER_BYTES - 1)
    local visitor = string.sub(joins, at + VIEWER_BYTES, at + JOIN_BYTES - 1)
    if redis.call('HSETNX', VIEWERS, viewer, visitor) == 1 then redis.call('HINCRBY', VISITORS, visitor, 1) end
  end
end

local function leave(leaves)
  for at = 1, #leaves, VIEWER_BYTES do
    local viewer = string.sub(leaves, at, at + VIEWER_BYTES - 1)
    local visitor = redis.call('HGET', VIEWERS, viewer)
    if visitor then
      redis.call('HDEL', VIEWERS, viewer)
      if redis.call('HINCRBY', VISITORS, visitor, -1) <= 0 then redis.call('HDEL', VISITORS, visitor) end
    end
  end
end

-- Puts the end of the lease where the caller's last answer from Redis plus the time since allows, however late this
-- message is: what is delayed or doubled on its way prolongs nothing.
local function renew(last_reply, elapsed)
  local ends = math.min(now, last_reply + elapsed) + LEASE
  if redis.call('ZADD', SESSIONS, 'GT', format_integer(ends), session) == 1 then
    broken = true -- the session had no lease
  elseif own.suspect and ends > now then
    own.suspect = false
    store_session(session, own)
  end
end

-- Prolongs the life of the session's registrations, and of the visitors with them, whatever the traffic.
local function keep_registrations(is_new)
  if not is_new and now >= own.kept and now - own.kept < KEEP / 5 then return false end
  redis.call('PEXPIRE', VIEWERS, KEEP)
  redis.call('PEXPIRE', VISITORS, KEEP)
  own.kept = now
  return true
end

local seq, last_reply, elapsed = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local phase, old, joins, leaves = ARGV[11], ARGV[12], ARGV[13], ARGV[14]
local heartbeat = joins == '' and leaves == '' and phase == '' -- has the last report's number, and no content

read_state()
follow_clock(expected_clock(8))
check_epoch()
if not exists then
  if session ~= '' or seen.count > 0 then create_state() else return empty_reply() end
end
-- The caller's lease goes on before any ends: a lease cannot end while its node speaks.
if own and (seq == own.seq or (seq == own.seq + 1 and not heartbeat)) then renew(last_reply, elapsed) end
if not broken then end_expired() end
if session == '' then
  prolong_keys()
  return finish(OK, phase == 'look' and '' or nil)
end
if broken or not own then return finish(UNKNOWN) end

if phase == 'ended' and seq ~= own.seq + 1 then -- its node is done with it, whatever else got lost
  end_session(session, own)
  count_sessions()
  return finish(OK)
end
if seq > own.seq + 1 or (heartbeat and seq > own.seq) then return finish(GAP) end
if seq < own.seq then return finish(OK) end

if seq == own.seq + 1 then
  if redis.call('HLEN', VIEWERS) ~= own.size or redis.call('HLEN', VISITORS) ~= state.people then
    broken = true
    return finish(UNKNOWN)
  end
  local is_new = own.size == 0 or state.people == 0
  join(joins)
  leave(leaves)
  own.seq = seq
  own.size = redis.call('HLEN', VIEWERS)
  set_field('people', redis.call('HLEN', VISITORS))
  changed = true
  if phase == 'ended' then
    end_session(session, own)
    count_sessions()
    return finish(OK)
  end
  if own.phase == 'building' then prolong_settling() end
  if phase == 'live' then own.phase = 'live' end
  keep_registrations(is_new)
  store_session(session, own)
  if phase == 'live' and old ~= '' then
    local it = redis.call('HGET', STATE, 's:' .. old)
    if it then
      end_session(old, parse_session(it))
      count_sessions()
    elseif not redis.call('LPOS', REAPING, old) then
      redis.call('UNLINK', KEYS[7]) -- the session was lost, and nothing else names its registrations
    end
  end
elseif keep_registrations(false) then
  store_session(session, own)
end

local size = own.size
if ARGV[15] == 'audit' then size = redis.call('HLEN', VIEWERS) end
prolong_keys()
return finish(size == tonumber(ARGV[10]) and OK or DIFFERS)
