-- retry: finished jobs wait again (wire format 8.7, 5.6). As BullMQ 6: by their priority, and each is again one that its
-- parent waits for, though a parent that went on stays where it is.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 "failed" or "completed"  5 1: attempts made begin anew, and so do the deaths of its processes
--       6 1: attempts started begin anew
--       7 how many ids are named; 0: a page of those that finished first
--       8 of a page: how many are passed over  9 of a page: most jobs, else 0
--       10 of a page: only those that finished until then (ms); then the ids
-- Result  1 when the page was full, else 0; then per job its id and code (lib/change.lua)
-- Bounds  ARGV 7 or ARGV 9 jobs.
-- Calls   27 + 36 * named + 36 * page; named = ARGV[7], page = ARGV[9]
-- Elements 1000
-- Repeat  safe: a job that was retried before is not in that state any more.
-- Failure a job whose data is damaged, or that of its parent, stays as it is.

--- include lib/keys.lua
local now, state, named, from, page = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[7]), tonumber(ARGV[8]),
    tonumber(ARGV[9])
local FIRST_ID = 11
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/number.lua
--- include lib/parent.lua
--- include lib/change.lua
--- include lib/requeue.lua

local set = state == 'failed' and k_failed or k_completed
local drop = { 'finishedOn', 'processedOn', state == 'failed' and 'failedReason' or 'returnvalue' }
if ARGV[5] == '1' then
    drop[4], drop[5], drop[6] = 'atm', 'gbc', 'gbh'
end
if ARGV[6] == '1' then
    drop[#drop + 1] = 'ats'
end

-- The child is pending again. Returns what is wrong, before anything was written.
local function return_to_parent(key, parent_key)
    local parent, problem = parent_of(parent_key)
    problem = problem or parent and parent_problem(parent)
    if problem or not parent or redis.call('EXISTS', parent.key) == 0 then
        return problem
    end
    local was = state == 'failed'
            and (redis.call('ZREM', parent.key .. ':unsuccessful', key) == 1
                or redis.call('HDEL', parent.key .. ':failed', key) == 1)
        or state == 'completed' and redis.call('HDEL', parent.key .. ':processed', key) == 1
    if was then
        redis.call('SADD', parent.key .. ':dependencies', key)
    end
end

-- Among many the order of finishing decides, as in stock clients; one that is named goes where its options want it.
local function runs_next(text)
    if named == 0 or not text or not string.find(text, '"lifo"', 1, true) then
        return false
    end
    local ok, opts = pcall(cjson.decode, text)
    return ok and type(opts) == 'table' and opts.lifo == true
end

local problem = queue_problem(own) or kinds_problem({ k_events, 'stream', set, 'zset' })
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
local ids = { unpack(ARGV, FIRST_ID) }
if named == 0 then
    ids = redis.call('ZRANGEBYSCORE', set, '-inf', ARGV[10], 'LIMIT', from, page)
end
local codes = requeue_all(ids, function(id)
    return requeue(set, id, state, { 'parentKey', 'opts' }, function(key, found)
        local parent_damage = found[2] and return_to_parent(key, found[2])
        if parent_damage then
            return false, parent_damage
        end
        redis.call('HDEL', key, unpack(drop))
        -- A priority leaves no room for it (wire format 3.4).
        return (found[1] or '0') == '0' and runs_next(found[3])
    end)
end)
local result = { #ids == page and 1 or 0 }
for at, id in ipairs(ids) do
    result[#result + 1] = id
    result[#result + 1] = codes[at]
end
return result
