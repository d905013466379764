-- data: replaces the data of a job (wire format 8.9). No event, as in stock clients.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id  4 data (JSON)
-- Result  0, or -1 when the job is gone
-- Bounds  one job. Repeat: safe.
-- Calls   2
-- Elements 1

--- include lib/keys.lua

if redis.call('EXISTS', P .. ARGV[3]) == 0 then
    return -1
end
redis.call('HSET', P .. ARGV[3], 'data', ARGV[4])
return 0
