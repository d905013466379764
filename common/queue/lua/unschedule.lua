-- unschedule: removes a job scheduler, and its pending job when that is delayed; one that waits or runs is left, and runs
-- (wire format 9.5).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 id of the scheduler
-- Result  1 it is gone; 0 there was none
-- Bounds  one scheduler and one job.
-- Calls   20
-- Elements 1
-- Repeat  always.
-- Failure looked at before the first write.

--- include lib/keys.lua
--- include lib/kinds.lua
local now, scheduler = tonumber(ARGV[3]), ARGV[4]
--- include lib/place.lua

local k_repeat = P .. 'repeat'
local problem = kinds_problem({ k_repeat, 'zset', k_delayed, 'zset', k_events, 'stream' })
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
local due = redis.call('ZSCORE', k_repeat, scheduler)
if not due then
    return 0
end
local id = 'repeat:' .. scheduler .. ':' .. whole(tonumber(due))
if redis.call('ZREM', k_delayed, id) == 1 then
    local key = P .. id
    redis.call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed',
        key .. ':unsuccessful')
    tell(own, 'removed', 'jobId', id, 'prev', 'delayed')
    trim_events()
end
redis.call('ZREM', k_repeat, scheduler)
redis.call('DEL', k_repeat .. ':' .. scheduler)
return 1
