-- iterate: makes the next iteration of a job scheduler, for the worker that has fetched the pending one (wire format 9.4,
-- 9.6). Only the job whose time is the scheduler's makes one: a retry or a second run finds that it was done.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 id of the fetched job  5 id of its scheduler
--       6 time of the next iteration (ms), with a pattern; else ""
-- Result  0 and the id of the next job
--         1 and "": this job is not the pending one: done before, or the scheduler was changed
--         2 and an id: with a pattern, a job of the next time's id exists; ask again with the time after it.
--           With `every`: so are the 32 that follow
--         3 and "": there is no such scheduler
-- Bounds  33 ids are looked for.
-- Calls   80
-- Elements 1
-- Repeat  always: then it answers 1.
-- Failure looked at before the first write. Opts that can't be read are made anew from the scheduler.

--- include lib/keys.lua
--- include lib/kinds.lua
local now, id, scheduler, pattern_due = tonumber(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6])
--- include lib/number.lua
--- include lib/place.lua
--- include lib/parent.lua
--- include lib/store.lua
--- include lib/iteration.lua

local CONTINUED, ALREADY, TAKEN, REMOVED = 0, 1, 2, 3

local key = scheduler_key(scheduler)
local problem = scheduler_problem(scheduler) or kinds_problem({ P .. id, 'hash' })
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
local prev_text = redis.call('ZSCORE', k_repeat, scheduler)
if not prev_text then
    return { REMOVED, '' }
end
local prev = tonumber(prev_text)

local names = { 'name', 'data', 'every', 'offset', 'ic', 'opts', 'pattern', 'tz', 'limit', 'startDate', 'endDate' }
local found, stored = redis.call('HMGET', key, unpack(names)), {}
for at, name in ipairs(names) do
    stored[name] = found[at] or nil
end
local job = redis.call('HMGET', P .. id, 'name', 'data', 'opts')

-- A repeatable job of BullMQ before 5: its key is "name:id:end:tz:pattern" (or what the user gave), its jobs are called
-- by a digest of that, and it is no scheduler yet.
local _, colons = string.gsub(scheduler, ':', '')
local legacy = colons >= 4 and not stored.ic
local stem, own_ms = string.match(id, '^(.*:)(%d+)$')
if not stem or tonumber(own_ms) ~= prev or not (legacy or stem == 'repeat:' .. scheduler .. ':') then
    return { ALREADY, '' }
end

-- ---- 1. What the next job is.

local function repeat_of_scheduler()
    return {
        every = tonumber(stored.every), pattern = stored.pattern, tz = stored.tz, limit = tonumber(stored.limit),
        startDate = tonumber(stored.startDate), endDate = tonumber(stored.endDate), count = tonumber(stored.ic) or 1,
    }
end

local opts = decode_object(job[3]) or decode_object(stored.opts) or {}
local rules = type(opts['repeat']) == 'table' and opts['repeat'] or repeat_of_scheduler()
local every = tonumber(stored.every) or number_of(rules.every)
if not every and not pattern_due then
    return redis.error_reply('ERR neither an interval nor the next time of a pattern')
end

local due
if not every then
    due, rules.offset = pattern_due, nil
elseif legacy then
    due = math.floor(math.max(now, prev) / every) * every + every
else
    due = slot_time(prev, every, number_of(stored.offset) or number_of(rules.offset) or 0)
end

-- ---- 2. Is its id free?

if every then
    local free = free_slot(stem, due, every)
    if free ~= due then
        tell(own, 'duplicated', 'jobId', stem .. whole(due))
    end
    if not free then
        return { TAKEN, stem .. whole(due) }
    end
    due = free
elseif redis.call('EXISTS', P .. stem .. whole(due)) == 1 then
    tell(own, 'duplicated', 'jobId', stem .. whole(due))
    return { TAKEN, stem .. whole(due) }
end

-- ---- 3. Write.

redis.call('ZADD', k_repeat, whole(due), scheduler)
local data = stored.data or job[2] or '{}'
if not legacy then
    if is_whole(stored.ic or false) then
        redis.call('HINCRBY', key, 'ic', '1')
    else
        redis.call('HSET', key, 'ic', '1')
    end
    if data ~= '{}' then
        redis.call('HSET', key, 'data', data)
    end
end

rules.count = (number_of(rules.count) or 0) + 1
rules.immediately = nil
opts['repeat'] = rules
opts.attempts = opts.attempts or 0
if type(opts.backoff) == 'number' then
    opts.backoff = { type = 'fixed', delay = opts.backoff }
end
opts.prevMillis = (legacy or not every) and due or nil
local next_id = stem .. whole(due)
local shift = legacy and number_of(rules.offset) or 0
store_iteration(scheduler, next_id, due + shift, stored.name or job[1] or scheduler, data, opts)
if job[1] then
    redis.call('HSET', P .. id, 'nrjid', next_id)
end
return { CONTINUED, next_id }
