-- Where an id goes, in this queue or in the queue of a parent (wire format 3.2 to 3.4, 5.6, 15.1),
-- and the markers that follow from it (3.10). Needs lib/keys.lua, lib/kinds.lua, and `now` (ms, a number).
--
-- A queue is a table of its keys' names, kept for the call, so that its settings and the kinds of
-- its keys are read once however many jobs touch it.

--- include own.lua

-- Events are news, never a reason to leave a job half moved: a stream that refuses is passed over.
local function tell(queue, ...)
    redis.pcall('XADD', queue.events, '*', 'event', ...)
end

-- prefix: with its colon at the end.
local function queue_at(prefix)
    local queue = queues[prefix]
    if not queue then
        queue = {
            prefix = prefix, wait = prefix .. 'wait', paused_list = prefix .. 'paused',
            active = prefix .. 'active', prioritized = prefix .. 'prioritized',
            delayed = prefix .. 'delayed', waiting_children = prefix .. 'waiting-children',
            marker = prefix .. 'marker', pc = prefix .. 'pc', meta = prefix .. 'meta',
            events = prefix .. 'events',
        }
        queues[prefix] = queue
    end
    return queue
end

local function read_settings(queue)
    if not queue.settings_read then
        local found = redis.call('HMGET', queue.meta, 'paused', 'concurrency')
        queue.paused = found[1] and true or false
        queue.concurrency = tonumber(found[2] or nil)
        queue.settings_read = true
    end
end

local function is_maxed(queue)
    return queue.concurrency ~= nil and redis.call('LLEN', queue.active) >= queue.concurrency
end

-- nil, or why a job can't be put into this queue. Looked at once a call.
local function queue_problem(queue)
    if queue.problem == nil then
        queue.problem = kinds_problem({
            queue.meta, 'hash', queue.wait, 'list', queue.paused_list, 'list', queue.active, 'list',
            queue.prioritized, 'zset', queue.delayed, 'zset', queue.waiting_children, 'zset',
            queue.marker, 'zset', queue.pc, 'string',
        }) or false
    end
    return queue.problem or nil
end

-- front: runs next (RPUSH), or first of its priority.
local function put_waiting(queue, id, priority, front)
    read_settings(queue)
    if priority == 0 then
        redis.call(front and 'RPUSH' or 'LPUSH', queue.paused and queue.paused_list or queue.wait, id)
    else
        local counter = 0
        if not front then
            counter = redis.pcall('INCR', queue.pc)
            if type(counter) == 'table' then -- not a number: it only orders jobs of one priority
                redis.call('DEL', queue.pc)
                counter = redis.call('INCR', queue.pc)
            end
        end
        redis.call('ZADD', queue.prioritized, whole(priority * 4294967296 + counter % 4294967296), id)
    end
    queue.work = true
end

-- Due at that ms; behind those of the same ms, unless `exact`.
local function put_delayed(queue, id, due, exact)
    local score = due * 4096
    if not exact then
        local top = redis.call('ZREVRANGEBYSCORE', queue.delayed, whole(score + 4095), whole(score),
            'WITHSCORES', 'LIMIT', '0', '1')
        if top[2] then
            score = math.min(tonumber(top[2]) + 1, score + 4095)
        end
    end
    redis.call('ZADD', queue.delayed, whole(score), id)
    queue.due = true
    tell(queue, 'delayed', 'jobId', id, 'delay', whole(due))
end

local function mark_work(queue)
    redis.call('ZADD', queue.marker, '0', '0')
end

local function mark_due(queue)
    local head = redis.call('ZRANGE', queue.delayed, '0', '0', 'WITHSCORES')
    if head[2] then
        redis.call('ZADD', queue.marker, string.format('%.17g', tonumber(head[2]) / 4096), '1')
    end
end

-- The markers of one queue for all that this call put into it.
local function mark(queue)
    if queue.work then
        read_settings(queue)
        if not queue.paused and not is_maxed(queue) then
            mark_work(queue)
        end
    end
    if queue.due then
        mark_due(queue)
    end
end

local function mark_all()
    for _, queue in pairs(queues) do
        mark(queue)
    end
end

-- Once a call that wrote events (3.9).
local function trim_events()
    local events_max = tonumber(redis.call('HGET', k_meta, 'opts.maxLenEvents') or nil)
    redis.pcall('XTRIM', k_events, 'MAXLEN', '~', whole(math.max(events_max or 10000, 0)))
end
