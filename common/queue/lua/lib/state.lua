-- Where a job is (wire format 8.10). Reads only. Needs lib/keys.lua. At most 14 commands.

-- Ids looked at from each end of a list. In one of more than twice as many, a job that is nowhere else is taken to be in its middle.
local LOOKED_AT = 100000

local function is_in_list(key, id)
    if redis.call('LPOS', key, id, 'MAXLEN', LOOKED_AT) then
        return true
    end
    local length = redis.call('LLEN', key)
    if length <= LOOKED_AT then
        return false
    end
    return redis.call('LPOS', key, id, 'RANK', '-1', 'MAXLEN', LOOKED_AT) and true
        or (length > 2 * LOOKED_AT and 'maybe')
end

-- The word for the state of the job, 'unknown' when it is nowhere.
local function state_of(id)
    local sets = { { k_completed, 'completed' }, { k_failed, 'failed' }, { k_delayed, 'delayed' }, { k_prioritized, 'prioritized' } }
    for _, set in ipairs(sets) do
        if redis.call('ZSCORE', set[1], id) then
            return set[2]
        end
    end
    local maybe
    for _, list in ipairs({ { k_active, 'active' }, { k_wait, 'waiting' }, { k_paused, 'waiting' } }) do
        local found = is_in_list(list[1], id)
        if found == true then
            return list[2]
        end
        maybe = maybe or (found and redis.call('EXISTS', P .. id) == 1 and list[2])
    end
    if redis.call('ZSCORE', k_waiting_children, id) then
        return 'waiting-children'
    end
    return maybe or 'unknown'
end
