-- A job whose data is damaged is put into `failed`, with the reason, in a form that people and stock
-- dashboards can read. What was there before is kept under drover's own keys:
--   drover:{tag}:quarantine:<id>:<n>           what the job's key held, when it was no hash
--   drover:{tag}:quarantine:<id>:<n>:<part>    a part of it (logs, dependencies...) of a wrong kind; `owner`
--                                              and `next` are those of its deduplication
--   drover:{tag}:quarantine:<id>:<n>:fields    hash: texts of fields that were replaced
-- Needs lib/place.lua, lib/number.lua, lib/parent.lua, lib/dedup.lua.

local PARTS = { 'logs', 'list', 'dependencies', 'set', 'processed', 'hash', 'failed', 'hash', 'unsuccessful', 'zset' }
local FIELD_DEFAULTS = { name = '(damaged)', data = '{}', opts = '{}', delay = '0', priority = '0' }

local PLACES = 1024 -- the last one is used again

-- The prefix of a fresh place in quarantine: the first free one, when they are used in order, by about 20 looks.
local function quarantine_place(id)
    local function place(n)
        return private .. 'quarantine:' .. id .. ':' .. whole(n)
    end
    local function is_free(n)
        local at = place(n)
        return redis.call('EXISTS', at, at .. ':fields', at .. ':logs', at .. ':dependencies', at .. ':processed',
            at .. ':failed', at .. ':unsuccessful', at .. ':owner', at .. ':next') == 0
    end
    local used, free = 0, 1
    while free < PLACES and not is_free(free) do
        used, free = free, free * 2
    end
    while free - used > 1 do
        local middle = math.floor((used + free) / 2)
        if is_free(middle) then
            free = middle
        else
            used = middle
        end
    end
    return place(free)
end

local function set_aside(key, kind, place)
    local found = redis.call('TYPE', key).ok
    if found ~= 'none' and found ~= kind then
        redis.call('RENAME', key, place)
    end
end

local function is_json(text)
    return (pcall(cjson.decode, text))
end

-- Changes of fields that make the hash readable: pairs to set, names to delete, pairs to keep.
local function repairs(key)
    local set, drop, keep = {}, {}, {}
    local names = { 'name', 'data', 'opts', 'timestamp', 'delay', 'priority', 'atm', 'ats', 'stc', 'processedOn',
        'parent', 'progress', 'stacktrace' }
    local found = redis.call('HMGET', key, unpack(names))
    local function replace(at, value)
        if found[at] then
            keep[#keep + 1], keep[#keep + 2] = names[at], found[at]
        end
        if value then
            set[#set + 1], set[#set + 2] = names[at], value
        else
            drop[#drop + 1] = names[at]
        end
    end
    for at = 1, 6 do
        if not found[at] then
            replace(at, FIELD_DEFAULTS[names[at]] or whole(now))
        end
    end
    if found[2] and not is_json(found[2]) then
        replace(2, cjson.encode(found[2]))
    end
    if found[3] then
        local ok, opts = pcall(cjson.decode, found[3])
        if not ok or type(opts) ~= 'table' then
            replace(3, '{}')
        end
    end
    for at = 4, 10 do
        if found[at] and not tonumber(found[at]) or at > 4 and found[at] and not is_whole(found[at]) then
            replace(at, (at == 4 or at == 10) and whole(now) or '0')
        end
    end
    for at = 11, 13 do
        if found[at] and not is_json(found[at]) then
            replace(at, nil)
        end
    end
    return set, drop, keep
end

-- Its parent hears of the failure, its deduplication ends, as far as they can be read.
local function condemn_relations(id, key, reason, place)
    local found = redis.call('HMGET', key, 'parentKey', 'parent', 'deid')
    local parent = parent_of(found[1], found[2])
    if parent and not parent_problem(parent) then
        parent_child_failed(parent, key, reason)
    end
    if found[3] then
        local plan, problem = dedup_plan(found[3])
        if not problem then
            dedup_end(plan, id)
        else -- out of the way, or every later job with this deduplication id would end here as well
            set_aside(plan.owner, 'string', place .. ':owner')
            set_aside(plan.next, 'none', place .. ':next')
            dedup_release(plan, id)
        end
    end
end

-- Makes the hash readable and fills in how it ended.
local function condemn_hash(id, key, reason, stacktrace, place)
    set_aside(key, 'hash', place)
    pcall(condemn_relations, id, key, reason, place) -- on a cluster the parent may lie elsewhere
    local set, drop, keep = repairs(key)
    if #set > 0 then
        redis.call('HSET', key, unpack(set))
    end
    drop[#drop + 1] = 'defa'
    redis.call('HDEL', key, unpack(drop))
    if #keep > 0 then
        redis.call('HSET', place .. ':fields', unpack(keep))
    end
    local made = redis.call('HGET', key, 'atm')
    redis.call('HSET', key, 'failedReason', reason, 'finishedOn', whole(now), 'atm', plus_one(made))
    if stacktrace and stacktrace ~= '' then
        redis.call('HSET', key, 'stacktrace', stacktrace)
    end
end

-- Takes the id out of `active`, if it is there, and puts it into `failed`. Nothing in here depends on
-- what the job's keys hold.
local function condemn(id, reason, stacktrace)
    local key, place = P .. id, quarantine_place(id)
    redis.call('LREM', k_active, '-1', id)
    redis.call('DEL', key .. ':lock')
    redis.call('SREM', k_stalled, id)
    redis.call('ZADD', k_failed, whole(now), id)
    condemn_hash(id, key, reason, stacktrace, place)
    for at = 1, #PARTS, 2 do
        set_aside(key .. ':' .. PARTS[at], PARTS[at + 1], place .. ':' .. PARTS[at])
    end
    tell(own, 'failed', 'jobId', id, 'failedReason', reason, 'prev', 'active')
end

local function damaged(problem)
    return 'damaged job data: ' .. problem
end
