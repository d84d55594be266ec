-- A node begins a session: an empty one that does not count until its registration is complete. A hello that is doubled or
-- late makes a session that nobody uses and that ends with its lease.
--
-- KEYS as in prelude.lua
-- ARGV[6] session   empty
-- ARGV[7] node      the node's random id, what the session's id begins with

read_state()
check_epoch()
if not exists then create_state() end
end_expired()

-- By the clock as well as by the last one, so that an id is not issued again even when the state was lost.
put('last_session', math.max(now_us, state.last_session + 1))
session = ARGV[7] .. '-' .. whole(state.last_session)
put_session(session, { seq = 0, size = 0, phase = 'building' })
redis.call('ZADD', SESSIONS, now + LEASE, session)
count_sessions()
for _, key in ipairs({ STATE, SESSIONS }) do redis.call('PEXPIRE', key, KEEP) end
return finish(OK)
