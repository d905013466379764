-- outcome: after a lost reply, what has become of the jobs that were settled in the lost calls. adopt.lua is asked next: for
-- those that the lost calls fetched and that we never saw.
--
-- KEYS  as lib/keys.lua
-- ARGV  3 uuid  4 n of the newest call that was ever sent
--       5 number of jobs settled in lost calls; then for each: id, token, n of the call that settled it
-- Result  a letter per job: D the call was executed; M still active under our token; F still active, its lock expired; N not
--         ours
-- Bounds  a command a job, 3 for one without a lock (LPOS is linear in `active`).
-- Calls   3 + 3 * jobs; jobs = ARGV[5]
-- Elements 1
-- Linear  LPOS active
-- Repeat  safe. drover:{tag}:turn:<uuid> is "<last executed n>/<newest n>" afterwards, so turn.lua refuses what
--         may still arrive on the old connection; the first number stays, so that asking again gives
--         the same answers.
-- Condition: no turn of this uuid is under way on the connection that asks.
-- Failure nothing here depends on what a job's keys hold. The first write frees (a DEL).

--- include lib/keys.lua
local uuid, newest, settled = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local FIRST, STRIDE = 6, 3

local turn_key = private .. 'turn:' .. uuid
local noted = redis.pcall('GET', turn_key)
noted = type(noted) == 'string' and noted or '0'
local executed = tonumber(string.match(noted, '^%d+')) or 0
local refused = tonumber(string.match(noted, '/(%d+)$')) or executed

redis.call('DEL', turn_key)
redis.call('SET', turn_key, string.format('%.0f/%.0f', executed, math.max(refused, newest)), 'EX', '3600')

local function is_active(id)
    return type(redis.pcall('LPOS', k_active, id, 'RANK', '-1')) == 'number' and redis.call('EXISTS', P .. id) == 1
end

local function answer(id, token, call)
    local lock = redis.pcall('GET', P .. id .. ':lock')
    if lock == token then
        return 'M'
    elseif executed >= call then
        return 'D'
    elseif not lock and is_active(id) then
        return 'F'
    end
    return 'N'
end

local answers = {}
for i = 1, settled do
    local at = FIRST + (i - 1) * STRIDE
    answers[i] = answer(ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]))
end
return table.concat(answers)
