-- A node says that it runs, or that it stops, and learns how many run. Nodes that have been silent for too long are
-- forgotten.
-- The caller puts the constants before the script, SILENCE and KEEP in milliseconds.
--
-- KEYS[1] nodes     HASH  node -> "reported started version address", the two times by this clock. See keys.rs
-- ARGV[1] node
-- ARGV[2] uptime    milliseconds since the node was started; empty if it stops
-- ARGV[3] details   "version address"
-- ARGV[4] known     the number of nodes by the last reply; 0 if there was none
--
-- Reply: the number of nodes that run.

-- Of so many nodes, each report looks at all.
local LOOKED_AT = 16

local NODES = KEYS[1]
local node, uptime, details = ARGV[1], ARGV[2], ARGV[3]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

if uptime == '' then
  redis.call('HDEL', NODES, node)
  return redis.call('HLEN', NODES)
end

redis.call('HSET', NODES, node, string.format('%.0f %.0f %s', now, now - tonumber(uptime), details))
redis.call('PEXPIRE', NODES, KEEP)
-- With a thousand nodes, one report in sixty looks at all: every few seconds is often enough.
if tonumber(clock[2]) % math.max(1, math.floor(tonumber(ARGV[4]) / LOOKED_AT)) > 0 then return redis.call('HLEN', NODES) end

local known, silent = 0, {}
local fields = redis.call('HGETALL', NODES)
for at = 1, #fields, 2 do
  local reported = tonumber(string.match(fields[at + 1], '^%d+')) or 0
  if math.abs(now - reported) > SILENCE then -- in the future if the clock went back: it will report again
    silent[#silent + 1] = fields[at]
  else
    known = known + 1
  end
end
-- A bounded number: `unpack` has a limit, and the rest goes with a later report.
if #silent > 0 then redis.call('HDEL', NODES, unpack(silent, 1, math.min(#silent, 1000))) end
return known
