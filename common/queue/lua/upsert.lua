-- upsert: makes a job scheduler, or replaces it together with its pending job (wire format 9.3).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 id of the scheduler  5 every (ms) or ""  6 pattern or ""  7 time of the next iteration (ms), with a
--       pattern; else ""  8 name of the jobs  9 their data (JSON)  10 their opts (a JSON object)  11 time zone or ""
--       12 offset (ms), above 0 and with `every`; or ""  13 limit or ""  14 start (ms) or ""  15 end (ms) or ""
-- Result  0, the id of the pending job and in how many ms it is due; or, and nothing was changed: -10 (pattern) and the id
--         whose job exists and is active or has ended; -11 (every) and such an id: so are the 32 that follow
-- Bounds  one pending job is removed, which in `wait` is linear in its length; 33 ids are looked for.
-- Calls   110
-- Elements 1
-- Linear  LPOS paused, LPOS wait, LREM paused, LREM wait
-- Repeat  the same call again removes its own pending job and puts the same one in its place.
-- Failure looked at before the first write; a full server refuses the first write that stores, which comes after
--         the removal of the pending job only when that is replaced.

--- include lib/keys.lua
--- include lib/kinds.lua
local now, scheduler, every, pattern = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), ARGV[6]
local name, data, template = ARGV[8], ARGV[9], ARGV[10]
local offset, start = tonumber(ARGV[12]), tonumber(ARGV[14])
--- include lib/number.lua
--- include lib/place.lua
--- include lib/parent.lua
--- include lib/store.lua
--- include lib/iteration.lua

local key, stem = scheduler_key(scheduler), 'repeat:' .. scheduler .. ':'
local problem = scheduler_problem(scheduler)
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
local opts = decode_object(template)
if not opts then
    return redis.error_reply('ERR the opts of the jobs are not a JSON object')
end

-- ---- 1. Its next time.

local prev = tonumber(redis.call('ZSCORE', k_repeat, scheduler) or nil)
local found = redis.call('HMGET', key, 'every', 'offset', 'ic')
local due, phase = tonumber(ARGV[7]), offset or 0
local other_every = every and prev and tonumber(found[1] or nil) ~= every
if every then
    due, phase = slot_time(not other_every and prev or nil, every, phase, start)
end

-- The pending job that gives way: where it is, or nil when there is none that could.
local function find_pending(id)
    local job_key = P .. id
    if redis.call('TYPE', job_key).ok ~= 'hash' then
        return nil
    elseif redis.call('ZSCORE', k_delayed, id) then
        return k_delayed
    elseif redis.call('ZSCORE', k_prioritized, id) then
        return k_prioritized
    elseif redis.call('EXISTS', job_key .. ':lock') == 0 and not redis.call('HGET', job_key, 'finishedOn') then
        return k_wait
    end
end

local function take_waiting(id)
    return redis.call('LREM', k_wait, '1', id) + redis.call('LREM', k_paused, '1', id) > 0
end

-- Its deduplication ends with it; the last child lets its parent go.
local function forget_pending(id)
    local job_key = P .. id
    local relations = redis.call('HMGET', job_key, 'deid', 'parentKey')
    if relations[1] and redis.pcall('GET', P .. 'de:' .. relations[1]) == id then
        redis.call('DEL', P .. 'de:' .. relations[1], P .. 'dn:' .. relations[1])
    end
    local parent = relations[2] and parent_of(relations[2])
    if parent and not parent_problem(parent) then
        parent_child_removed(parent, job_key)
        if parent.queue ~= own then
            mark(parent.queue)
        end
    end
    redis.call('DEL', job_key, job_key .. ':logs', job_key .. ':dependencies', job_key .. ':processed',
        job_key .. ':failed', job_key .. ':unsuccessful')
end

local pending = prev and stem .. whole(prev)
local place = pending and find_pending(pending)
local removable = place ~= nil and (place ~= k_wait or redis.call('LPOS', k_wait, pending) ~= false
    or redis.call('LPOS', k_paused, pending) ~= false)
if removable and every and not other_every then
    due = prev -- its slot stays
end

-- ---- 2. Is the id free? That of the job that gives way is.

local id, leaving = stem .. whole(due), removable and pending or nil
if every then
    due = free_slot(stem, due, every, leaving)
    if not due then
        return { -11, id }
    end
    id = stem .. whole(due)
elseif id ~= leaving and redis.call('EXISTS', P .. id) == 1 then
    return { -10, id }
end

-- ---- 3. Write.

if removable then
    if place == k_wait then
        take_waiting(pending)
    else
        redis.call('ZREM', place, pending)
    end
    forget_pending(pending)
end

redis.call('ZADD', k_repeat, whole(due), scheduler)
local fields = { 'name', name, 'ic', found[3] or '1' }
local function put(field, value)
    if value and value ~= '' then
        fields[#fields + 1] = field
        fields[#fields + 1] = value
    end
end
put('tz', ARGV[11])
put('limit', ARGV[13])
put('pattern', pattern)
put('startDate', ARGV[14])
put('endDate', ARGV[15])
put('every', ARGV[5])
if not removable then
    put('offset', whole(phase))
else
    put('offset', offset and whole(offset) or found[2])
end
put('opts', template ~= '{}' and template)
put('data', data ~= '{}' and data)
redis.call('DEL', key)
redis.call('HSET', key, unpack(fields))

opts['repeat'] = {
    count = 1, every = every, pattern = pattern ~= '' and pattern or nil, tz = ARGV[11] ~= '' and ARGV[11] or nil,
    limit = tonumber(ARGV[13]), startDate = start, endDate = tonumber(ARGV[15]), offset = offset,
}
opts.prevMillis = pattern ~= '' and due or nil
return { 0, id, store_iteration(scheduler, id, due, name, data, opts) }
