-- What the end of a child means for its parent (wire format 5.6). Needs lib/place.lua, lib/number.lua.

local parents = {} -- by key: the problem found, or false

-- The parent from the child's fields (each text or false): a table, or nil and what is wrong, or nil.
local function parent_of(parent_key, text)
    local parent
    if text then
        local ok, decoded = pcall(cjson.decode, text)
        if not ok or type(decoded) ~= 'table' or type(decoded.id) ~= 'string'
            or type(decoded.queueKey) ~= 'string' then
            return nil, 'parent is not readable: ' .. quoted(text)
        end
        parent = { id = decoded.id, queue_key = decoded.queueKey, key = decoded.queueKey .. ':' .. decoded.id,
            flags = decoded }
        if parent_key and parent_key ~= parent.key then
            return nil, 'parentKey ' .. quoted(parent_key) .. ' is not the parent ' .. quoted(parent.key)
        end
    elseif parent_key then
        local queue_key, id = string.match(parent_key, '^(.+):([^:]+)$')
        if not queue_key then
            return nil, 'parentKey is not a key of a job: ' .. quoted(parent_key)
        end
        parent = { id = id, queue_key = queue_key, key = parent_key, flags = {} }
    else
        return nil
    end
    parent.queue = queue_at(parent.queue_key .. ':')
    return parent
end

-- nil, or why this parent can't be written. Looked at once a call.
local function parent_problem(parent)
    local key = parent.key
    if parents[key] == nil then
        local ok, problem = pcall(function()
            return kinds_problem({
                key, 'hash', key .. ':dependencies', 'set', key .. ':processed', 'hash', key .. ':failed', 'hash',
                key .. ':unsuccessful', 'zset', parent.queue.prefix .. 'failed', 'zset',
            }) or queue_problem(parent.queue)
        end)
        if not ok then -- its keys lie on another node of a cluster
            problem = 'parent ' .. quoted(key) .. ' can not be reached'
        elseif problem then
            problem = 'parent is damaged: ' .. problem
        end
        parents[key] = problem or false
    end
    return parents[key] or nil
end

local function parent_put(parent, priority)
    put_waiting(parent.queue, parent.id, priority, priority == 0)
    tell(parent.queue, 'waiting', 'jobId', parent.id, 'prev', 'waiting-children')
end

-- It has left its set: to where its own priority and delay want it.
local function parent_place(parent)
    local found = redis.call('HMGET', parent.key, 'priority', 'delay')
    local delay = lenient(found[2])
    if delay > 0 then
        put_delayed(parent.queue, parent.id, now + delay, true)
        parent.queue.due_always = true
    else
        parent_put(parent, lenient(found[1]))
    end
end

local function parent_move_on(parent)
    if redis.call('EXISTS', parent.key) == 1
        and redis.call('ZREM', parent.queue.waiting_children, parent.id) == 1 then
        parent_place(parent)
    end
end

local function parent_move_on_if_last(parent)
    if redis.call('SCARD', parent.key .. ':dependencies') == 0 then
        parent_move_on(parent)
    end
end

local function parent_child_completed(parent, child_key, value)
    if redis.call('SREM', parent.key .. ':dependencies', child_key) == 1 then
        redis.call('HSET', parent.key .. ':processed', child_key, value)
        parent_move_on_if_last(parent)
    end
end

local function parent_fail_later(parent, child_key)
    local queue, reason = parent.queue, 'child ' .. child_key .. ' failed'
    redis.call('ZADD', parent.key .. ':unsuccessful', whole(now), child_key)
    if redis.call('EXISTS', parent.key) == 0 then
        return
    end
    if redis.call('ZREM', queue.waiting_children, parent.id) == 1 then
        redis.call('HSET', parent.key, 'defa', reason)
        parent_place(parent)
    elseif redis.call('ZREM', queue.delayed, parent.id) == 1 then
        redis.call('HSET', parent.key, 'defa', reason, 'delay', '0')
        parent_place(parent)
    elseif not redis.call('ZSCORE', queue.prefix .. 'failed', parent.id) then
        redis.call('HSET', parent.key, 'defa', reason)
    end
end

-- The flags lie in the child's parent JSON; the first that is set wins; without one nothing happens.
local function parent_child_failed(parent, child_key, reason)
    local flags = parent.flags
    if not (flags.fpof or flags.cpof or flags.idof or flags.rdof)
        or redis.call('SREM', parent.key .. ':dependencies', child_key) == 0 then
        return
    end
    if flags.fpof then
        parent_fail_later(parent, child_key)
    elseif flags.cpof then
        redis.call('HSET', parent.key .. ':failed', child_key, reason)
        parent_move_on(parent)
    else
        parent_move_on_if_last(parent)
        if flags.idof then
            redis.call('HSET', parent.key .. ':failed', child_key, reason)
        end
    end
end

-- A child disappears: "loose removal". The last one lets its parent go, at once and at the front.
local function parent_child_removed(parent, child_key)
    if redis.call('SREM', parent.key .. ':dependencies', child_key) == 1
        and redis.call('SCARD', parent.key .. ':dependencies') == 0
        and redis.call('ZREM', parent.queue.waiting_children, parent.id) == 1 then
        parent_put(parent, 0)
    end
end
