-- Takes an ended session apart, one bounded step at a time. It has not counted since it ended; what remains is to count
-- its viewers off their visitors.
--
-- KEYS as in prelude.lua, and
-- KEYS[6] viewers   HASH  what is left of the session's registrations
-- ARGV[6] session   the ended session
-- ARGV[7] step      about how many registrations to take apart
-- ARGV[8..9]        last reply and elapsed, as in report.lua

local VIEWERS = KEYS[6]

-- Fields go as they are counted off: wherever a failover or a reload leaves the cursor, none is counted off twice.
local function take_apart(step)
  local found = redis.call('HSCAN', VIEWERS, format_integer(state.cursor), 'COUNT', step)
  local fields, viewers = found[2], {}
  for i = 1, #fields, 2 do
    viewers[#viewers + 1] = fields[i]
    if redis.call('HINCRBY', VISITORS, fields[i + 1], -1) <= 0 then redis.call('HDEL', VISITORS, fields[i + 1]) end
  end
  for at = 1, #viewers, 1000 do
    redis.call('HDEL', VIEWERS, unpack(viewers, at, math.min(at + 999, #viewers)))
  end
  set_field('cursor', tonumber(found[1]))
  set_field('people', redis.call('HLEN', VISITORS))
end

read_state()
follow_clock(expected_clock(8))
check_epoch()
if not exists then return empty_reply() end
end_expired()
if broken or state.reap ~= session then return finish(OK) end
if redis.call('EXISTS', VIEWERS) == 0 or redis.call('HLEN', VISITORS) ~= state.people then
  broken = true
  return finish(OK)
end

take_apart(ARGV[7])
changed = true
if redis.call('EXISTS', VIEWERS) == 0 then
  set_field('cursor', 0) -- the scan may not have noticed
  set_field('waiting', state.waiting - 1)
  local next = redis.call('LPOP', REAPING) == session and redis.call('LINDEX', REAPING, 0) or ''
  if (next == '') ~= (state.waiting == 0) then
    broken = true
    return finish(OK)
  end
  set_field('reap', next)
end
if state.reap ~= '' then set_field('claim', now + CLAIM) end
return finish(OK, state.reap)
