-- Iterations of job schedulers (wire format 9): their times, their opts, and how one is stored. The id of one is
-- "repeat:<scheduler>:<ms>". Needs lib/keys.lua, lib/kinds.lua, lib/number.lua, lib/place.lua, lib/store.lua, `now`.

local k_repeat = P .. 'repeat'
local SLOTS_MAX = 32 -- times tried when their jobs exist

local function scheduler_key(scheduler)
    return k_repeat .. ':' .. scheduler
end

-- nil, or why nothing can be written for this scheduler.
local function scheduler_problem(scheduler)
    return store_problem(own) or kinds_problem({ k_repeat, 'zset', scheduler_key(scheduler), 'hash' })
end

-- A number of opts or of a hash; nil when it is none.
local function number_of(value)
    return (type(value) == 'number' or type(value) == 'string') and tonumber(value) or nil
end

-- The slot of `every` that comes after `prev` (nil: the first one), and the phase of all of them: what the slots lie behind
-- whole multiples of `every`. offset: the phase that is known, or 0.
local function slot_time(prev, every, offset, start)
    local due
    if prev then
        due = prev + every
        if due < now then -- slots that nobody was there for are left out
            due = math.floor(now / every) * every + offset
            due = due > now and due or due + every
        end
    elseif start then
        due = math.max(start, now)
    elseif offset > 0 then
        due = math.floor(now / every) * every + offset
        due = due > now and due or due + every
    else
        due = now
    end
    due = math.floor(due)
    return due, offset ~= 0 and math.floor(offset) or due - math.floor(due / every) * every
end

-- Of that slot and the SLOTS_MAX that follow the first whose job does not exist, or nil. leaving: an id that counts as free.
local function free_slot(stem, due, every, leaving)
    for tried = 0, SLOTS_MAX do
        local id = stem .. whole(due + tried * every)
        if id == leaving or redis.call('EXISTS', P .. id) == 0 then
            return due + tried * every
        end
    end
end

-- A JSON object as a table, without members that are null; nil when it is none.
local function decode_object(text)
    local ok, object = pcall(cjson.decode, text or '')
    if not ok or type(object) ~= 'table' then
        return nil
    end
    for name, value in pairs(object) do
        if value == cjson.null then
            object[name] = nil
        end
    end
    return object
end

-- A number of opts as jobs are placed by: whole, above 0; all else counts as 0.
local function placing(value)
    return type(value) == 'number' and value > 0 and math.floor(value) or 0
end

-- opts: a table, without what is of this iteration alone. Returns its delay.
local function store_iteration(scheduler, id, due, name, data, opts)
    local delay = math.max(math.floor(due) - now, 0)
    local priority = placing(opts.priority)
    local place = opts.lifo and opts.lifo ~= cjson.null and 'l' or 'w'
    if delay > 0 then
        place = 'd'
    elseif priority > 0 then
        place = 'p'
    end
    opts.jobId, opts.delay, opts.timestamp, opts.repeatJobKey = id, delay, now, scheduler
    local dedup = type(opts.de) == 'table' and opts.de.id
    next_number(own)
    store_job({
        queue = own, id = id, name = name, data = data, opts = cjson.encode(opts), timestamp = whole(now),
        delay = whole(delay), priority = whole(priority), place = place, scheduler = scheduler,
        dedup_id = type(dedup) == 'string' and dedup or nil,
    })
    finish_queue(own)
    return delay
end
