-- schedulers: reads job schedulers, one by its id or a range by their next times (wire format 9.5).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id, "" a range  4 rank of the first, from 0  5 how many, at most 200  6 1: the next one first, 0: the latest first
-- Result  number of all schedulers; then per scheduler its id, its next time (ms) and its hash as field, value, field …;
--         that is "" when it is no hash
-- Bounds  200 schedulers.
-- Calls   2 + schedulers; schedulers = ARGV[5]
-- Elements 400
-- Repeat  reads only.

--- include lib/keys.lua
local k_repeat = P .. 'repeat'

local result = { redis.call('ZCARD', k_repeat) }
local function add(scheduler, due)
    result[#result + 1] = scheduler
    result[#result + 1] = string.format('%.0f', tonumber(due))
    local fields = redis.pcall('HGETALL', k_repeat .. ':' .. scheduler)
    result[#result + 1] = fields.err and '' or fields
end

if ARGV[3] ~= '' then
    local due = redis.call('ZSCORE', k_repeat, ARGV[3])
    if due then
        add(ARGV[3], due)
    end
    return result
end
local first = tonumber(ARGV[4])
local last = first + tonumber(ARGV[5]) - 1
local list = redis.call(ARGV[6] == '1' and 'ZRANGE' or 'ZREVRANGE', k_repeat, string.format('%.0f', first),
    string.format('%.0f', last), 'WITHSCORES')
for at = 1, #list, 2 do
    add(list[at], list[at + 1])
end
return result
