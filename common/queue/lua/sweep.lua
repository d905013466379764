-- sweep: removes the jobs of one state: a piece of drain and of clean (wire format 8.2, 8.3). The oldest go first: from the
-- tail of a list, from the lowest score of a set. By id, each one that shall go; pending iterations of job schedulers stay.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 the state: "wait", "paused", "active", "delayed", "prioritized", "completed", "failed"
--       5 only those of until then (ms): finished, started or added; "" all, and nobody is told (drain)
--       6 how many are passed over: those that earlier pieces left  7 most ids looked at  8 most jobs removed
-- Result  1 jobs removed, with parents that went along  2 ids left where they are, by this call  3 1 when there is more; then the
--         ids that were removed
-- Bounds  ARGV 7 ids, of which ARGV 8 go. Taking one out of a list is linear in those that were passed over.
-- Calls   24 + 33 * ids + 16 * parents; ids = ARGV[7], parents = 100
-- Elements passed + ids; passed = ARGV[6], ids = ARGV[7]
-- Linear  LREM active, LREM paused, LREM wait
-- Repeat  always.
-- Failure a queue whose own keys hold something else refuses the call; see lib/remove.lua.

--- include lib/keys.lua
local now, state, until_ms = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local from, look_max, remove_max = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local PARENTS_MAX = 100 -- that go along with their last child
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/number.lua
--- include lib/parent.lua
--- include lib/change.lua
--- include lib/remove.lua

local key_of_state = P .. state
local is_list = state == 'wait' or state == 'paused' or state == 'active'
local is_finished = state == 'completed' or state == 'failed'
-- What tells a job's age, the first that it has (wire format 8.3); of finished ones the score does.
local ages = { wait = { 3, 5 }, paused = { 3, 5 }, active = { 3, 5 }, delayed = { 4, 5 }, prioritized = { 5, 5 } }

local function next_ids()
    if is_list then
        local ids, oldest = redis.call('LRANGE', key_of_state, -(from + look_max), -(from + 1)), {}
        for at = #ids, 1, -1 do
            oldest[#oldest + 1] = ids[at]
        end
        return oldest
    elseif is_finished and until_ms then
        return redis.call('ZRANGEBYSCORE', key_of_state, '-inf', whole(until_ms), 'LIMIT', from, look_max)
    end
    return redis.call('ZRANGE', key_of_state, from, from + look_max - 1)
end

local function is_old(found)
    local span = ages[state]
    if not until_ms or not span then
        return true
    end
    for at = span[1], span[2] do
        if found[at] then
            return (tonumber(found[at]) or 0) <= until_ms
        end
    end
    return true
end

local parents_gone = 0

-- At most 30 commands, without parents that go along.
local function remove_one(id)
    local key = P .. id
    if not is_finished and is_pending_iteration(P, id)
        or state == 'active' and redis.call('EXISTS', key .. ':lock') == 1 then
        return false
    end
    local found = relations_of(key, 'finishedOn', 'processedOn', 'timestamp')
    if not is_old(found) then
        return false
    end
    if is_list then
        redis.call('LREM', key_of_state, '-1', id)
    else
        redis.call('ZREM', key_of_state, id)
    end
    if found[1] then
        parents_gone = parents_gone + leave_parent_hard(found[1], key, PARENTS_MAX - parents_gone)
    end
    release_dedup(own, id, found[2])
    redis.call('UNLINK', parts_of(key))
    return true
end

local problem = states_problem(own)
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
local ids, removed, passed, looked = next_ids(), {}, 0, 0
for _, id in ipairs(ids) do
    if #removed == remove_max or parents_gone == PARENTS_MAX then
        break
    end
    looked = looked + 1
    if remove_one(id) then
        removed[#removed + 1] = id
    else
        passed = passed + 1
    end
end
if until_ms then
    tell_trimmed(own, 'cleaned', 'count', whole(#removed))
end
mark_all()
trim_told()
return { #removed + parents_gone, passed, (#ids == look_max or looked < #ids) and 1 or 0, unpack(removed) }
