-- Prolongs what a node has of many client addresses whose streams have not changed, as far as it knows. The caller puts
-- the constant before it, see address.lua.
--
-- KEYS      addresses
-- ARGV[1]   the node's id
--
-- Reply: for each key the number of its fields; -1 if it does not have the node's lease, so that the node is to report.

local lease = 'n:' .. ARGV[1]
local clock = redis.call('TIME')
local ends = string.format('%.0f', tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000) + LEASE)

local reply = {}
for i, key in ipairs(KEYS) do
  local is_known = redis.call('HSET', key, lease, ends) == 0
  -- A new key has no end yet. One that lives on for the address's pace does so.
  if redis.call('PEXPIRE', key, LEASE, 'GT') == 0 and not is_known then redis.call('PEXPIRE', key, LEASE, 'NX') end
  reply[i] = is_known and redis.call('HLEN', key) or -1
end
return reply
