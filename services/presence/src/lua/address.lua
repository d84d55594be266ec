-- A node tells the streams of one client address that it has, and may ask for another: over all nodes together, an address
-- has no more than its limits, and opens no more a second. Streams are fields, so that a retry changes nothing; a node's
-- fields count as long as its lease at this key, which each call renews. Behind a head of constants that the caller writes
-- (LEASE, in milliseconds).
--
-- KEYS[1] address   HASH    see keys.rs for its fields
-- ARGV[1] node      the node's id
-- ARGV[2] viewer    the stream that is asked for, in hex as all viewers; empty: none, the node only tells what it has
-- ARGV[3] counter   its counter
-- ARGV[4] most_of   most streams of a counter
-- ARGV[5] most      most streams in all
-- ARGV[6] gap       microseconds in which the address earns the right to a stream
-- ARGV[7] burst     microseconds that it may be ahead of that
-- ARGV[8] next      the number of the viewer who comes next to the node: it says nothing about those from it on, who may have been
--                   told of already
-- ARGV[9] held      how many streams follow that the node has let in: a viewer and a counter each. Behind them: viewers that it
--                   has asked for and not heard about. What else is here of the node is over
--
-- Reply {verdict, elsewhere, now}: the verdict, how many streams other nodes have, and the clock in microseconds.

local WITHIN, TOO_FAST, TOO_MANY_OF_COUNTER, TOO_MANY = 0, 1, 2, 3

local KEY = KEYS[1]
local node, viewer, counter = ARGV[1], ARGV[2], ARGV[3]
local most_of, most, gap, burst = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local next_viewer = tonumber(ARGV[8])

local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = math.floor(now_us / 1000)

local leases = {}  -- node -> end
local streams = {} -- field -> counter
local gone = {}    -- fields that are over
local earned_at = 0

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

-- A lease that ends later than any that was given now would is from before the clock was set back.
local function has_ended(id)
  local lease = leases[id]
  return not lease or lease <= now or lease > now + 2 * LEASE
end

-- What the caller has, and what it may have.
local function own_fields()
  local keep, held = {}, {}
  local at = 10
  for _ = 1, tonumber(ARGV[9]) do
    local field = 's:' .. node .. ':' .. ARGV[at]
    keep[field] = true
    held[field] = ARGV[at + 1]
    at = at + 2
  end
  for i = at, #ARGV do keep['s:' .. node .. ':' .. ARGV[i]] = true end
  return keep, held
end

read()
local keep, held = own_fields()
local elsewhere, own, in_all, of_counter = 0, 0, 0, 0
for field, counted in pairs(streams) do
  local owner, number = string.match(field, '^s:(.*):(%x+)$')
  local is_over = has_ended(owner)
  if owner == node and not keep[field] and tonumber(number, 16) < next_viewer then is_over = true end
  if is_over then
    gone[#gone + 1] = field
    streams[field] = nil
  elseif owner ~= node then
    elsewhere = elsewhere + 1
  end
end
for id in pairs(leases) do
  if id ~= node and has_ended(id) then gone[#gone + 1] = 'n:' .. id end
end
local fresh = {}
for field, its in pairs(held) do
  if not streams[field] then
    fresh[#fresh + 1] = field
    fresh[#fresh + 1] = its
    streams[field] = its
  end
end
for _, its in pairs(streams) do
  in_all = in_all + 1
  if its == counter then of_counter = of_counter + 1 end
end

local verdict = WITHIN
local asked = 's:' .. node .. ':' .. viewer
if viewer ~= '' and not streams[asked] then
  -- No further ahead than it may be: the clock may have been set back.
  local earned = math.min(math.max(earned_at, now_us), now_us + burst) + gap
  if earned > now_us + burst then
    verdict = TOO_FAST
  else
    earned_at = earned
    fresh[#fresh + 1] = 'earned'
    fresh[#fresh + 1] = string.format('%.0f', earned_at)
    if of_counter >= most_of then
      verdict = TOO_MANY_OF_COUNTER
    elseif in_all >= most then
      verdict = TOO_MANY
    else
      fresh[#fresh + 1] = asked
      fresh[#fresh + 1] = counter
      streams[asked] = counter
      in_all = in_all + 1
    end
  end
end

for at = 1, #gone, 1000 do
  redis.call('HDEL', KEY, unpack(gone, at, math.min(at + 999, #gone)))
end
if in_all > elsewhere then
  fresh[#fresh + 1] = 'n:' .. node
  fresh[#fresh + 1] = string.format('%.0f', now + LEASE)
end
if #fresh > 0 then
  for at = 1, #fresh, 1000 do
    redis.call('HSET', KEY, unpack(fresh, at, math.min(at + 999, #fresh)))
  end
  -- No other lease ends later than one that is given now.
  redis.call('PEXPIRE', KEY, math.max(LEASE, math.ceil((earned_at - now_us) / 1000)))
end
return { verdict, elsewhere, now_us }
