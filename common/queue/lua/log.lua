-- log: appends one row to a job's log (wire format 8.9).
--
-- KEYS  1 the job  2 its logs
-- ARGV  1 row  2 rows kept, the newest ("" all)
-- Result  rows now kept, or -1 when the job is gone.
-- Bounds  three commands. Repeat: appends the row again.

if redis.call('EXISTS', KEYS[1]) == 0 then
    return -1
end
local rows = redis.call('RPUSH', KEYS[2], ARGV[1])
local keep = tonumber(ARGV[2])
if keep and rows > keep then
    redis.call('LTRIM', KEYS[2], rows - keep, '-1')
    rows = keep
end
return rows
