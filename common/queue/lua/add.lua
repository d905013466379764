-- add: stores new jobs, in order, and puts each where it belongs (wire format 3.1 to 3.4, 3.6, 15.1).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 number of jobs, 1 to 500
--       then 8 per job: place ("w" wait, "l" wait, runs next, "d" delayed, "p" prioritized),
--       id ("" automatic), name, data (JSON), opts (JSON), timestamp (ms), delay (ms), priority
-- Result  flat array, 2 per job: 0 and its id; 1 and its id when that id existed (nothing changed);
--         -1 and the reason when it could not be stored (its key holds something else)
-- Calls   18 + 5 * jobs; jobs = ARGV[3]
-- Elements 1000
-- Bounds  500 jobs, usually three commands each: about 2 ms. A single plain job takes nine in all.
-- Repeat  a job with an id of its own may be added again (it comes back as 1); one without is a new job each time.
-- Failure the whole call is refused before its first write, also by a full server: no write that frees comes
--         first. What may be left of a refused call is a gap in the counters.

--- include lib/keys.lua

local FIELDS = 8
local SLOTS = 4096          -- scores of one millisecond in `delayed`
local PRIORITY = 4294967296 -- scores of one priority in `prioritized`
local EVENTS_SLACK = 100    -- as much as a stream goes over its length anyway, for XTRIM ~ takes whole nodes

local count = tonumber(ARGV[3])
local places = {} -- which are used
for at = 4, 3 + count * FIELDS, FIELDS do
    places[ARGV[at]] = true
end

-- 1. Look before the first write, at what this call will use: nothing later can then fail for more than one job.
local broken
local function look(command, key, ...)
    local result = redis.pcall(command, key, ...)
    if type(result) == 'table' and result.err then
        broken = broken or key
    end
    return result
end

local settings = redis.call('HMGET', k_meta, 'paused', 'concurrency', 'opts.maxLenEvents')
local paused = settings[1]
local concurrency = tonumber(settings[2] or nil)
local maxed = concurrency and redis.call('LLEN', k_active) >= concurrency
local events_max = tonumber(settings[3] or nil)
if not events_max or events_max < 0 then
    events_max = 10000
end
local target = paused and k_paused or k_wait

local events, marked = look('XLEN', k_events), look('ZSCORE', k_marker, '0')
if places.w or places.l then
    look('LLEN', target)
end
if places.d then
    look('ZCARD', k_delayed)
end
if places.p then
    look('ZCARD', k_prioritized)
    local counter = look('GET', k_pc)
    if type(counter) == 'string' and not string.find(counter, '^%-?%d+$') then
        return redis.error_reply('ERR ' .. k_pc .. ' is not a whole number')
    end
end
if broken then
    return redis.error_reply('WRONGTYPE ' .. broken .. ' is not of the kind that a queue needs')
end

-- 2. Store. Every job uses up one number, also one with its own id and a duplicate.
local last_id = redis.call('INCRBY', k_id, count)
if not settings[3] then
    redis.call('HSETNX', k_meta, 'opts.maxLenEvents', '10000')
end

local to_head, to_tail, to_delayed, to_prioritized = {}, {}, {}, {}

-- A function is made only where it has a use: the making costs as much as half a small command.
local place_elsewhere
if places.d or places.p or places.l then
    local highest = {} -- per due ms: the last score given out in it

    -- A number as Redis shall read it: whole and without exponent.
    local function whole(number)
        return string.format('%.0f', number)
    end

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

    -- Any place but "w".
    function place_elsewhere(place, id, at)
        if place == 'd' then
            local due = tonumber(ARGV[at + 5]) + tonumber(ARGV[at + 6])
            to_delayed[#to_delayed + 1] = delayed_score(due)
            to_delayed[#to_delayed + 1] = id
            redis.call('XADD', k_events, '*', 'event', 'delayed', 'jobId', id, 'delay', whole(due))
            return
        end
        if place == 'p' then
            local number = redis.call('INCR', k_pc) % PRIORITY
            to_prioritized[#to_prioritized + 1] = whole(tonumber(ARGV[at + 7]) * PRIORITY + number)
            to_prioritized[#to_prioritized + 1] = id
        else
            to_tail[#to_tail + 1] = id
        end
        redis.call('XADD', k_events, '*', 'event', 'waiting', 'jobId', id)
    end
end

local result = {}
for index = 0, count - 1 do
    local at = 4 + index * FIELDS
    local place, id, name = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local own_id = id ~= ''
    if not own_id then
        id = string.format('%.0f', last_id - count + 1 + index)
    end
    local key, code, text = P .. id, 0, id
    if own_id and redis.call('EXISTS', key) == 1 then
        code = 1
        redis.call('XADD', k_events, '*', 'event', 'duplicated', 'jobId', id)
    else
        local stored = redis.pcall('HSET', key, 'name', name, 'data', ARGV[at + 3], 'opts', ARGV[at + 4],
            'timestamp', ARGV[at + 5], 'delay', ARGV[at + 6], 'priority', ARGV[at + 7])
        if type(stored) == 'table' and stored.err then
            code, text = -1, key .. ': ' .. stored.err
        else
            redis.call('XADD', k_events, '*', 'event', 'added', 'jobId', id, 'name', name)
            if place == 'w' then
                to_head[#to_head + 1] = id
                redis.call('XADD', k_events, '*', 'event', 'waiting', 'jobId', id)
            else
                place_elsewhere(place, id, at)
            end
        end
    end
    result[2 * index + 1], result[2 * index + 2] = code, text
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
if #to_head + #to_tail + #to_prioritized > 0 and not paused and not maxed and tonumber(marked or nil) ~= 0 then
    redis.call('ZADD', k_marker, '0', '0')
end
if #to_delayed > 0 then
    redis.call('ZADD', k_delayed, unpack(to_delayed))
    local head = redis.call('ZRANGE', k_delayed, '0', '0', 'WITHSCORES')
    redis.call('ZADD', k_marker, string.format('%.17g', tonumber(head[2]) / SLOTS), '1')
end
if events + 2 * count > events_max + math.min(events_max, EVENTS_SLACK) then
    redis.call('XTRIM', k_events, 'MAXLEN', '~', string.format('%.0f', events_max))
end
return result
