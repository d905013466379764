-- stalled: puts back the jobs whose worker has vanished (wire format 7). Any worker of any kind may run
-- it; one run counts for all in an interval.
--
-- KEYS  as lib/keys.lua
-- ARGV  3 now (ms)  4 interval (ms)  5 how often a job may stall before it fails
-- Result  ids put back, or -1 when another check was less than an interval ago
-- Bounds  linear in the length of `active`.
-- Repeat  the gate makes a second run in the interval do nothing.
-- Failure a damaged job is put back as it is; the fetch that meets it puts it into `failed`.

--- include lib/keys.lua
local now, interval_ms, max_stalled = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/scheduler.lua

local PIECE = 2000

if redis.call('EXISTS', k_stalled_check) == 1 then
    return -1
end
local problem = queue_problem(own) or kinds_problem({ k_stalled, 'set', k_events, 'stream' })
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
local suspects = redis.call('SMEMBERS', k_stalled)
redis.call('DEL', k_stalled)
redis.call('SET', k_stalled_check, ARGV[3], 'PX', interval_ms)

local function count_stall(key)
    local stalls = redis.pcall('HINCRBY', key, 'stc', 1)
    if type(stalls) == 'number' and stalls > max_stalled and not is_scheduled(redis.pcall('HGET', key, 'rjk')) then
        redis.pcall('HSET', key, 'defa', 'job stalled more than allowable limit')
    end
end

local put_back = 0
for _, id in ipairs(suspects) do
    local key = P .. id
    if redis.call('EXISTS', key .. ':lock') == 0 and redis.call('LREM', k_active, 1, id) > 0
        and redis.call('EXISTS', key) == 1 then -- else an id without a job, or a marker of an old version
        count_stall(key)
        put_waiting(own, id, 0, true) -- to the front whatever its priority
        tell(own, 'waiting', 'jobId', id, 'prev', 'active')
        tell(own, 'stalled', 'jobId', id)
        put_back = put_back + 1
    end
end

local active = redis.call('LRANGE', k_active, '0', '-1')
for first = 1, #active, PIECE do
    redis.call('SADD', k_stalled, unpack(active, first, math.min(first + PIECE - 1, #active)))
end
mark(own)
trim_events()
return put_back
