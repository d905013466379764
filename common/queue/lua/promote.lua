-- promote: delayed jobs wait from now on, by their priority (wire format 8.6).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 how many ids are named; 0: a page of those that are due first
--       5 of a page: how many are passed over  6 of a page: most jobs, else 0; then the ids
-- Result  1 when the page was full, else 0; then per job its id and code (lib/change.lua)
-- Bounds  ARGV 4 or ARGV 6 jobs.
-- Calls   26 + 10 * named + 10 * page; named = ARGV[4], page = ARGV[6]
-- Elements 1000
-- Repeat  safe: a job that was promoted before is not delayed any more.
-- Failure a job whose data is damaged stays as it is.

--- include lib/keys.lua
local now, named, from, page = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local FIRST_ID = 7
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/number.lua
--- include lib/parent.lua
--- include lib/change.lua
--- include lib/requeue.lua

local problem = queue_problem(own) or kinds_problem({ k_events, 'stream' })
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
local ids = { unpack(ARGV, FIRST_ID) }
if named == 0 then
    ids = redis.call('ZRANGE', k_delayed, from, from + page - 1)
end
local codes = requeue_all(ids, function(id)
    return requeue(k_delayed, id, 'delayed', {}, function(key)
        redis.call('HSET', key, 'delay', '0')
        return false
    end)
end)
local result = { #ids == page and 1 or 0 }
for at, id in ipairs(ids) do
    result[#result + 1] = id
    result[#result + 1] = codes[at]
end
return result
