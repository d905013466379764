-- counts: how many jobs are in each state, and since when the next one waits (wire format 8.10). Reads only.
--
-- KEYS  1 wait  2 paused  3 active  4 prioritized  5 delayed  6 waiting-children  7 completed  8 failed  9 meta
-- ARGV  1 key prefix of the queue, with the last colon
-- Result  the eight counts in the order of KEYS, 1 when paused else 0, timestamp (ms, text) of the job that is next to
--         run ("" when none is, or its hash is gone)
-- Bounds  a dozen commands. Repeat: always.

local wait, paused, prioritized = KEYS[1], KEYS[2], KEYS[4]
local next_id = redis.call('LINDEX', wait, '-1') or redis.call('LINDEX', paused, '-1')
    or redis.call('ZRANGE', prioritized, '0', '0')[1]
local timestamp = next_id and redis.call('HGET', ARGV[1] .. next_id, 'timestamp')

return {
    redis.call('LLEN', wait), redis.call('LLEN', paused), redis.call('LLEN', KEYS[3]),
    redis.call('ZCARD', prioritized), redis.call('ZCARD', KEYS[5]), redis.call('ZCARD', KEYS[6]),
    redis.call('ZCARD', KEYS[7]), redis.call('ZCARD', KEYS[8]),
    redis.call('HEXISTS', KEYS[9], 'paused'), timestamp or '',
}
