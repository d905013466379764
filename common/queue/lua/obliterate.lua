-- obliterate: removes a paused queue whole, in pieces (wire format 8.4). Besides what stock clients remove: jobs that wait for
-- children, locks of every job, the rate limiter, and drover's own notes of what was damaged or lost.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 1: also when jobs are running  5 most jobs and schedulers removed
--       6 1: when no job is left, the queue's own keys go
-- Result  1 jobs removed, with parents that went along  2 what comes: 1 there is more, 0 no job is left (and with ARGV 6 the
--         queue is gone), -1 it is not paused, -2 jobs are running; then the ids that were removed
-- Bounds  ARGV 5 jobs.
-- Calls   58 + 30 * jobs + 16 * parents; jobs = ARGV[5], parents = 100
-- Elements jobs; jobs = ARGV[5]
-- Repeat  always.
-- Failure as sweep.lua; a key of the queue that holds something else than jobs goes in the end.

--- include lib/keys.lua
local now, force, room, last = tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5]), ARGV[6] == '1'
local PARENTS_MAX = 100 -- that go along with their last child
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/number.lua
--- include lib/parent.lua
--- include lib/change.lua
--- include lib/remove.lua

local removed, parents_gone = {}, 0

-- Its place is gone already. At most 27 commands.
local function remove_one(id)
    local key = P .. id
    local found = relations_of(key)
    if found[1] then
        parents_gone = parents_gone + leave_parent_hard(found[1], key, PARENTS_MAX - parents_gone)
    end
    release_dedup(own, id, found[2])
    redis.call('UNLINK', key .. ':lock', parts_of(key))
    removed[#removed + 1] = id
end

-- True: all of this state is gone, and there is room for more.
local function remove_state(name)
    local key = P .. name
    local kind = redis.call('TYPE', key).ok
    local ids = {}
    if kind == 'list' then
        ids = redis.call('LRANGE', key, '0', room - 1)
        redis.call('LTRIM', key, #ids, '-1')
    elseif kind == 'zset' then
        ids = redis.call('ZRANGE', key, '0', room - 1)
        redis.call('ZREMRANGEBYRANK', key, '0', #ids - 1)
    elseif kind ~= 'none' then
        redis.call('UNLINK', key)
    end
    for _, id in ipairs(ids) do
        remove_one(id)
    end
    room = room - #ids
    return room > 0 and parents_gone < PARENTS_MAX
end

local function remove_schedulers()
    local ids = redis.pcall('ZRANGE', P .. 'repeat', '0', room - 1)
    if #ids > 0 then
        redis.call('ZREMRANGEBYRANK', P .. 'repeat', '0', #ids - 1)
    end
    for _, id in ipairs(ids) do
        redis.call('UNLINK', P .. 'repeat:' .. id)
    end
    room = room - #ids
    return room > 0
end

local function remove_jobs()
    for _, name in ipairs({ 'active', 'delayed' }) do
        if not remove_state(name) then
            return false
        end
    end
    if not remove_schedulers() then
        return false
    end
    for _, name in ipairs({ 'completed', 'wait', 'paused', 'prioritized', 'failed', 'waiting-children' }) do
        if not remove_state(name) then
            return false
        end
    end
    return true
end

local function answer(next_step)
    return { #removed + parents_gone, next_step, unpack(removed) }
end

if redis.pcall('HEXISTS', k_meta, 'paused') ~= 1 then
    return answer(-1)
elseif not force and redis.call('EXISTS', k_active) == 1 then
    return answer(-2)
end
local complete = remove_jobs()
mark_all()
if complete and last then
    redis.call('UNLINK', k_events, k_stalled_check, k_stalled, k_id, k_pc, k_marker, k_meta, k_limiter,
        P .. 'repeat', P .. 'delay', P .. 'priority', P .. 'metrics:completed', P .. 'metrics:completed:data',
        P .. 'metrics:failed', P .. 'metrics:failed:data', private .. 'orphans')
end
return answer(complete and 0 or 1)
