-- Reports changes of a node's viewers, renews its lease, or only reads. Always replies with the state.
--
-- KEYS as in prelude.lua, and
-- KEYS[5] viewers   HASH  viewer -> visitor: the session's registrations
-- ARGV[6] session     empty for a reader; the other arguments are then ignored
-- ARGV[7] seq         the number of this report in its session. One more than the last: applied. The same: a retry or a
--                     heartbeat, only renews the lease. Lower: late, ignored. Higher: reports are missing
-- ARGV[8] last_reply  this Redis's clock in the last reply that the node received, in milliseconds
-- ARGV[9] elapsed     milliseconds since that reply came, by the node's monotonic clock
-- ARGV[10] expected   the number of viewers that the session should have after this report
-- ARGV[11] phase      '' no change; 'live' the session is complete and counts from now; 'ended' the session ends
-- ARGV[12] old        with 'live': the node's former session, which ends in the same call; may be empty or unknown
-- ARGV[13] joins      14 bytes each: viewer (6), visitor (8)
-- ARGV[14] leaves     6 bytes each: viewer
-- ARGV[15] upkeep     '' none; 'audit' compare `expected` with the registrations themselves; 'keep' prolong their life
--                     as well

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
  if session ~= '' or seen.count > 0 then create_state() else return empty_reply() end
end
end_expired()
if session == '' then
  prolong_keys()
  return finish(OK)
end
if not own then return finish(UNKNOWN) end

local seq, phase, old = tonumber(ARGV[7]), ARGV[11], ARGV[12]
if phase == 'ended' and seq ~= own.seq + 1 then -- ends even if reports before this one were lost
  end_session(session, own)
  count_sessions()
  return finish(OK)
end
local heartbeat = ARGV[13] == '' and ARGV[14] == '' and phase == '' -- no content, and the last report's number
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
  store_session(session, own)
  if phase == 'live' and old ~= '' then
    local it = redis.call('HGET', STATE, 's:' .. old)
    if it then
      end_session(old, parse_session(it))
      count_sessions()
    end
  end
end

local size, expected, upkeep = own.size, tonumber(ARGV[10]), ARGV[15]
if upkeep ~= '' then size = redis.call('HLEN', VIEWERS) end
if upkeep == 'keep' then redis.call('PEXPIRE', VIEWERS, KEEP) end
prolong_keys()
return finish(size == expected and OK or DIFFERS)
