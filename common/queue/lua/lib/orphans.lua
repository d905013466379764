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

-- At most 5 commands. A key that holds something else: nobody knows what was in it, so all may be.
local function is_in_set(id)
    for _, name in ipairs(ORPHAN_SETS) do
        if redis.pcall('ZSCORE', P .. name, id) then
            return true
        end
    end
    return false
end

-- Those of ids that are in no set: 5 commands (Redis 6.2 and newer), else 5 for each.
local function in_no_set(ids)
    local found = {}
    for _, name in ipairs(ORPHAN_SETS) do
        local scores = #ids > 0 and redis.pcall('ZMSCORE', P .. name, unpack(ids)) or {}
        for at, id in ipairs(ids) do
            found[id] = found[id] or (scores.err and is_in_set(id) or scores[at])
        end
    end
    local left = {}
    for _, id in ipairs(ids) do
        if not found[id] then
            left[#left + 1] = id
        end
    end
    return left
end
