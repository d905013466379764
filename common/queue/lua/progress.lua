-- progress: stores a job's progress and tells those who listen (wire format 8.9).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id  4 progress (JSON)
-- Result  0, or -1 when the job is gone.
-- Bounds  four commands. Repeat: safe, listeners hear it twice.
-- Calls   5
-- Elements 1

--- include lib/keys.lua
--- include lib/kinds.lua

local id, progress = ARGV[3], ARGV[4]
if redis.call('EXISTS', P .. id) == 0 then
    return -1
end
local events_max = tonumber(redis.call('HGET', k_meta, 'opts.maxLenEvents') or nil)
if not events_max or events_max < 0 then
    events_max = 10000
end
local wrong = wrong_kind({ k_events, 'stream' })
if wrong then
    return wrong
end
redis.call('HSET', P .. id, 'progress', progress)
redis.call('XADD', k_events, 'MAXLEN', '~', string.format('%.0f', events_max), '*',
    'event', 'progress', 'jobId', id, 'data', progress)
return 0
