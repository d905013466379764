-- apply_concurrency: makes a configured number the most jobs that may be active at once in the queue, whoever runs them
-- (wire format 4.4), and takes it back when it is configured no more.
--
-- KEYS  as lib/keys.lua
-- ARGV   3 the number, > 0; 0: none is configured
-- Result 1 when the queue's setting changed, else 0
-- Calls   7
-- Elements 1
-- Repeat  always.
-- Failure meta is looked at before the first write. What was set is noted in drover:{tag}:concurrency, so that only that is
--         taken back: a number that somebody else has put there, before or since, is theirs.

--- include lib/keys.lua
local wanted = ARGV[3]
local noted_key = private .. 'concurrency'

local current = redis.call('HGET', k_meta, 'concurrency')
if wanted == '0' then
    local noted = redis.pcall('GET', noted_key)
    if not noted then
        return 0
    end
    redis.call('DEL', noted_key)
    if current ~= noted then
        return 0
    end
    redis.call('HDEL', k_meta, 'concurrency')
else
    redis.call('SET', noted_key, wanted)
    if current == wanted then
        return 0
    end
    redis.call('HSET', k_meta, 'concurrency', wanted)
end
-- There may be room now, and nobody is told of it otherwise (3.10).
if redis.call('HEXISTS', k_meta, 'paused') == 0 and redis.call('EXISTS', k_wait, k_prioritized) > 0 then
    redis.pcall('ZADD', k_marker, '0', '0')
end
return 1
