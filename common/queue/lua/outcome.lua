-- outcome: after a lost reply, what has become of the jobs that were settled in the lost calls, and of those
-- that the lost calls fetched for us and that we never saw.
--
-- KEYS  as lib/keys.lua
-- ARGV  3 now (ms)  4 uuid  5 n of the newest call that was ever sent
--       6 number of jobs settled in lost calls; then for each: id, token, n of the call that settled it
--       then number of other jobs that the process holds; then for each: id, token
-- Result  1 strays given back  2 a letter per settled job: D the call was executed; M still active under
--         our token; F still active, its lock expired; N not ours
-- Bounds  `active` is read once (its length is the concurrency of all workers); 6 commands a stray.
-- Repeat  safe. drover:{tag}:turn:<uuid> is "<last executed n>/<newest n>" afterwards, so turn.lua refuses what
--         may still arrive on the old connection; the first number stays, so that asking again gives
--         the same answers.
-- Condition: no turn of this uuid is under way on the connection that asks.

--- include lib/keys.lua
local now, uuid, newest, settled = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/number.lua

local PIECE = 500
local turn_key = private .. 'turn:' .. uuid
local noted = redis.pcall('GET', turn_key)
noted = type(noted) == 'string' and noted or '0'
local executed = tonumber(string.match(noted, '^%d+')) or 0
local fence = tonumber(string.match(noted, '/(%d+)$')) or executed

local problem = queue_problem(own)
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end

-- Newest first, as it is stored; by id too, for the answers.
local active, is_active = redis.call('LRANGE', k_active, '0', '-1'), {}
for _, id in ipairs(active) do
    is_active[id] = true
end

redis.call('DEL', turn_key)
redis.call('SET', turn_key, whole(executed) .. '/' .. whole(math.max(fence, newest)), 'EX', '3600')

local held = {} -- "<token> <id>" of all jobs that the process knows

local function answer(id, token, call)
    local lock = redis.pcall('GET', P .. id .. ':lock')
    if lock == token then
        return 'M'
    elseif executed >= call then
        return 'D'
    elseif not lock and is_active[id] and redis.call('EXISTS', P .. id) == 1 then
        return 'F'
    end
    return 'N'
end

local at, answers = 7, {}
for i = 1, settled do
    held[ARGV[at + 1] .. ' ' .. ARGV[at]] = true
    answers[i] = answer(ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]))
    at = at + 3
end
for i = 1, tonumber(ARGV[at]) do
    held[ARGV[at + 2 * i] .. ' ' .. ARGV[at + 2 * i - 1]] = true
end

-- As a give-back (5.5): no attempt, to the front. A hash that is gone leaves nothing to put back.
local function give_back(id)
    local key = P .. id
    redis.call('LREM', k_active, '-1', id)
    redis.call('DEL', key .. ':lock')
    redis.pcall('SREM', k_stalled, id)
    if redis.call('EXISTS', key) == 0 then
        return
    end
    local priority = redis.pcall('HGET', key, 'priority')
    if type(priority) ~= 'string' or not is_whole(priority) then
        priority = '0' -- absent, or damaged: the fetch finds that out
    end
    put_waiting(own, id, tonumber(priority), true)
    tell(own, 'waiting', 'jobId', id, 'prev', 'active')
end

local strays = 0
for first = 1, #active, PIECE do
    local last, keys = math.min(first + PIECE - 1, #active), {}
    for i = first, last do
        keys[#keys + 1] = P .. active[i] .. ':lock'
    end
    local locks = redis.call('MGET', unpack(keys))
    for i = first, last do
        local lock = locks[i - first + 1]
        if lock and string.sub(lock, 1, #uuid + 1) == uuid .. ':' and not held[lock .. ' ' .. active[i]] then
            give_back(active[i])
            strays = strays + 1
        end
    end
end
mark(own)
return { strays, table.concat(answers) }
