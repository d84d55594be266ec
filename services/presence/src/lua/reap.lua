-- Removes some registrations of an ended session. They have not counted since the session ended, but their visitors are
-- still counted.
--
-- KEYS as in prelude.lua, and
-- KEYS[5] viewers   HASH  what is left of the session's registrations
-- ARGV[6] session   the ended session
-- ARGV[7] step      about how many registrations to remove

local VIEWERS = KEYS[5]

-- Each registration is deleted as its visitor is discounted, so that none is discounted twice, whatever cursor a failover
-- leaves.
local function remove_registrations(step)
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
end

read_state()
check_epoch()
if not exists then return empty_reply() end
end_expired()
if state.reap ~= session then return finish(OK) end

remove_registrations(ARGV[7])
changed = true
if state.cursor == 0 and redis.call('EXISTS', VIEWERS) == 0 then
  redis.call('LPOP', REAPING)
  set_field('reap', redis.call('LINDEX', REAPING, 0) or '')
end
if state.reap ~= '' then set_field('claim', now + CLAIM) end
return finish(OK, state.reap)
