-- clear_logs: removes the oldest rows of a job's log (wire format 8.9). Called again while more rows are kept than wanted.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id  4 rows to keep, the newest  5 most rows removed by this call (all at once when none is kept)
-- Result  rows now kept, or -1 when the job is gone
-- Bounds  ARGV 5 rows.
-- Calls   4
-- Elements rows; rows = ARGV[5]
-- Repeat  always.

--- include lib/keys.lua

local job, logs = P .. ARGV[3], P .. ARGV[3] .. ':logs'
local keep, most = tonumber(ARGV[4]), tonumber(ARGV[5])
if redis.call('EXISTS', job) == 0 then
    return -1
elseif keep == 0 then
    redis.call('UNLINK', logs)
    return 0
end
local rows = redis.call('LLEN', logs)
if rows <= keep then
    return rows
end
local gone = math.min(rows - keep, most)
redis.call('LTRIM', logs, gone, '-1')
return rows - gone
