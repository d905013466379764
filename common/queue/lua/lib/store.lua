-- A new job: stored, and put where it belongs (wire format 3.1 to 3.6). One at a time; add.lua, where jobs have nothing to do
-- with others, does the same for many at once. Needs lib/place.lua, lib/number.lua, lib/parent.lua.
--
-- A job is a table: queue (its own), id, name, data, opts, timestamp, delay, priority (texts), place ("w" wait, "l" wait, runs
-- next, "d" delayed, "p" prioritized, "c" waiting-children), and for a child parent (as lib/parent.lua has it), parent_text
-- (JSON, with the policy), for a deduplicated one dedup_id, for an iteration of a job scheduler that scheduler.

local function parent_at(queue_key, id)
    return { id = id, queue_key = queue_key, key = queue_key .. ':' .. id, flags = {}, queue = queue_at(queue_key .. ':') }
end

-- nil, or why no job can be added to this queue. To be looked at before the first write.
local function store_problem(queue)
    local problem = queue_problem(queue) or kinds_problem({
        queue.events, 'stream', queue.prefix .. 'id', 'string', queue.prefix .. 'completed', 'zset',
    })
    if problem then
        return problem
    end
    if not is_whole(redis.call('GET', queue.prefix .. 'id')) then
        return queue.prefix .. 'id is not a whole number'
    end
end

-- The number that every add uses up. The queue's settings get their default with the first one.
local function next_number(queue)
    local number = redis.call('INCR', queue.prefix .. 'id')
    if not queue.counted then
        queue.counted = true
        queue.events_max = redis.call('HGET', queue.meta, 'opts.maxLenEvents')
        if not queue.events_max then
            redis.call('HSETNX', queue.meta, 'opts.maxLenEvents', '10000')
        end
    end
    return whole(number)
end

local function put_new(job)
    local queue, delay = job.queue, tonumber(job.delay)
    if job.place == 'c' then
        redis.call('ZADD', queue.waiting_children, job.timestamp, job.id)
        tell(queue, 'waiting-children', 'jobId', job.id)
    elseif job.place == 'd' then
        put_delayed(queue, job.id, tonumber(job.timestamp) + delay)
    else
        put_waiting(queue, job.id, job.place == 'p' and tonumber(job.priority) or 0, job.place == 'l')
        tell(queue, 'waiting', 'jobId', job.id)
    end
end

local function store_job(job)
    local key = job.queue.prefix .. job.id
    local fields = { 'name', job.name, 'data', job.data, 'opts', job.opts, 'timestamp', job.timestamp,
        'delay', job.delay, 'priority', job.priority }
    if job.parent then
        fields[13], fields[14], fields[15], fields[16] = 'parentKey', job.parent.key, 'parent', job.parent_text
    end
    if job.dedup_id then
        fields[#fields + 1] = 'deid'
        fields[#fields + 1] = job.dedup_id
    end
    if job.scheduler then
        fields[#fields + 1] = 'rjk'
        fields[#fields + 1] = job.scheduler
    end
    redis.call('HSET', key, unpack(fields))
    tell(job.queue, 'added', 'jobId', job.id, 'name', job.name)
    put_new(job)
    if job.parent then
        redis.call('SADD', job.parent.key .. ':dependencies', key)
    end
end

-- What is under the key of a job's own id: nil when nothing is; -1 and why it can't be a job; -7 and the parent that it has
-- already, when that is another one and still there (where stock 6 and not 5: a parent that is gone holds nobody back); or 1.
local function look_at_namesake(job, key)
    local kind = redis.call('TYPE', key).ok
    if kind == 'none' then
        return nil
    elseif kind ~= 'hash' then
        return -1, key .. ' holds a ' .. kind .. ', not a hash'
    elseif not job.parent then
        return 1
    end
    local old = redis.call('HGET', key, 'parentKey')
    if not old or old == job.parent.key then
        return 1
    end
    local there = redis.pcall('EXISTS', old)
    if there == 0 then
        return 1
    end
    return -7, key .. ' is a child of ' .. quoted(old)
end

-- A job of this id is there already: it stays as it is, but becomes a child. A completed one counts as done; the parent moves
-- on at once unless `later`: then the caller looks, when all children are there.
local function keep_namesake(job, key, later)
    local parent = job.parent
    if parent then
        if redis.call('ZSCORE', job.queue.prefix .. 'completed', job.id) then
            redis.call('HSET', parent.key .. ':processed', key, redis.call('HGET', key, 'returnvalue') or 'null')
            if not later then
                parent_move_on_if_last(parent)
            end
        else
            redis.call('SADD', parent.key .. ':dependencies', key)
        end
        redis.call('HSET', key, 'parentKey', parent.key, 'parent', job.parent_text)
    end
    tell(job.queue, 'duplicated', 'jobId', job.id)
end

-- Once a call and queue: the markers for all that was put into it, and its events within their number.
local function finish_queue(queue)
    mark(queue)
    if queue.counted then
        local most = tonumber(queue.events_max or nil)
        redis.pcall('XTRIM', queue.events, 'MAXLEN', '~', whole(most and most >= 0 and most or 10000))
    end
end
