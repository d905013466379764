-- delay: a delayed job is due at another time (wire format 8.6).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 id  5 delay from now (ms)
-- Result  0; -1 when the job is gone, -3 when it is not delayed
-- Bounds  one job.
-- Calls   22
-- Elements 4
-- Repeat  counts from the later time.

--- include lib/keys.lua
local now, id, delay = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
--- include lib/kinds.lua
--- include lib/place.lua

local key = P .. id
local problem = queue_problem(own) or kinds_problem({ key, 'hash', k_events, 'stream' })
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
if redis.call('EXISTS', key) == 0 then
    return -1
end
if not redis.call('ZSCORE', k_delayed, id) then
    return -3
end
redis.call('HSET', key, 'delay', whole(delay))
put_delayed(own, id, now + delay)
mark(own)
trim_events()
return 0
