-- metrics: jobs per minute, as workers with metrics keep them (wire format 1.2). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 "completed" or "failed"  4 first point, 0 is the newest minute  5 most points
-- Result  {count, prevTS, prevCount}, number of points that there are, {points}
-- Calls   3
-- Elements points; points = ARGV[5]
-- Bounds  ARGV 5 points. Repeat: always.

--- include lib/keys.lua

local key = P .. 'metrics:' .. ARGV[3]
local first = tonumber(ARGV[4])
return {
    redis.call('HMGET', key, 'count', 'prevTS', 'prevCount'), redis.call('LLEN', key .. ':data'),
    redis.call('LRANGE', key .. ':data', ARGV[4], string.format('%.0f', first + tonumber(ARGV[5]) - 1)),
}
