-- undedup: the next job with a deduplication id is added, whoever owns it now (wire format 3.7).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 deduplication id, or ""  4 id of a job: only if it owns its deduplication id, or ""
-- Result  1 when it was owned, else 0
-- Bounds  one key.
-- Calls   3
-- Elements 1
-- Repeat  always.
-- Failure a key that holds something else belongs to nobody, and goes by its name alone.

--- include lib/keys.lua

local deduplication, id = ARGV[3], ARGV[4]
if id == '' then
    return redis.call('DEL', P .. 'de:' .. deduplication)
end
deduplication = redis.pcall('HGET', P .. id, 'deid')
if type(deduplication) == 'string' and redis.pcall('GET', P .. 'de:' .. deduplication) == id then
    return redis.call('DEL', P .. 'de:' .. deduplication)
end
return 0
