-- Reads a counter's past, and what is needed to know how far it is right.
-- The caller puts the constants before the script, see history.lua.
--
-- KEYS[1] state     HASH    see keys.rs
-- KEYS[2] history   STRING  see keys.rs
-- ARGV[1..2]        the first byte of the ring, and the last one
--
-- Reply {now, exists, count, published, settle, head, ring}: times in milliseconds; empty texts if there is no history.

local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local state = redis.call('HMGET', KEYS[1], 'count', 'published', 'settle')
return {
  math.floor(now_us / 1000), state[1] and 1 or 0, tonumber(state[1] or 0), tonumber(state[2] or 0), tonumber(state[3] or 0),
  redis.call('GETRANGE', KEYS[2], 0, HISTORY_HEAD - 1), redis.call('GETRANGE', KEYS[2], ARGV[1], ARGV[2]),
}
