-- range: jobs of one state by their rank, with fields of their hashes (wire format 8.11). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 state  4 first rank  5 most jobs  6 order: "asc", "desc"  7 what of each: "ids", "all", "some"  8… the fields of "some"
-- Result  number of jobs in that state, then per job {id, score ("" in lists), 1 when its hash is there else 0, and of "all" field and
--         value of each, of "some" the values in their order (nil when absent)}
-- Calls   2 + 2 * jobs; jobs = ARGV[5]
-- Elements 2 * jobs; jobs = ARGV[5]
-- Bounds  ARGV 5 jobs, a thousand at most. Repeat: always. A key of a job that holds no hash: as without a hash.
--
-- Descending is newest first in lists, highest score first in sets; ascending is the next to run first.

--- include lib/keys.lua

local lists = { waiting = k_wait, paused = k_paused, active = k_active }
local sets = {
    prioritized = k_prioritized, delayed = k_delayed, ['waiting-children'] = k_waiting_children, completed = k_completed,
    failed = k_failed,
}
local start, most = tonumber(ARGV[4]), math.min(tonumber(ARGV[5]), 1000)
local ascending, what = ARGV[6] == 'asc', ARGV[7]
local first, last = string.format('%.0f', start), string.format('%.0f', start + most - 1)

-- id, score, id, score …
local function read_ids()
    local set = sets[ARGV[3]]
    if most <= 0 then
        return {}
    end
    if set then
        return redis.call(ascending and 'ZRANGE' or 'ZREVRANGE', set, first, last, 'WITHSCORES')
    end
    local pairs_of = {}
    if ascending then
        local ids = redis.call('LRANGE', lists[ARGV[3]], string.format('%.0f', -(start + most)), string.format('%.0f', -(start + 1)))
        for at = #ids, 1, -1 do
            pairs_of[#pairs_of + 1] = ids[at]
            pairs_of[#pairs_of + 1] = ''
        end
        return pairs_of
    end
    for _, id in ipairs(redis.call('LRANGE', lists[ARGV[3]], first, last)) do
        pairs_of[#pairs_of + 1] = id
        pairs_of[#pairs_of + 1] = ''
    end
    return pairs_of
end

local function read_row(id, score)
    local row = { id, score, 1 }
    local found = {}
    if what == 'all' then
        found = redis.pcall('HGETALL', P .. id)
        row[3] = (found.err or #found == 0) and 0 or 1
    elseif what == 'some' then
        found = redis.pcall('HMGET', P .. id, unpack(ARGV, 8))
        row[3] = not found.err and redis.call('EXISTS', P .. id) or 0
    end
    for at = 1, found.err and 0 or #found do
        row[3 + at] = found[at]
    end
    return row
end

local result = { lists[ARGV[3]] and redis.call('LLEN', lists[ARGV[3]]) or redis.call('ZCARD', sets[ARGV[3]]) }
local ids = read_ids()
for at = 1, #ids, 2 do
    result[#result + 1] = read_row(ids[at], ids[at + 1])
end
return result
