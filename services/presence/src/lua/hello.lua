-- A node begins a session: an empty one that does not count until its registration is complete. A hello that is doubled
-- or late makes a session that nobody uses and that ends with its lease.
--
-- KEYS as in prelude.lua
-- ARGV[6] session   empty
-- ARGV[7] node      the beginning of the node's random id, which the session's id begins with
-- ARGV[8..9]        last reply and elapsed, as in report.lua

-- Short: a session's id is in the name of a key, and in two others.
local function base36(number)
  local digits = ''
  repeat
    local digit = number % 36
    digits = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. digits
    number = (number - digit) / 36
  until number == 0
  return digits
end

read_state()
follow_clock(expected_clock(8))
check_epoch()
if not exists then create_state() end
if redis.call('ZCARD', SESSIONS) ~= state.nodes then broken = true end
if not broken then end_expired() end
if broken then start_over() end

-- By the clock as well as by the last one, so that an id is not issued again even when the state was lost.
set_field('last_session', math.max(now_us, state.last_session + 1))
session = ARGV[7] .. '-' .. base36(state.last_session)
store_session(session, { seq = 0, size = 0, phase = 'building', kept = now, suspect = false })
redis.call('ZADD', SESSIONS, now + LEASE, session)
count_sessions()
for _, key in ipairs({ STATE, SESSIONS }) do redis.call('PEXPIRE', key, KEEP) end
return finish(OK)
