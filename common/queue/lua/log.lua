-- log: appends one row to a job's log (wire format 8.9).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id  4 row  5 rows kept, the newest ("" all)
-- Result  rows now kept, or -1 when the job is gone.
-- Bounds  one job; a row more than are kept is removed, a thousand at most. Repeat: appends the row again.
-- Calls   3
-- Elements 1000

--- include lib/keys.lua

local ROWS_MAX = 1000
local job = P .. ARGV[3]
if redis.call('EXISTS', job) == 0 then
    return -1
end
local rows = redis.call('RPUSH', job .. ':logs', ARGV[4])
local keep = tonumber(ARGV[5])
if keep and rows > keep then
    local gone = math.min(rows - keep, ROWS_MAX)
    redis.call('LTRIM', job .. ':logs', gone, '-1')
    rows = rows - gone
end
return rows
