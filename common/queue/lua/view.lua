-- view: one job as it is stored, with its state and lock (wire format 8.10). Reads only.
--
-- KEYS  1 the job  2 its lock  3 its logs  4 completed  5 failed  6 delayed  7 prioritized  8 active  9 wait
--       10 paused  11 waiting-children
-- ARGV  1 id
-- Result  empty when there is no such job; else state, time to live of the lock (ms, -1 without an end, -2 not locked), number
--         of log rows, then field and value of each field
-- Bounds  one job; looking for it in `active`, `wait` and `paused` is linear in their length. Repeat: always.

local id = ARGV[1]
local fields = redis.call('HGETALL', KEYS[1])
if #fields == 0 then
    return {}
end

local sets = { { 4, 'completed' }, { 5, 'failed' }, { 6, 'delayed' }, { 7, 'prioritized' } }
local lists = { { 8, 'active' }, { 9, 'waiting' }, { 10, 'waiting' } }
local state
for _, set in ipairs(sets) do
    if not state and redis.call('ZSCORE', KEYS[set[1]], id) then
        state = set[2]
    end
end
for _, list in ipairs(lists) do
    if not state and redis.call('LPOS', KEYS[list[1]], id) then
        state = list[2]
    end
end
if not state and redis.call('ZSCORE', KEYS[11], id) then
    state = 'waiting-children'
end

local result = { state or 'unknown', redis.call('PTTL', KEYS[2]), redis.call('LLEN', KEYS[3]) }
for index = 1, #fields do
    result[#result + 1] = fields[index]
end
return result
