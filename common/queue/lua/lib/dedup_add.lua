-- Whether a job with a deduplication id is added (wire format 3.7, 3.8, 15.4). Needs lib/place.lua, lib/number.lua.
--
-- A job's `dedup` is a table: id, ttl (ms, a number; 0 none), extend, replace, keep_last, reschedule (true or nil).

local ACTIVE_SEEN = '10000' -- so far `active` is searched for an owner that has run before and holds no lock

local function dedup_keys(dedup)
    return P .. 'de:' .. dedup.id, P .. 'dn:' .. dedup.id
end

-- nil, or why it can't be known.
local function dedup_problem(dedup)
    local owner_key, next_key = dedup_keys(dedup)
    return kinds_problem({ owner_key, 'string', next_key, 'hash' })
end

-- Both majors' names of one event. `id` is of the job that stays, `other` of the one that does not.
local function tell_deduplicated(dedup, id, other)
    tell(own, 'debounced', 'jobId', id, 'debounceId', dedup.id)
    tell(own, 'deduplicated', 'jobId', id, 'deduplicationId', dedup.id, 'deduplicatedJobId', other)
end

local function dedup_own(dedup, id)
    local owner_key = dedup_keys(dedup)
    if dedup.ttl > 0 and not dedup.keep_last then
        redis.call('SET', owner_key, id, 'PX', whole(dedup.ttl))
    else
        redis.call('SET', owner_key, id)
    end
end

local active_owners = {} -- by id; a call of this script changes nothing about it

-- A job under a lock is active, and one that never ran is not: the list itself is asked last.
local function is_active(id)
    local known = active_owners[id]
    if known == nil then
        local key = P .. id
        if redis.call('EXISTS', key .. ':lock') == 1 then
            known = true
        elseif redis.call('TYPE', key).ok ~= 'hash' or not redis.call('HGET', key, 'ats')
            or redis.call('ZSCORE', k_delayed, id) then
            known = false
        else
            known = redis.call('LPOS', k_active, id, 'MAXLEN', ACTIVE_SEEN) and true or false
        end
        active_owners[id] = known
    end
    return known
end

-- The owner runs: this job becomes one when that has ended (lib/dedup.lua). The last one that comes counts.
local function dedup_keep_next(job, owner)
    local owner_key, next_key = dedup_keys(job.dedup)
    redis.call('DEL', next_key)
    redis.call('HSET', next_key, 'name', job.name, 'data', job.data, 'opts', job.opts, 'jid', job.id)
    redis.call('PERSIST', owner_key)
    tell_deduplicated(job.dedup, owner, job.id)
end

-- The owner has not begun: it gives way. False when it is not delayed.
local function dedup_replace(job, owner)
    local owner_key, next_key = dedup_keys(job.dedup)
    if redis.call('ZREM', k_delayed, owner) == 0 then
        return false
    end
    local key = P .. owner
    redis.call('DEL', key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed',
        key .. ':unsuccessful')
    tell(own, 'removed', 'jobId', owner, 'prev', 'delayed')
    tell_deduplicated(job.dedup, job.id, owner)
    redis.call('DEL', next_key)
    if job.dedup.ttl > 0 and not job.dedup.extend and not job.dedup.keep_last then
        redis.call('SET', owner_key, job.id, 'KEEPTTL')
    else
        dedup_own(job.dedup, job.id)
    end
    return true
end

-- A key without a time of its own ends with its job. When that is gone, it was left behind.
local function dedup_is_stale(dedup, owner)
    local owner_key, next_key = dedup_keys(dedup)
    if redis.call('PTTL', owner_key) == -1 and redis.call('EXISTS', P .. owner) == 0 then
        redis.call('DEL', next_key)
        return true
    end
    return false
end

local function dedup_reschedule(job, owner)
    if redis.call('ZSCORE', k_delayed, owner) and redis.call('EXISTS', P .. owner) == 1 then
        redis.call('HSET', P .. owner, 'delay', job.delay)
        put_delayed(own, owner, tonumber(job.timestamp) + tonumber(job.delay))
    end
end

-- nil: the job is to be added, and owns the deduplication id now. Otherwise the owner, and whether it is kept as the next one.
local function dedup_admit(job)
    local dedup = job.dedup
    local owner = redis.call('GET', (dedup_keys(dedup)))
    if not owner then
        dedup_own(dedup, job.id)
        return nil
    end
    if dedup.replace and dedup_replace(job, owner) then
        return nil
    end
    if dedup_is_stale(dedup, owner) then
        dedup_own(dedup, job.id)
        return nil
    end
    if dedup.keep_last and is_active(owner) then
        dedup_keep_next(job, owner)
        return owner, true
    end
    if dedup.replace then
        return owner, false -- without an event, as stock does
    end
    if dedup.ttl > 0 and dedup.extend then
        dedup_own(dedup, owner)
    end
    tell_deduplicated(dedup, owner, job.id)
    if dedup.reschedule then
        dedup_reschedule(job, owner)
    end
    return owner, false
end
