-- The end of a deduplicated job (wire format 3.7, 3.8). Needs lib/place.lua, lib/number.lua.

-- A number out of opts: whole, not negative; all else counts as 0.
local function count_in(value)
    return type(value) == 'number' and value > 0 and math.floor(value) or 0
end

-- nil, or why the deduplication of this job can't be ended; else the plan for dedup_end.
local function dedup_plan(id)
    local plan = { owner = P .. 'de:' .. id, next = P .. 'dn:' .. id, id = id }
    local problem = kinds_problem({ plan.owner, 'string', plan.next, 'hash' })
    if problem or redis.call('EXISTS', plan.next) == 0 then
        return plan, problem
    end
    local found = redis.call('HMGET', plan.next, 'name', 'data', 'opts', 'jid', 'pk', 'pd', 'pdk', 'rjk')
    plan.fields = found
    if found[3] then
        local ok, opts = pcall(cjson.decode, found[3])
        if not ok or type(opts) ~= 'table' then
            return plan, plan.next .. ' has unreadable opts: ' .. quoted(found[3])
        end
        plan.opts = opts
    else
        plan.opts = {}
    end
    local counter = redis.pcall('GET', k_id)
    if type(counter) == 'table' or not is_whole(counter) then
        return plan, k_id .. ' is not a whole number'
    end
    return plan, found[7] and kinds_problem({ found[7], 'set' }) or nil
end

local function dedup_store(plan, id)
    local found, opts = plan.fields, plan.opts
    local delay, priority = count_in(opts.delay), count_in(opts.priority)
    local fields = { 'name', found[1] or '', 'data', found[2] or '{}', 'opts', found[3] or '{}', 'timestamp', whole(now),
        'delay', whole(delay), 'priority', whole(priority), 'deid', plan.id }
    for _, pair in ipairs({ { 'parentKey', found[5] }, { 'parent', found[6] }, { 'rjk', found[8] } }) do
        if pair[2] then
            fields[#fields + 1] = pair[1]
            fields[#fields + 1] = pair[2]
        end
    end
    redis.call('HSET', P .. id, unpack(fields))
    tell(own, 'added', 'jobId', id, 'name', found[1] or '')
    if delay > 0 then
        put_delayed(own, id, now + delay)
        own.due_always = true
    else
        put_waiting(own, id, priority, opts.lifo == true)
        tell(own, 'waiting', 'jobId', id)
    end
    if found[7] then
        redis.call('SADD', found[7], P .. id)
    end
end

-- The last update that came while the owner ran becomes a job of its own.
local function dedup_requeue(plan)
    local counter = whole(redis.call('INCR', k_id))
    local id = plan.fields[4]
    if not id or id == '' then
        id = counter
    end
    local mode = type(plan.opts.de) == 'table' and plan.opts.de or {}
    local ttl = count_in(mode.ttl)
    if redis.call('EXISTS', P .. id) == 1 then -- somebody used the id meanwhile: that job is the newer one
        tell(own, 'duplicated', 'jobId', id)
    else
        if mode.keepLastIfActive or ttl == 0 then
            redis.call('SET', plan.owner, id)
        else
            redis.call('SET', plan.owner, id, 'PX', whole(ttl))
        end
        dedup_store(plan, id)
    end
    redis.call('DEL', plan.next)
end

local function dedup_release(plan, job_id)
    local ttl = redis.call('PTTL', plan.owner)
    if ttl == 0 or (ttl == -1 and redis.call('GET', plan.owner) == job_id) then
        redis.call('DEL', plan.owner)
    end
end

local function dedup_end(plan, job_id)
    dedup_release(plan, job_id)
    if plan.fields then
        dedup_requeue(plan)
    end
end
