-- view: one job as it is stored, with its state and lock (wire format 8.10). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id
-- Result  empty when there is no such job; else state, time to live of the lock (ms, -1 without an end, -2 not locked), number
--         of log rows, then field and value of each field
-- Calls   21
-- Elements 100000
-- Bounds  one job; looking for it in `active`, `wait` and `paused` ends after that many ids from each end (lib/state.lua). Repeat: always.

--- include lib/keys.lua
--- include lib/state.lua

local id = ARGV[3]
local job = P .. id
for _, key in ipairs(KEYS) do
    if key == job then
        return {} -- `meta` is a hash, but no job
    end
end
if redis.call('TYPE', job).ok ~= 'hash' then
    return {}
end
local result = { state_of(id), redis.call('PTTL', job .. ':lock'), redis.call('LLEN', job .. ':logs') }
for _, text in ipairs(redis.call('HGETALL', job)) do
    result[#result + 1] = text
end
return result
