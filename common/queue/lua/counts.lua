-- counts: how many jobs are in each state, and since when the next one waits (wire format 8.10). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua; no others
-- Result  wait, paused, active, prioritized, delayed, waiting-children, completed, failed; 1 when paused else 0, timestamp (ms, text) of the job that is next to
--         run ("" when none is, or its hash is gone)
-- Bounds  a dozen commands. Repeat: always.
-- Calls   14
-- Elements 1

--- include lib/keys.lua
--- include lib/waiting.lua

local wait, paused, prioritized, timestamp = look_at_waiting()

return {
    wait, paused, redis.call('LLEN', k_active), prioritized, redis.call('ZCARD', k_delayed),
    redis.call('ZCARD', k_waiting_children), redis.call('ZCARD', k_completed),
    redis.call('ZCARD', k_failed), redis.call('HEXISTS', k_meta, 'paused'), timestamp,
}
