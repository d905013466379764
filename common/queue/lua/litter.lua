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

local function is_owned(deduplication)
    local owner = redis.pcall('GET', P .. 'de:' .. deduplication)
    return owner and (type(owner) ~= 'string' or redis.call('EXISTS', P .. owner) == 1)
end

local function is_litter(key)
    if string.sub(key, 1, #quarantine) == quarantine then
        return true
    elseif string.sub(key, 1, #P) ~= P then
        return false
    end
    local kind, deduplication = string.match(string.sub(key, #P + 1), '^(d[en]:)(.*)$')
    return kind ~= nil and not is_owned(deduplication)
end

for _, key in ipairs(page[2]) do
    if is_litter(key) then
        removed = removed + redis.call('UNLINK', key)
    end
end
return { page[1], removed }
