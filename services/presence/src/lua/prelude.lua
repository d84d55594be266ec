-- Every script of a counter begins with this file: the state, the clock, the leases, and the reply. The caller puts
-- history.lua before it, and the constants (LEASE, SUSPICION, SETTLE, MAX_SETTLE, PUBLISH_GAP, KEEPALIVE, KEEP, IDLE, CLAIM, CLOCK_SLACK:
-- all in milliseconds).
--
-- KEYS[1] state     HASH  see keys.rs for its fields
-- KEYS[2] sessions  ZSET  session -> end of its lease, in milliseconds of this Redis's clock
-- KEYS[3] visitors  HASH  visitor -> number of registrations
-- KEYS[4] reaping   LIST  sessions that have ended and are still to be taken apart
-- KEYS[5] history   STRING  see keys.rs and history.lua
-- ARGV[1] channel   where the counter's states are published
-- ARGV[2..5]        epoch, version, count and visitors of the state that the caller shows; 0 0 0 0 for none
-- ARGV[6] session   the caller's session; empty for a reader
-- ARGV[#ARGV] past  whether the counter's past is recorded: '' as it is, 'off' no longer, or a number: yes, and it lives so many
--                   milliseconds after its last change
--
-- Every script returns {status, now, epoch, version, count, visitors, seq, settling, held, due, nodes, reap, session}:
-- the published state, and what the caller should do next (milliseconds where it is a time).

local OK, UNKNOWN, GAP, DIFFERS = 0, 1, 2, 3

local STATE, SESSIONS, VISITORS, REAPING, HISTORY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local CHANNEL = ARGV[1]
local seen = {
  epoch = tonumber(ARGV[2]), version = tonumber(ARGV[3]),
  count = tonumber(ARGV[4]), visitors = tonumber(ARGV[5]),
}
local session = ARGV[6]
local wish = ARGV[#ARGV]

local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = math.floor(now_us / 1000)

-- Redis's own formatting would write large numbers as 1.7e+15.
local function format_integer(number)
  return string.format('%.0f', number)
end

-- What the caller expects of the clock, by its last reply and the time since; 0 0 if it has had none.
local function expected_clock(at)
  local last_reply = tonumber(ARGV[at])
  return last_reply > 0 and last_reply + tonumber(ARGV[at + 1]) or nil
end

local FIELDS = {
  'epoch', 'version', 'count', 'visitors', 'seq', 'published', 'held', 'begun', 'settle', 'floor', 'visitors_floor',
  'expiry', 'last_session', 'nodes', 'people', 'waiting', 'claim', 'kept', 'cursor', 'recorded', 'reap', 'quiet',
}
local TEXTS = { reap = true, quiet = true } -- the fields that are no numbers
local state = {}   -- the fields above as they were, then as they become
local own          -- the caller's session, nil if Redis does not know it
local written = {} -- fields to write back
local changed = false   -- registrations or leases changed: what is published may be out of date
local publication_due = false -- the state is to be published once it is stored
local ask_all = false   -- all nodes are asked to report now
local broken = false    -- some of the counter's keys are missing: see start_over
local exists
local is_new = false    -- the state began with this call
local is_lost = false   -- an epoch began, other than with a new state
local ended_viewers = 0 -- viewers of sessions whose lease has run out
local before            -- of the past: what was published when this call began. See publication

local function set_field(field, value)
  state[field] = value
  written[field] = true
end

-- A session is {seq, size, phase, kept, suspect}: its last report's number, its registrations, 'building' or 'live',
-- when its hash's life was last prolonged, and whether its lease has run out once.
local function parse_session(text)
  local seq, size, phase, kept, suspect = string.match(text, '^(%d+) (%d+) (%a+) (%d+) (%d)$')
  return { seq = tonumber(seq), size = tonumber(size), phase = phase, kept = tonumber(kept), suspect = suspect == '1' }
end

local function store_session(id, it)
  local numbers = { format_integer(it.seq), format_integer(it.size), it.phase, format_integer(it.kept) }
  redis.call('HSET', STATE, 's:' .. id, table.concat(numbers, ' ') .. (it.suspect and ' 1' or ' 0'))
end

-- What of the published state is recorded: the count, -1 while the epoch settles, and whether no node has viewers.
local function publication()
  return {
    count = state.settle > 0 and -1 or state.count, is_idle = state.nodes == 0,
    exists = exists, published = state.published, recorded = state.recorded,
  }
end

local function read_state()
  local values = redis.call('HMGET', STATE, 's:' .. session, unpack(FIELDS))
  local mine = values[1]
  exists = values[2] and true or false
  for i, field in ipairs(FIELDS) do
    if TEXTS[field] then
      state[field] = values[i + 1] or ''
    else
      state[field] = tonumber(values[i + 1] or 0)
    end
  end
  own = mine and parse_session(mine) or nil
  before = publication()
end

-- Begins an epoch: what readers have seen is gone, and nodes are about to register again. Until that has settled, the
-- published number does not fall below what was shown.
local function begin_epoch()
  is_lost = true
  set_field('epoch', math.max(now_us, seen.epoch + 1, state.epoch + 1))
  set_field('version', 0)
  set_field('published', 0)
  set_field('begun', now)
  set_field('settle', now + SETTLE)
  set_field('floor', seen.count)
  set_field('visitors_floor', seen.visitors)
  changed = true
end

-- Nothing of an earlier life may stay beside a new state: it would never be accounted for.
local function create_state()
  redis.call('UNLINK', SESSIONS, VISITORS, REAPING)
  -- First in the hash, where renew.lua finds them soonest.
  redis.call('HSET', STATE, 'quiet', '', 'expiry', 0, 'published', 0)
  begin_epoch()
  set_field('kept', now)
  exists, is_new, is_lost = true, true, false
end

-- Begins anew, as after a loss of everything, because some of the counter's keys are missing and others are not: Redis
-- has evicted them, or they ran out at different times during an outage, or its clock leapt. What is left is no base to
-- count on, so every node registers its viewers again. Hashes of registrations that no session names any more run out
-- by themselves.
local function start_over()
  redis.call('UNLINK', STATE, SESSIONS, VISITORS, REAPING)
  if KEYS[6] then redis.call('UNLINK', KEYS[6]) end
  local before = state
  state = { reap = '', quiet = '' }
  for _, field in ipairs(FIELDS) do state[field] = state[field] or 0 end
  state.epoch = before.epoch
  written = {}
  create_state()
  set_field('floor', math.max(seen.count, before.count))
  set_field('visitors_floor', math.max(seen.visitors, before.visitors))
  set_field('last_session', before.last_session)
  own = nil
  broken = false
end

-- Called while a node registers its viewers: a new epoch settles a while after the last report of that, but within
-- MAX_SETTLE.
local function prolong_settling()
  if now >= state.settle then return end
  local settle = math.min(now + math.floor(SETTLE / 3), state.begun + MAX_SETTLE)
  if settle > state.settle then set_field('settle', settle) end
end

-- Whether writes are lost that were published: the caller has seen a newer state, or another one under the same version,
-- which was given again after the loss.
local function is_behind()
  if seen.epoch ~= state.epoch then return seen.epoch > state.epoch end
  if seen.version ~= state.version then return seen.version > state.version end
  return seen.count ~= state.count or seen.visitors ~= state.visitors
end

-- Compares Redis with what the caller has seen.
local function check_epoch()
  if not exists then return end
  if is_behind() then
    begin_epoch()
  elseif state.settle > now and seen.epoch > 0 and seen.epoch < state.epoch then
    if seen.count > state.floor then
      set_field('floor', seen.count)
      changed = true
    end
    if seen.visitors > state.visitors_floor then
      set_field('visitors_floor', seen.visitors)
      changed = true
    end
  end
end

-- The session stops counting now; later calls take its registrations apart.
local function end_session(id, it)
  redis.call('ZREM', SESSIONS, id)
  redis.call('HDEL', STATE, 's:' .. id)
  if it.size > 0 then
    set_field('waiting', state.waiting + 1)
    if redis.call('RPUSH', REAPING, id) ~= state.waiting then broken = true end
    redis.call('PEXPIRE', REAPING, KEEP)
    if state.reap == '' then set_field('reap', id) end
  end
  if id == session then own = nil end
  changed = true
end

-- Called after sessions came or went.
local function count_sessions()
  set_field('nodes', redis.call('ZCARD', SESSIONS))
  local first = redis.call('ZRANGE', SESSIONS, 0, 0, 'WITHSCORES')
  set_field('expiry', tonumber(first[2] or 0))
end

-- All times of the counter go back with the clock, so that leases go on as before.
local function step_back(expected)
  local all = redis.call('ZRANGE', SESSIONS, 0, -1, 'WITHSCORES')
  if #all == 0 then return end
  -- By no less than any of these times tells, and exactly by what the caller knows.
  local step = math.max(tonumber(all[#all]) - LEASE - now, state.published - now, (expected or 0) - now)
  for i = 1, #all, 2 do
    redis.call('ZADD', SESSIONS, format_integer(math.min(tonumber(all[i + 1]) - step, now + LEASE)), all[i])
  end
  count_sessions()
  if state.settle > 0 then set_field('settle', state.settle - step) end
  set_field('published', math.max(0, state.published - step))
end

-- Compares Redis's clock with the counter's times, and with what the caller expects, nil if it does not know. The clock
-- went back if a lease ends later than any that is given now, or the last publication is still to come.
local function follow_clock(expected)
  if not exists then return end
  local leases_went_back = state.expiry > now + LEASE + CLOCK_SLACK
  if state.nodes > 0 and (leases_went_back or state.published > now + CLOCK_SLACK) then step_back(expected) end
  if state.begun > now then set_field('begun', now) end
  if state.settle > now + SETTLE then set_field('settle', now + SETTLE) end
end

-- Ends sessions whose lease has run out. That is at first a suspicion only, however long ago the lease ended: after a
-- stall of Redis, an outage, a failover, or a leap of its clock, the leases of living nodes may be over before they can
-- report. So the session counts for SUSPICION more, and all nodes are asked to report; it ends if its node does not.
-- `expiry` is no later than the earliest end of a lease, so most calls need no command.
local function end_expired()
  if state.nodes == 0 or now < state.expiry then return end
  local expired = redis.call('ZRANGEBYSCORE', SESSIONS, '-inf', now)
  -- The first write may need memory. A Redis that is full refuses it where the script may not exceed the limit, and the
  -- script ends here.
  if #expired > 0 then redis.call('HSET', STATE, 'expiry', format_integer(state.expiry)) end
  for _, id in ipairs(expired) do
    local text = redis.call('HGET', STATE, 's:' .. id)
    local it = text and parse_session(text) or { seq = 0, size = 0, suspect = true }
    if it.suspect then
      if it.phase == 'live' then ended_viewers = ended_viewers + it.size end
      end_session(id, it)
    else
      it.suspect = true
      store_session(id, it)
      redis.call('ZADD', SESSIONS, format_integer(now + SUSPICION), id)
      if id == session then own = it end
      ask_all = true
    end
  end
  count_sessions()
  if #expired == 0 and state.nodes == 0 then broken = true end -- all leases are missing
end

-- Lets all keys vanish by themselves should all nodes die.
local function prolong_keys()
  if state.nodes == 0 or (now >= state.kept and now - state.kept < KEEP / 5) then return end
  for _, key in ipairs({ STATE, SESSIONS, VISITORS, REAPING }) do redis.call('PEXPIRE', key, KEEP) end
  set_field('kept', now)
end

-- Returns the sum over all living sessions. There may be a thousand: no other field's value has the form of theirs, so their
-- names are not read, and of their values no more than counts.
local function count_viewers()
  local sum, sessions = 0, 0
  for _, value in ipairs(redis.call('HVALS', STATE)) do
    local size, phase = string.match(value, '^%d+ (%d+) (%a+) %d+ %d$')
    if size then
      if phase == 'live' then sum = sum + size end
      sessions = sessions + 1
    end
  end
  if sessions ~= state.nodes then broken = true end -- a session has no lease, or a lease no session
  return sum
end

-- Of more than 250 nodes, all together are sent no more messages than those are.
local function publish_gap()
  return math.max(PUBLISH_GAP, math.floor(state.nodes * PUBLISH_GAP / 250))
end

local function plan_publication()
  set_field('seq', state.seq + 1)
  set_field('published', now)
  publication_due = true
end

-- Publishes what has changed, at most every publish_gap. What has not changed has its time renewed every KEEPALIVE, by
-- which a clock that goes back is noticed.
local function publish()
  local is_settled = state.settle > 0 and now >= state.settle
  if is_settled then changed = true end
  local since = now - state.published
  if since < 0 then since = KEEPALIVE end -- the clock went back
  if changed or state.held == 1 then
    if since < publish_gap() then
      if state.held ~= 1 then set_field('held', 1) end
      if ask_all then plan_publication() end
      return
    end
    if is_settled then
      for _, field in ipairs({ 'settle', 'floor', 'visitors_floor' }) do set_field(field, 0) end
    end
    local count = count_viewers()
    if broken then return end
    local visitors = math.min(state.people, count) -- those of an ended session stay until it is taken apart
    count, visitors = math.max(count, state.floor), math.max(visitors, state.visitors_floor)
    if state.held == 1 then set_field('held', 0) end
    if state.version == 0 or count ~= state.count or visitors ~= state.visitors then
      set_field('version', state.version + 1)
      set_field('count', count)
      set_field('visitors', visitors)
      plan_publication()
      return
    end
  end
  if ask_all then plan_publication() elseif since >= KEEPALIVE and state.nodes > 0 then set_field('published', now) end
end

-- What a node must know to renew its lease without a report: what is published, and how many nodes there are, because some of
-- them watch the others' leases. Empty if more is to be done here.
local function quiet_text()
  if state.held == 1 or state.settle > 0 or state.reap ~= '' then return '' end
  local numbers = {}
  for i, field in ipairs({ 'epoch', 'version', 'count', 'visitors', 'nodes' }) do
    numbers[i] = format_integer(state[field])
  end
  return table.concat(numbers, ' ')
end

local function write_state()
  if next(written) == nil then return end
  local quiet = quiet_text()
  if quiet ~= state.quiet then set_field('quiet', quiet) end
  local arguments = {}
  for field in pairs(written) do
    arguments[#arguments + 1] = field
    arguments[#arguments + 1] = TEXTS[field] and state[field] or format_integer(state[field])
  end
  redis.call('HSET', STATE, unpack(arguments))
end

-- After the state is stored: a full Redis refuses that, and nobody may hear of what it does not know.
local function send_publication()
  if not publication_due then return end
  local settling = math.max(0, state.settle - now)
  local message = {}
  for i, number in ipairs({ state.epoch, state.version, state.count, state.visitors, state.seq, settling, ask_all and 1 or 0 }) do
    message[i] = format_integer(number)
  end
  redis.call('PUBLISH', CHANNEL, table.concat(message, ' '))
end

-- When the last session has gone and is taken apart, the state stays a little for those who still watch; then nothing
-- is left.
local function expire_if_empty()
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
  set_field('claim', now + CLAIM)
  return state.reap
end

-- Up to when the count was known that the past ends with. If nobody has viewers, it is zero until somebody comes. Otherwise some
-- call confirms it, at least once in the time of a lease. (Where leases are renewed after a longer time, and nothing has changed, the
-- count was right all the time: renew.lua confirms it then.)
local function known_until(past)
  if not before.exists then
    return past.idle and seen.count == 0 and now or past.confirmed
  end
  if before.recorded == 0 then return past.confirmed end
  if past.idle then return now end
  local known = now - before.published > LEASE and before.published or now
  return (is_lost or is_new) and math.min(known, now - DOUBT) or known
end

-- Brings the past up to date where something has changed that is recorded.
local function record()
  if wish == 'off' then
    if state.recorded > 0 then
      redis.call('UNLINK', HISTORY)
      set_field('recorded', 0)
    end
    return
  end
  local life, now_published = tonumber(wish), publication()
  local begins = is_new or (state.recorded == 0 and life)
  local went_back = before.published > now + CLOCK_SLACK
  if not begins then
    if state.recorded == 0 then return end
    local is_same = now_published.count == before.count and now_published.is_idle == before.is_idle
    local is_gap = not before.is_idle and now - before.published > LEASE
    if is_same and ended_viewers == 0 and not is_gap and not is_lost and not went_back then return end
  end
  local past = read_past(HISTORY)
  if not past then
    if not life then
      if state.recorded > 0 then set_field('recorded', 0) end
      return
    end
    past = begin_past(HISTORY, now, life)
  end
  -- What was known before the clock went back.
  if went_back and before.recorded > 0 then extend(past, before.published, before.published) end
  if past.at - now > WAIT_FOR_CLOCK then begin_again(past, now) end
  if past.at <= now then
    local known = known_until(past)
    extend(past, known, now)
    if is_lost or (is_new and known < now) then forget_slices(past) end
    if ended_viewers > 0 then take_back(past, ended_viewers, now - LEASE - 2 * SUSPICION) end
  end
  past.count = now_published.count
  past.idle = now_published.is_idle and past.count == 0
  if life then past.life = life end
  if state.recorded == 0 then set_field('recorded', now) end
  write_past(past)
end

-- `reap` is the session that the caller should take apart, empty for none; nil: whichever is due, if nobody has claimed
-- it.
local function finish(status, reap)
  local is_ours = session ~= ''
  if not broken then publish() end
  if broken then
    start_over()
    publish()
    if is_ours then status = UNKNOWN end
    reap = ''
  end
  local changed_before = changed
  if reap == nil then reap = claim_reaping() end
  if state.nodes == 0 and state.reap == '' and state.people ~= 0 then set_field('people', 0) end
  record()
  write_state()
  send_publication()
  if changed_before then expire_if_empty() end
  return {
    status, now, state.epoch, state.version, state.count, state.visitors, state.seq,
    math.max(0, state.settle - now),
    state.held == 1 and math.max(1, state.published + publish_gap() - now) or 0,
    state.nodes > 0 and math.max(0, state.expiry - now) or -1,
    state.nodes, reap, session,
  }
end

-- The answer where there is no state and no need of one: nobody is there, as the caller knows already.
local function empty_reply()
  local epoch = seen.epoch > 0 and seen.epoch or now_us
  return { OK, now, epoch, seen.version, 0, 0, 0, 0, 0, -1, 0, '', session }
end
