-- Begins a session for a node: empty, and not counted until all of the node's viewers are registered. A hello that
-- arrives twice or late begins a session that nothing uses, and that ends with its lease.
--
-- KEYS as in prelude.lua
-- ARGV[6] session   empty
-- ARGV[7] node      the node's random id; the session's id begins with it

read_state()
check_epoch()
if not exists then create_state() end
end_expired()

-- By the clock and by the last number, so that an id is not used again after a loss of the state.
set_field('last_session', math.max(now_us, state.last_session + 1))
session = ARGV[7] .. '-' .. format_integer(state.last_session)
store_session(session, { seq = 0, size = 0, phase = 'building' })
redis.call('ZADD', SESSIONS, now + LEASE, session)
count_sessions()
for _, key in ipairs({ STATE, SESSIONS }) do redis.call('PEXPIRE', key, KEEP) end
return finish(OK)
