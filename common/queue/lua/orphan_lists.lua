-- orphan_lists: the ids of a list, a page from its tail: what is waiting or active is no orphan (orphans.h). Reads only, but for
-- the gate.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 who looks, "" nobody waits for another  4 "wait", "paused" or "active"  5 how many are passed over  6 most ids  7 how long
--       nobody else looks (ms)
-- Result  1 0 when another one looks or has just looked (then nothing else), else 1  2 how many ids all three lists have; then
--         the ids
-- Bounds  ARGV 6 ids.
-- Calls   6
-- Elements ids; ids = ARGV[6]
-- Repeat  always.

--- include lib/keys.lua
--- include lib/orphans.lua

if not keep_gate(ARGV[3], ARGV[7]) then
    return { 0 }
end
local from, most = tonumber(ARGV[5]), tonumber(ARGV[6])
local total = redis.call('LLEN', k_wait) + redis.call('LLEN', k_paused) + redis.call('LLEN', k_active)
return { 1, total, unpack(redis.call('LRANGE', P .. ARGV[4], -(from + most), -(from + 1))) }
