-- Promoting due jobs and fetching the next ones (wire format 4.1). Needs lib/condemn.lua, `head` (the first of
-- `delayed`, with its score), `waiting` and `prioritized` (lengths), `settings`, and turn.lua's arguments.

local PROMOTE_MAX = 200
local LOOK_MAX = 256
local FIELDS_LAST = 12

local promoted, more = false, false -- more: than one call does
local taken, taken_ids, taken_bytes, limited, limit_max = {}, {}, 0, 0, nil

-- A due job whose data is damaged, or whose hash is gone, must not stop the others.
local ghosts, quarantined = 0, 0

local function quarantine(id, problem)
    pcall(condemn, id, damaged(problem))
    quarantined = quarantined + 1
end

local function promote_one(id, plain)
    local key = P .. id
    local priority = redis.pcall('HGET', key, 'priority')
    if type(priority) == 'table' then
        return quarantine(id, key .. ' is not a hash')
    elseif not priority and redis.call('EXISTS', key) == 0 then
        ghosts = ghosts + 1
        return
    elseif not is_whole(priority) then
        return quarantine(id, whole_problem('priority', priority))
    end
    if not priority or priority == '0' then
        plain[#plain + 1] = id
    else
        put_waiting(own, id, tonumber(priority))
    end
    redis.call('HSET', key, 'delay', '0')
    tell(own, 'waiting', 'jobId', id, 'prev', 'delayed')
end

local function promote()
    promoted = true
    if not head[2] or tonumber(head[2]) >= (now + 1) * 4096 then
        return
    end
    local due = redis.call('ZRANGEBYSCORE', k_delayed, '-inf', whole((now + 1) * 4096 - 1), 'LIMIT', '0',
        PROMOTE_MAX + 1)
    if #due > PROMOTE_MAX then
        more, due[#due] = true, nil
    end
    redis.call('ZREM', k_delayed, unpack(due))
    local plain = {}
    for _, id in ipairs(due) do
        promote_one(id, plain)
    end
    if #plain > 0 then
        redis.call('LPUSH', own.paused and k_paused or k_wait, unpack(plain))
        own.work = true
    end
end

-- How many jobs the rate limit of the queue leaves (4.1); nil without one.
local function limit_room()
    limit_max = tonumber(settings[3] or nil)
    if not limit_max then
        return nil
    end
    local used = redis.pcall('GET', k_limiter)
    used = type(used) == 'string' and tonumber(used) or 0
    if used < limit_max then
        return limit_max - used
    end
    local ttl = redis.call('PTTL', k_limiter)
    if ttl == 0 then
        redis.call('DEL', k_limiter)
    elseif ttl > 0 then
        limited = ttl
        return 0
    end
    return nil -- a counter that never expires does not block
end

local function room()
    if own.paused or want == 0 then
        return 0
    end
    local most = math.min(want, math.ceil((waiting + prioritized) / math.max(live, 1)))
    if own.concurrency then
        most = math.min(most, own.concurrency - redis.call('LLEN', k_active))
    end
    return math.ceil(math.min(most, limit_room() or most))
end

-- What forbids to run the job, or nil.
local function fetch_problem(key, found)
    if found.err then
        return key .. ' is not a hash'
    end
    local ok = is_whole(found[6]) and is_whole(found[7]) and is_whole(found[8]) and is_whole(found[5])
        and (not found[4] or tonumber(found[4]))
    if not ok then
        return whole_problem('atm', found[6]) or whole_problem('ats', found[7]) or whole_problem('stc', found[8])
            or whole_problem('priority', found[5]) or 'timestamp is not a number: ' .. quoted(found[4])
    end
end

-- Looks at one id. Returns false when it would be too much: then it stays where it is.
local function take(id)
    local key = P .. id
    local found = redis.pcall('HMGET', key, 'name', 'data', 'opts', 'timestamp', 'priority', 'atm', 'ats', 'stc',
        'defa', 'stacktrace', 'rjk', 'parentKey')
    local problem = fetch_problem(key, found)
    if taken_ids[id] then
        return true -- twice in the list: once is enough
    elseif problem then
        taken_ids[id] = true
        quarantine(id, problem)
    elseif not found[1] and not found[2] and (string.sub(id, 1, 2) == '0:' or redis.call('EXISTS', key) == 0) then
        ghosts = ghosts + 1 -- no such job, or a marker of an old version
    else
        local bytes = taken_bytes + #(found[2] or '') + #(found[3] or '')
        if bytes > bytes_max and #taken > 0 then
            return false
        end
        taken_bytes, taken_ids[id] = bytes, true
        found[FIELDS_LAST + 1] = id
        taken[#taken + 1] = found
    end
    return true
end

-- Takes up to `most` jobs from one place: `look_at(n)` lists its next n ids, `remove(n)` removes them.
-- Returns how many ids were removed.
local function take_from(look_at, remove, most)
    local removed = 0
    while #taken < most and removed < LOOK_MAX do
        local list, used = look_at(most - #taken), 0
        for _, id in ipairs(list) do
            if not take(id) then
                break
            end
            used = used + 1
        end
        if used > 0 then
            remove(used)
        end
        removed = removed + used
        if #list == 0 or used < #list then
            return removed
        end
    end
    more = more or #taken < most
    return removed
end

local function wait_next(n)
    local list, reversed = redis.call('LRANGE', k_wait, -n, '-1'), {}
    for at = #list, 1, -1 do
        reversed[#reversed + 1] = list[at]
    end
    return reversed
end

local function start_taken()
    local active = {}
    for at = 1, #taken do
        local job = taken[at]
        local id, ats = job[FIELDS_LAST + 1], plus_one(job[7])
        local key = P .. id
        active[at] = id
        redis.call('SET', key .. ':lock', uuid .. ':' .. call_text, 'PX', lock_ms)
        redis.pcall('XADD', k_events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
        if worker == '' then
            redis.call('HSET', key, 'processedOn', now_text, 'ats', ats)
        else
            redis.call('HSET', key, 'processedOn', now_text, 'ats', ats, 'pb', worker)
        end
    end
    redis.call('LPUSH', k_active, unpack(active))
    if limit_max then
        local used = redis.pcall('INCRBY', k_limiter, #taken)
        local duration = tonumber(settings[4] or nil)
        if used == #taken and duration then
            redis.call('PEXPIRE', k_limiter, whole(math.max(math.floor(math.abs(duration)), 1)))
        end
    end
end

local function fetch()
    waiting, prioritized = redis.call('LLEN', k_wait), redis.call('ZCARD', k_prioritized)
    local most = room()
    if most <= 0 then
        return
    end
    if waiting > 0 then
        waiting = waiting - take_from(wait_next, function(n)
            redis.call('LTRIM', k_wait, '0', -n - 1)
        end, most)
    end
    if waiting == 0 and #taken < most and prioritized > 0 then
        prioritized = prioritized - take_from(function(n)
            return redis.call('ZRANGE', k_prioritized, '0', n - 1)
        end, function(n)
            redis.call('ZPOPMIN', k_prioritized, n)
        end, most)
    end
    if #taken > 0 then
        start_taken()
    end
end

