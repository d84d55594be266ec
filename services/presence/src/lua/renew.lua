-- A node renews its leases at many counters where it knows of no change. This decides nothing: wherever something is not
-- as the node knows it, or is about to change, the reply asks for a report of that counter.
-- The caller puts the constants before the script, see prelude.lua.
--
-- KEYS of each counter: state and sessions; with upkeep also the session's viewers, visitors, and history. See keys.rs
-- ARGV[1..2]            last reply and elapsed, as in report.lua
-- ARGV of each counter: session; its "seq size phase " as in the state; the state's `quiet` that the node knows; upkeep:
--                       '' none, 'audit' prolong the keys' lives, and compare the size with the registrations themselves
--
-- Reply {now, due...}: for each counter, in how many milliseconds its earliest lease may end; -1 if the node is to report.

local REPORT, ARGUMENTS_EACH = -1, 4

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
-- As in report.lua: what is delayed or doubled on its way prolongs nothing.
local ends = math.min(now, tonumber(ARGV[1]) + tonumber(ARGV[2])) + LEASE
local ends_text, now_text = string.format('%.0f', ends), string.format('%.0f', now)

local function renew(state, sessions, session, report, quiet)
  local it = redis.call('HMGET', state, 'quiet', 'expiry', 'published', 's:' .. session)
  local own = it[4]
  if it[1] ~= quiet or not own then return REPORT end
  if string.sub(own, 1, #report) ~= report or string.sub(own, -2) ~= ' 0' then return REPORT end
  local expiry, published = tonumber(it[2]), tonumber(it[3])
  -- The clock went back: see follow_clock.
  if published > now + CLOCK_SLACK or expiry > now + LEASE + CLOCK_SLACK then return REPORT end
  -- 0 if there is no lease, or if it ends as late as that already.
  if redis.call('ZADD', sessions, 'XX', 'GT', 'CH', ends_text, session) == 0 then return REPORT end
  if expiry <= now then
    local first = redis.call('ZRANGE', sessions, 0, 0, 'WITHSCORES')[2]
    expiry = tonumber(first)
    if expiry <= now then return REPORT end
    redis.call('HSET', state, 'expiry', first)
  end
  if now - published >= KEEPALIVE then redis.call('HSET', state, 'published', now_text) end
  return expiry - now
end

-- Prolongs the life of the node's registrations, and where no other node has just done so, that of the counter's other keys. Then it
-- also notes in the history that the count has not changed, should the state be lost.
local function keep(report, viewers, history, state, ...)
  if redis.call('HLEN', viewers) ~= tonumber(string.match(report, ' (%d+) ')) then return false end
  redis.call('PEXPIRE', viewers, KEEP)
  local it = redis.call('HMGET', state, 'kept', 'recorded')
  local kept = tonumber(it[1])
  if now < kept or now - kept >= KEEP / 10 then
    for _, key in ipairs({ state, ... }) do redis.call('PEXPIRE', key, KEEP) end
    redis.call('HSET', state, 'kept', now_text)
    if tonumber(it[2] or 0) > 0 and redis.call('EXISTS', history) == 1 then
      redis.call('SETRANGE', history, CONFIRMED_AT, struct.pack('<d', now))
    end
  end
  return true
end

local reply, key = { now }, 1
for at = 3, #ARGV, ARGUMENTS_EACH do
  local state, sessions, report = KEYS[key], KEYS[key + 1], ARGV[at + 1]
  local due = ends > now and renew(state, sessions, ARGV[at], report, ARGV[at + 2]) or REPORT
  key = key + 2
  if ARGV[at + 3] ~= '' then
    if due ~= REPORT and not keep(report, KEYS[key], KEYS[key + 2], state, sessions, KEYS[key + 1]) then due = REPORT end
    key = key + 3
  end
  reply[#reply + 1] = due
end
return reply
