-- The rate limit of a queue or of its worker (wire format 4.1, 4.4). Needs lib/own.lua, and what lib/fetch.lua keeps of the
-- call: `limit_max`, `limited`, `stopped_ms`.

-- How many jobs the rate limit leaves (4.1); nil without one. The queue's maximum goes before the worker's own, but
-- not its duration.
local function limit_room()
    if stopped_ms > 0 then
        limited = stopped_ms
        return 0
    end
    local used = redis.pcall('GET', k_limiter)
    used = type(used) == 'string' and tonumber(used) or 0
    if used < limit_max then
        return limit_max - used
    end
    local ttl = redis.call('PTTL', k_limiter)
    if ttl == 0 then -- the window ends in this millisecond: the next one begins
        redis.call('DEL', k_limiter)
        return math.max(limit_max, 1)
    elseif ttl > 0 then
        limited = ttl
        return 0
    end
    return nil -- a counter that never expires does not block
end

-- A job that only carries its failure with it uses nothing up (as BullMQ 6).
local function use_limit(jobs)
    if not limit_max or jobs == 0 then
        return
    end
    local used = redis.pcall('INCRBY', k_limiter, jobs)
    local duration = tonumber(limiter_max > 0 and limiter_ms or settings[4] or nil)
    if used == jobs and duration then
        redis.call('PEXPIRE', k_limiter, whole(math.max(math.floor(math.abs(duration)), 1)))
    end
end
