-- log: appends one row to a job's log (wire format 8.9).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id  4 row  5 rows kept, the newest ("" all)
-- Result  rows now kept, or -1 when the job is gone.
-- Bounds  three commands. Repeat: appends the row again.
-- Calls   3
-- Elements 1

--- include lib/keys.lua

local job = P .. ARGV[3]
if redis.call('EXISTS', job) == 0 then
    return -1
end
local rows = redis.call('RPUSH', job .. ':logs', ARGV[4])
local keep = tonumber(ARGV[5])
if keep and rows > keep then
    redis.call('LTRIM', job .. ':logs', rows - keep, '-1')
    rows = keep
end
return rows
