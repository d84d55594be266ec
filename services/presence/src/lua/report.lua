-- A node reports changes of its viewers, renews its lease, or only reads: all of it answered with the state.
--
-- KEYS as in prelude.lua, and
-- KEYS[5] viewers   HASH  viewer -> visitor: the session's registrations
-- ARGV[6] session   empty for a reader; then nothing of the rest matters
-- ARGV[7] seq       the number of this report in its session. One more than the last: applied. The last one's: a retry or a
--                   heartbeat, nothing is applied. Lower: late, nothing is done. Higher: reports are missing
-- ARGV[8] heard     this Redis's clock in the last answer that the node had, in milliseconds
-- ARGV[9] since     milliseconds since that answer came, by the node's steady clock
-- ARGV[10] believed how many viewers the session has after this report, as the node believes
-- ARGV[11] phase    '' no change, 'live' the registration is complete and counts from now, 'ended' the session ends
-- ARGV[12] old      with 'live': the node's former session, which ends in the same moment; may be empty or unknown
-- ARGV[13] joins    14 bytes each: viewer (6), visitor (8)
-- ARGV[14] leaves   6 bytes each: viewer
-- ARGV[15] care     '' none, 'audit' compare what is believed with the registrations themselves, 'keep' prolong their life too

local VIEWERS = KEYS[5]
local VIEWER_BYTES, JOIN_BYTES = 6, 14

local function join(joins)
  for at = 1, #joins, JOIN_BYTES do
    local viewer = string.sub(joins, at, at + VIEWER_BYTES - 1)
    local visitor = string.sub(joins, at + VIEWER_BYTES, at + JOIN_BYTES - 1)
    if redis.call('HSETNX', VIEWERS, viewer, visitor) == 1 then redis.call('HINCRBY', VISITORS, visitor, 1) end
  end
  if #joins > 0 then
    redis.call('PEXPIRE', VIEWERS, KEEP)
    redis.call('PEXPIRE', VISITORS, KEEP)
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

read_state()
check_epoch()
if not exists then
  if session ~= '' or seen.count > 0 then create_state() else return nobody() end
end
end_expired()
if session == '' then
  keep()
  return finish(OK)
end
if not own then return finish(UNKNOWN) end

local seq, phase, old = tonumber(ARGV[7]), ARGV[11], ARGV[12]
if phase == 'ended' and seq ~= own.seq + 1 then -- its node is done with it, whatever else got lost
  end_session(session, own)
  count_sessions()
  return finish(OK)
end
local heartbeat = ARGV[13] == '' and ARGV[14] == '' and phase == '' -- has the last report's number, and no content
if seq > own.seq + 1 or (heartbeat and seq > own.seq) then return finish(GAP) end
if seq < own.seq then return finish(OK) end

renew(tonumber(ARGV[8]), tonumber(ARGV[9]))
if seq == own.seq + 1 then
  join(ARGV[13])
  leave(ARGV[14])
  own.seq = seq
  own.size = redis.call('HLEN', VIEWERS)
  changed = true
  if phase == 'ended' then
    end_session(session, own)
    count_sessions()
    return finish(OK)
  end
  if phase == 'live' then own.phase = 'live' end
  put_session(session, own)
  if phase == 'live' and old ~= '' then
    local it = redis.call('HGET', STATE, 's:' .. old)
    if it then
      end_session(old, parse_session(it))
      count_sessions()
    end
  end
end

local size = own.size
if ARGV[15] ~= '' then size = redis.call('HLEN', VIEWERS) end
if ARGV[15] == 'keep' then redis.call('PEXPIRE', VIEWERS, KEEP) end
keep()
return finish(size == tonumber(ARGV[10]) and OK or DIFFERS)
