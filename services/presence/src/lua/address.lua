-- Reports the streams that a node has of one client address, and may request another one: over all nodes together, an
-- address has at most its limits, and opens streams at most at its pace. Streams are fields, so a retry changes nothing.
-- A node's streams count while its lease at this key lasts, which each call renews, and renew_addresses.lua. The caller puts
-- a constant before the script: LEASE, in milliseconds.
--
-- KEYS[1] address         HASH  see keys.rs for its fields
-- ARGV[1] node            the node's id
-- ARGV[2] viewer          the requested stream, in hexadecimal like all viewers; empty if the node only reports
-- ARGV[3] counter         its counter
-- ARGV[4] max_of_counter  most streams of a counter
-- ARGV[5] max_total       most streams of all counters
-- ARGV[6] gap             microseconds in which the address earns a stream
-- ARGV[7] burst           microseconds that it may be ahead of that
-- ARGV[8] next_viewer     the id of the node's next viewer: the lists below say nothing about viewers from this id on,
--                         which a later call may have reported already
-- ARGV[9] admitted        number of the node's admitted streams, which follow as pairs of viewer and counter. After them
--                         come the viewers that the node has requested and has no reply for. The node's other streams
--                         have ended
--
-- Reply {verdict, elsewhere, now, fields}: the verdict, the number of other nodes' streams, the clock in microseconds, and
-- the number of the key's fields.

local WITHIN, TOO_FAST, TOO_MANY_OF_COUNTER, TOO_MANY = 0, 1, 2, 3

local KEY = KEYS[1]
local node, viewer, counter = ARGV[1], ARGV[2], ARGV[3]
local max_of_counter, max_total, gap, burst = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local next_viewer = tonumber(ARGV[8])

local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = math.floor(now_us / 1000)

local leases = {}  -- node -> end
local streams = {} -- field -> counter
local removed = {} -- fields to delete
local earned_at = 0 -- the theoretical arrival time of the pace (generic cell rate algorithm)

local function read()
  local all = redis.call('HGETALL', KEY)
  for i = 1, #all, 2 do
    local kind, rest = string.match(all[i], '^(%a):(.*)$')
    if kind == 'n' then
      leases[rest] = tonumber(all[i + 1])
    elseif kind == 's' then
      streams[all[i]] = all[i + 1]
    else
      earned_at = tonumber(all[i + 1])
    end
  end
end

-- A lease that ends later than any lease renewed now was renewed before the clock was set back.
local function has_ended(id)
  local lease = leases[id]
  return not lease or lease <= now or lease > now + 2 * LEASE
end

-- The fields of the caller's streams: those to keep, and among them the admitted ones with their counters.
local function own_fields()
  local keep, admitted = {}, {}
  local at = 10
  for _ = 1, tonumber(ARGV[9]) do
    local field = 's:' .. node .. ':' .. ARGV[at]
    keep[field] = true
    admitted[field] = ARGV[at + 1]
    at = at + 2
  end
  for i = at, #ARGV do keep['s:' .. node .. ':' .. ARGV[i]] = true end
  return keep, admitted
end

read()
local keep, admitted = own_fields()
local elsewhere, total_streams, counter_streams = 0, 0, 0
for field in pairs(streams) do
  local owner, number = string.match(field, '^s:(.*):(%x+)$')
  local has_left = has_ended(owner)
  if owner == node and not keep[field] and tonumber(number, 16) < next_viewer then has_left = true end
  if has_left then
    removed[#removed + 1] = field
    streams[field] = nil
  elseif owner ~= node then
    elsewhere = elsewhere + 1
  end
end
for id in pairs(leases) do
  if id ~= node and has_ended(id) then removed[#removed + 1] = 'n:' .. id end
end
local added = {} -- fields to store, each followed by its value
for field, its_counter in pairs(admitted) do
  if not streams[field] then
    added[#added + 1] = field
    added[#added + 1] = its_counter
    streams[field] = its_counter
  end
end
for _, its_counter in pairs(streams) do
  total_streams = total_streams + 1
  if its_counter == counter then counter_streams = counter_streams + 1 end
end

local verdict = WITHIN
local requested = 's:' .. node .. ':' .. viewer
if viewer ~= '' and not streams[requested] then
  -- At most a burst ahead: the clock may have been set back.
  local earned = math.min(math.max(earned_at, now_us), now_us + burst) + gap
  if earned > now_us + burst then
    verdict = TOO_FAST
  else
    earned_at = earned
    added[#added + 1] = 'earned'
    added[#added + 1] = string.format('%.0f', earned_at)
    if counter_streams >= max_of_counter then
      verdict = TOO_MANY_OF_COUNTER
    elseif total_streams >= max_total then
      verdict = TOO_MANY
    else
      added[#added + 1] = requested
      added[#added + 1] = counter
      streams[requested] = counter
      total_streams = total_streams + 1
    end
  end
end

for at = 1, #removed, 1000 do
  redis.call('HDEL', KEY, unpack(removed, at, math.min(at + 999, #removed)))
end
if total_streams > elsewhere then
  added[#added + 1] = 'n:' .. node
  added[#added + 1] = string.format('%.0f', now + LEASE)
end
if #added > 0 then
  for at = 1, #added, 1000 do
    redis.call('HSET', KEY, unpack(added, at, math.min(at + 999, #added)))
  end
  -- No lease in the key ends later than the one renewed now.
  redis.call('PEXPIRE', KEY, math.max(LEASE, math.ceil((earned_at - now_us) / 1000)))
end
return { verdict, elsewhere, now_us, redis.call('HLEN', KEY) }
