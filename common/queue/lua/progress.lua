-- progress: stores a job's progress and tells those who listen (wire format 8.9).
--
-- KEYS  1 the job  2 events  3 meta
-- ARGV  1 id  2 progress (JSON)
-- Result  0, or -1 when the job is gone.
-- Bounds  four commands. Repeat: safe, listeners hear it twice.

if redis.call('EXISTS', KEYS[1]) == 0 then
    return -1
end
local events_max = tonumber(redis.call('HGET', KEYS[3], 'opts.maxLenEvents') or nil)
if not events_max or events_max < 0 then
    events_max = 10000
end
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'stream' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. KEYS[2] .. ' holds a ' .. kind .. ', not a stream')
end
redis.call('HSET', KEYS[1], 'progress', ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', string.format('%.0f', events_max), '*',
    'event', 'progress', 'jobId', ARGV[1], 'data', ARGV[2])
return 0
