-- stalled: puts back the jobs whose worker has vanished (wire format 7). Any worker of any kind may run
-- it; one run counts for all in an interval.
--
-- KEYS  as lib/keys.lua
-- ARGV  3 now (ms)  4 interval (ms)  5 how often a job may stall before it fails
--       6 where to go on: "begin", else what the last answer says
-- Result  1 ids put back by this call, -1 when another check was less than an interval ago
--         2 where to go on: call again with that; "" the check is complete
-- Bounds  SUSPECTS_MAX jobs put back, or MARKED_MAX marked. Small queues need one call.
-- Calls   22 + 11 * suspects; suspects = SUSPECTS_MAX
-- Elements 1 + marked; marked = MARKED_MAX
-- Linear  LREM active
-- Repeat  the gate makes a second check in the interval do nothing. A check that is not gone on with leaves suspects to the
--         next one, and jobs that are not marked are found an interval later.
-- Failure a damaged job is put back as it is; the fetch that meets it puts it into `failed`. The first write frees, so that
--         jobs are put back on a server that has no memory left.

--- include lib/keys.lua
local now, interval_ms, max_stalled = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/scheduler.lua

local SUSPECTS_MAX, MARKED_MAX = 200, 2000
local at = tonumber(ARGV[6]) -- nil: the suspects come first; else so many of `active` are marked already

local problem = queue_problem(own) or kinds_problem({ k_stalled, 'set', k_events, 'stream' })
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
if ARGV[6] == 'begin' then
    if redis.call('EXISTS', k_stalled_check) == 1 then
        return { -1, '' }
    end
    redis.call('DEL', k_stalled_check)
    redis.call('SET', k_stalled_check, ARGV[3], 'PX', interval_ms)
else
    redis.call('PEXPIRE', k_stalled_check, interval_ms)
end

local function count_stall(key)
    local stalls = redis.pcall('HINCRBY', key, 'stc', 1)
    if type(stalls) == 'number' and stalls > max_stalled and not is_scheduled(redis.pcall('HGET', key, 'rjk')) then
        redis.pcall('HSET', key, 'defa', 'job stalled more than allowable limit')
    end
end

local function put_back(id)
    local key = P .. id
    if redis.call('EXISTS', key .. ':lock') == 0 and redis.call('LREM', k_active, -1, id) > 0
        and redis.call('EXISTS', key) == 1 then -- else an id without a job, or a marker of an old version
        count_stall(key)
        put_waiting(own, id, 0, true) -- to the front whatever its priority
        tell(own, 'waiting', 'jobId', id, 'prev', 'active')
        tell(own, 'stalled', 'jobId', id)
        return 1
    end
    return 0
end

-- Up to SUSPECTS_MAX of those that were marked by the last check and did not renew their locks since, and whether they
-- were the last ones.
local function take_suspects()
    if redis.call('SCARD', k_stalled) > SUSPECTS_MAX then
        return redis.call('SPOP', k_stalled, SUSPECTS_MAX), false
    end
    local suspects = redis.call('SMEMBERS', k_stalled)
    redis.call('DEL', k_stalled)
    return suspects, true
end

local count = 0
if not at then
    local suspects, last = take_suspects()
    for _, id in ipairs(suspects) do
        count = count + put_back(id)
    end
    at = last and 0 or nil
end

local complete = false
if at then
    local marked = redis.call('LRANGE', k_active, at, at + MARKED_MAX - 1)
    if #marked > 0 then
        redis.call('SADD', k_stalled, unpack(marked))
    end
    at, complete = at + #marked, #marked < MARKED_MAX
end
mark(own)
trim_events()
return { count, complete and '' or at and tostring(at) or 'suspects' }
