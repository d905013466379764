-- view: one job as it is stored, with its state and lock (wire format 8.10). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id
-- Result  empty when there is no such job; else state, time to live of the lock (ms, -1 without an end, -2 not locked), number
--         of log rows, then field and value of each field
-- Bounds  one job; looking for it in `active`, `wait` and `paused` is linear in their length. Repeat: always.

--- include lib/keys.lua

local id = ARGV[3]
local job = P .. id
if redis.call('TYPE', job).ok ~= 'hash' then
    return {}
end
local fields = redis.call('HGETALL', job)

local sets = {
    { k_completed, 'completed' }, { k_failed, 'failed' }, { k_delayed, 'delayed' },
    { k_prioritized, 'prioritized' },
}
local lists = { { k_active, 'active' }, { k_wait, 'waiting' }, { k_paused, 'waiting' } }
local state
for _, set in ipairs(sets) do
    if not state and redis.call('ZSCORE', set[1], id) then
        state = set[2]
    end
end
for _, list in ipairs(lists) do
    if not state and redis.call('LPOS', list[1], id) then
        state = list[2]
    end
end
if not state and redis.call('ZSCORE', k_waiting_children, id) then
    state = 'waiting-children'
end

local result = { state or 'unknown', redis.call('PTTL', job .. ':lock'),
    redis.call('LLEN', job .. ':logs') }
for index = 1, #fields do
    result[#result + 1] = fields[index]
end
return result
