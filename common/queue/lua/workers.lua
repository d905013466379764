-- workers: who has served this queue and neither left in good order nor was recovered: a page of the registry.
--
-- KEYS  as lib/keys.lua
-- ARGV  3 cursor: 0 at first, then that of the last answer  4 names of fields; as many as there are
-- Result  1 cursor of the next page, "0": that was the last; then per process an array: uuid, ms since its last beat by Redis'
--         clock, values of the fields in the order asked for (nil when absent)
-- Bounds  about PAGE entries of the index, at most 3 commands each; ZSCAN may give some more than it is asked for, so twice as
--         many are stated. A process that is there from the first page to the last is answered at least once; twice is possible.
-- Calls   2 + 3 * 2 * page; page = PAGE
-- Elements 4 * page; page = PAGE
-- Repeat  always. Entries of the index whose row is gone are dropped; nothing else is written.

--- include lib/keys.lua
--- include lib/number.lua
--- include lib/registry.lua
local PAGE = 100

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local page = redis.pcall('ZSCAN', k_workers, ARGV[3], 'COUNT', PAGE)
if page.err then
    return { '0' }
end

-- When the row does not say: since it was seen first, for somebody has damaged it then.
local function beat_age(beat_at, first_seen)
    local at = lenient(beat_at)
    return string.format('%.0f', math.max(now - (at > 0 and at or tonumber(first_seen)), 0))
end

local result = { page[1] }
for at = 1, #page[2], 2 do
    local uuid = page[2][at]
    local key = worker_key(uuid)
    local values = redis.pcall('HMGET', key, 'beat_at_ms', unpack(ARGV, 4))
    if values.err or redis.call('EXISTS', key) == 0 then
        redis.call('ZREM', k_workers, uuid)
    else
        local age = beat_age(values[1], page[2][at + 1])
        values[1] = age
        table.insert(values, 1, uuid)
        result[#result + 1] = values
    end
end
return result
