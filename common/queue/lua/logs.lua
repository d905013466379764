-- logs: rows of a job's log (wire format 8.9). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id  4 first row, from 0  5 most rows  6 "asc": counted from the oldest, "desc": from the newest
-- Result  number of rows that there are, then rows in that order
-- Calls   2
-- Elements rows; rows = ARGV[5]
-- Bounds  ARGV 5 rows. Repeat: always.

--- include lib/keys.lua

local logs = P .. ARGV[3] .. ':logs'
local start, most = tonumber(ARGV[4]), tonumber(ARGV[5])
local result = { redis.call('LLEN', logs) }
if ARGV[6] == 'asc' then
    for _, row in ipairs(redis.call('LRANGE', logs, string.format('%.0f', start), string.format('%.0f', start + most - 1))) do
        result[#result + 1] = row
    end
    return result
end
local rows = redis.call('LRANGE', logs, string.format('%.0f', -(start + most)), string.format('%.0f', -(start + 1)))
for at = #rows, 1, -1 do
    result[#result + 1] = rows[at]
end
return result
