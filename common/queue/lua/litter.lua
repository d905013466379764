-- litter: what no job of a queue that is being obliterated leads to: deduplication keys whose owner is gone, and damaged
-- data that drover had set aside. A piece of a walk through all keys of the server.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 cursor, 0 at first  4 about how many keys are looked at
-- Result  the next cursor, "0": that was the last piece; then how many keys were removed
-- Bounds  one SCAN, and two commands for each key of those kinds.
-- Calls   1 + 3 * keys; keys = ARGV[4]
-- Elements 4 * keys; keys = ARGV[4]
-- Repeat  always.

--- include lib/keys.lua

local page = redis.call('SCAN', ARGV[3], 'COUNT', ARGV[4])
local quarantine, removed = private .. 'quarantine:', 0

local function is_litter(key)
    if string.sub(key, 1, #quarantine) == quarantine then
        return true
    elseif string.sub(key, 1, #P) ~= P then
        return false
    end
    local kind = string.sub(key, #P + 1, #P + 3)
    if kind == 'de:' then
        local owner = redis.pcall('GET', key)
        return type(owner) == 'string' and redis.call('EXISTS', P .. owner) == 0
    elseif kind == 'dn:' then -- goes with its owner
        return redis.call('EXISTS', P .. 'de:' .. string.sub(key, #P + 4)) == 0
    end
    return false
end

for _, key in ipairs(page[2]) do
    if is_litter(key) then
        removed = removed + redis.call('UNLINK', key)
    end
end
return { page[1], removed }
