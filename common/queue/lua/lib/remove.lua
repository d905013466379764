-- Removing jobs with all that belongs to them (wire format 8.5, 5.6, 3.7). Needs lib/change.lua, lib/place.lua,
-- lib/number.lua, lib/parent.lua.
--
-- Whole keys go by UNLINK: however large one is, Redis frees it beside its work. What a job's keys hold is not trusted;
-- a damaged job can be removed like any other. A parent that is damaged, or lies on another node of a cluster, is left alone.

local SETS = { 'completed', 'waiting-children', 'delayed', 'failed', 'prioritized' }
local LISTS = { 'wait', 'paused', 'active' }
local told = {} -- queues, by prefix, whose events are trimmed at the end

local function tell_trimmed(queue, ...)
    tell(queue, ...)
    told[queue.prefix] = queue
end

local function parts_of(key)
    return key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed', key .. ':unsuccessful'
end

-- The prefix of a queue, and the id: what stands behind the last colon.
local function split_key(key)
    return string.match(key, '^(.*:)([^:]+)$')
end

-- nil, or why no job can be taken out of the states of this queue. Looked at once a call.
local function states_problem(queue)
    if queue.states_problem == nil then
        queue.states_problem = queue_problem(queue) or kinds_problem({
            queue.prefix .. 'completed', 'zset', queue.prefix .. 'failed', 'zset', queue.events, 'stream',
        }) or false
    end
    return queue.states_problem or nil
end

-- The name of the key that held it, or nil. An id is in one state only.
local function take_from_state(queue, id)
    for _, name in ipairs(SETS) do
        if redis.call('ZREM', queue.prefix .. name, id) == 1 then
            return name
        end
    end
    for _, name in ipairs(LISTS) do
        if redis.call('LREM', queue.prefix .. name, '1', id) == 1 then
            return name
        end
    end
end

-- It owned a deduplication id: the next job may have it. Any other owner keeps it. At most 2 commands.
local function release_dedup(queue, id, deduplication)
    if deduplication then
        local owner = queue.prefix .. 'de:' .. deduplication
        if redis.pcall('GET', owner) == id then
            redis.call('UNLINK', owner, queue.prefix .. 'dn:' .. deduplication)
            return true
        end
    end
    return false
end

-- parentKey and deid, as far as they can be read.
local function relations_of(key, ...)
    local found = redis.pcall('HMGET', key, 'parentKey', 'deid', ...)
    return found.err and {} or found
end

local function sound_parent(parent_key)
    local parent = parent_key and parent_of(parent_key)
    return parent and not parent_problem(parent) and parent or nil
end

-- "Hard removal": what drain, clean and obliterate do to a parent whose last child goes. In this queue it goes too, and so
-- upwards; in another one it is released without an event. Returns how many parents went, at most `most`; those above
-- are released as usual.
local function leave_parent_hard(parent_key, child_key, most)
    local gone = 0
    while parent_key do
        local parent = sound_parent(parent_key)
        if not parent or redis.call('SREM', parent.key .. ':dependencies', child_key) == 0
            or redis.call('SCARD', parent.key .. ':dependencies') > 0
            or redis.call('ZREM', parent.queue.waiting_children, parent.id) == 0 then
            return gone
        elseif parent.queue ~= own then
            put_waiting(parent.queue, parent.id, 0, true)
            return gone
        elseif gone == most then
            parent_put(parent, 0)
            return gone
        end
        local found = relations_of(parent.key)
        release_dedup(own, parent.id, found[2])
        redis.call('UNLINK', parts_of(parent.key))
        gone = gone + 1
        parent_key, child_key = found[1], parent.key
    end
    return gone
end

local function trim_told()
    for _, queue in pairs(told) do
        local events_max = tonumber(redis.pcall('HGET', queue.meta, 'opts.maxLenEvents') or nil)
        redis.pcall('XTRIM', queue.events, 'MAXLEN', '~', whole(math.max(events_max or 10000, 0)))
    end
end

local function mark_all()
    for _, queue in pairs(queues) do
        mark(queue)
    end
end
