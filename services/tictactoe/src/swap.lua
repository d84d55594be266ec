-- Replaces a board if it is still the one that the caller has judged the move by, and tells all nodes. A board's key ends when
-- the board is free, so nothing that arrives later can revive its game.
--
-- KEYS[1] board   STRING  the board as text
-- KEYS[2] boards  ZSET    every board -> when its key ends, in milliseconds
-- ARGV[1] former  the board as it was read; empty if there was none
-- ARGV[2] next    the board to store
-- ARGV[3] life    of the key, in milliseconds
-- ARGV[4] most    boards at the same time
-- ARGV[5] name    the board's name
--
-- Reply: 1 if it was replaced, 0 if the board is another by now, -1 if there are too many boards.

local board, boards = KEYS[1], KEYS[2]
if (redis.call('GET', board) or '') ~= ARGV[1] then
  return 0
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', boards, '-inf', now)
if not redis.call('ZSCORE', boards, ARGV[5]) and redis.call('ZCARD', boards) >= tonumber(ARGV[4]) then
  return -1
end
redis.call('SET', board, ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', boards, now + ARGV[3], ARGV[5])
redis.call('PEXPIREAT', boards, redis.call('ZREVRANGE', boards, 0, 0, 'WITHSCORES')[2])
redis.call('PUBLISH', boards, ARGV[5])
return 1
