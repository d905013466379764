-- Jobs that are in no state (orphans.h): what is remembered of them, and whose turn it is to look. Needs lib/keys.lua.

local k_orphans, k_gate = private .. 'orphans', private .. 'orphans-check'
local ORPHAN_SETS = { 'delayed', 'prioritized', 'waiting-children', 'completed', 'failed' }

-- One at a time looks, and then nobody for hold_ms. token "": whoever asks may look. At most 2 commands.
local function keep_gate(token, hold_ms)
    if token == '' then
        return true
    end
    local holder = redis.pcall('GET', k_gate)
    if holder and holder ~= token then
        return false
    end
    redis.call('SET', k_gate, token, 'PX', hold_ms)
    return true
end

-- At most 5 commands.
local function is_in_set(id)
    for _, name in ipairs(ORPHAN_SETS) do
        if redis.pcall('ZSCORE', P .. name, id) then
            return true
        end
    end
    return false
end
