-- add: stores new jobs, in order, and puts each where it belongs (wire format 3.1 to 3.4, 3.6, 15.1).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 number of jobs, 1 to 500
--       then 8 per job: place ("w" wait, "l" wait, runs next, "d" delayed, "p" prioritized),
--       id ("" automatic), name, data (JSON), opts (JSON), timestamp (ms), delay (ms), priority
-- Result  flat array, 2 per job: 0 and its id; 1 and its id when that id existed (nothing changed);
--         -1 and the reason when it could not be stored (its key holds something else)
-- Bounds  500 jobs, a few commands each: about 2 ms.
-- Calls   9 + 8 * jobs; jobs = ARGV[3]
-- Elements 1000
-- Repeat  a job with an id of its own may be added again (it comes back as 1); one without is a new job each time.
-- Failure the whole call is refused before its first write, also by a full server: no write that frees comes
--         first. What may be left of a refused call is a gap in the counters.

--- include lib/keys.lua
--- include lib/kinds.lua

local FIELDS = 8
local SLOTS = 4096          -- scores of one millisecond in `delayed`
local PRIORITY = 4294967296 -- scores of one priority in `prioritized`

local count = tonumber(ARGV[3])

-- A number as Redis shall read it: whole and without exponent.
local function whole(number)
    return string.format('%.0f', number)
end

-- 1. Look before the first write: nothing later can then fail for more than one job.
local settings = redis.call('HMGET', k_meta, 'paused', 'concurrency', 'opts.maxLenEvents')
local paused = settings[1]
local concurrency = tonumber(settings[2] or nil)
local maxed = concurrency and redis.call('LLEN', k_active) >= concurrency
local events_max = tonumber(settings[3] or nil)
if not events_max or events_max < 0 then
    events_max = 10000
end
local target = paused and k_paused or k_wait

local wrong = wrong_kind({
    target, 'list', k_delayed, 'zset', k_prioritized, 'zset', k_marker, 'zset',
    k_events, 'stream', k_pc, 'string',
})
if wrong then
    return wrong
end
local counter = redis.call('GET', k_pc)
if counter and not string.find(counter, '^%-?%d+$') then
    return redis.error_reply('ERR ' .. k_pc .. ' is not a whole number')
end

-- 2. Store. Every job uses up one number, also one with its own id and a duplicate.
local last_id = redis.call('INCRBY', k_id, count)
if not settings[3] then
    redis.call('HSETNX', k_meta, 'opts.maxLenEvents', '10000')
end

local to_head, to_tail, to_delayed, to_prioritized = {}, {}, {}, {}
local highest = {} -- per due ms: the last score given out in it

local function delayed_score(due)
    local first = due * SLOTS
    local score = highest[due]
    if not score then
        local top = redis.call('ZREVRANGEBYSCORE', k_delayed, whole(first + SLOTS - 1), whole(first),
            'WITHSCORES', 'LIMIT', '0', '1')
        score = top[2] and tonumber(top[2]) or first - 1
    end
    score = math.min(score + 1, first + SLOTS - 1)
    highest[due] = score
    return whole(score)
end

local function place_job(place, id, timestamp, delay, priority)
    if place == 'd' then
        local due = timestamp + delay
        to_delayed[#to_delayed + 1] = delayed_score(due)
        to_delayed[#to_delayed + 1] = id
        redis.call('XADD', k_events, '*', 'event', 'delayed', 'jobId', id, 'delay', whole(due))
        return
    end
    if place == 'p' then
        local number = redis.call('INCR', k_pc) % PRIORITY
        to_prioritized[#to_prioritized + 1] = whole(priority * PRIORITY + number)
        to_prioritized[#to_prioritized + 1] = id
    elseif place == 'l' then
        to_tail[#to_tail + 1] = id
    else
        to_head[#to_head + 1] = id
    end
    redis.call('XADD', k_events, '*', 'event', 'waiting', 'jobId', id)
end

local result = {}
for index = 0, count - 1 do
    local at = 4 + index * FIELDS
    local place, id, name = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local own_id = id ~= ''
    if not own_id then
        id = whole(last_id - count + 1 + index)
    end
    local code, text = 0, id
    if own_id and redis.call('EXISTS', P .. id) == 1 then
        code = 1
        redis.call('XADD', k_events, '*', 'event', 'duplicated', 'jobId', id)
    else
        local stored = redis.pcall('HSET', P .. id, 'name', name, 'data', ARGV[at + 3], 'opts', ARGV[at + 4],
            'timestamp', ARGV[at + 5], 'delay', ARGV[at + 6], 'priority', ARGV[at + 7])
        if type(stored) == 'table' and stored.err then
            code, text = -1, P .. id .. ': ' .. stored.err
        else
            redis.call('XADD', k_events, '*', 'event', 'added', 'jobId', id, 'name', name)
            place_job(place, id, tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7]))
        end
    end
    result[#result + 1] = code
    result[#result + 1] = text
end

-- 3. Place all at once. The two ends of a list do not disturb each other's order.
if #to_head > 0 then
    redis.call('LPUSH', target, unpack(to_head))
end
if #to_tail > 0 then
    redis.call('RPUSH', target, unpack(to_tail))
end
if #to_prioritized > 0 then
    redis.call('ZADD', k_prioritized, unpack(to_prioritized))
end
if #to_head + #to_tail + #to_prioritized > 0 and not paused and not maxed then
    redis.call('ZADD', k_marker, '0', '0')
end
if #to_delayed > 0 then
    redis.call('ZADD', k_delayed, unpack(to_delayed))
    local head = redis.call('ZRANGE', k_delayed, '0', '0', 'WITHSCORES')
    redis.call('ZADD', k_marker, string.format('%.17g', tonumber(head[2]) / SLOTS), '1')
end
redis.call('XTRIM', k_events, 'MAXLEN', '~', whole(events_max))
return result
