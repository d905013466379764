-- adopt: a living process whose connection broke looks for jobs in `active` that are under its uuid and that it does not
-- know: lost calls fetched them. It takes on as many as it has room for, and gives the others back. One call does a piece;
-- the caller repeats it with the anchors of the last answer until it is complete.
--
-- KEYS  as lib/keys.lua
-- ARGV  3 now (ms)  4 uuid  5 lock (ms)  6 want: most jobs to adopt
--       7 most ids of `active` looked at by this call  8 n of this call, growing, counted with those of turn.lua
--       9 number of jobs that the process knows, those adopted by earlier calls included; then for each: id, token
--       then the anchors of the last answer, none at first
-- Result  1 1 when the process is fenced (then nothing was done), else 0  2 jobs given back by this call
--         3 1 when complete, else 0  4 the anchors for the next call; then per adopted job, newest first, its row (lib/job.lua)
-- Bounds  ARGV 7 ids looked at (lib/walk.lua), VISIT_MAX jobs adopted or given back, BYTES_MAX of their data (one is always
--         taken).
-- Calls   60 + 40 * visits + 2 * anchors; visits = VISIT_MAX, anchors = 12
-- Elements look + 1; look = ARGV[7]
-- Linear  LPOS active, LREM active
-- Repeat  safe: adopting changes nothing but the end of a lock, so a job whose row was lost is found again.
-- Failure as recover.lua. A damaged job is given back: the fetch that meets it puts it into `failed`.
-- Condition: outcome.lua was asked before, so that nothing of this uuid is still on its way, and no turn of it is under
-- way. That makes the walk exact. A call that arrives late, on a connection that was given up, would not know what newer
-- ones fetched or adopted: as in turn.lua, one whose number is not higher than the last executed one is refused.

--- include lib/keys.lua
local now, uuid, lock_ms, want, look_max = tonumber(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local call, known = ARGV[8], tonumber(ARGV[9])
local FIRST_KNOWN = 10
local VISIT_MAX, BYTES_MAX = 64, 1048576
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/number.lua
--- include lib/job.lua
--- include lib/parent.lua
--- include lib/dedup.lua
--- include lib/condemn.lua
--- include lib/scheduler.lua
--- include lib/giveback.lua
--- include lib/walk.lua
--- include lib/fence.lua

if is_fenced(uuid) then
    return { 1, 0, 1, {} }
end
local turn_key = private .. 'turn:' .. uuid
local noted = redis.pcall('GET', turn_key)
if type(noted) == 'string' and (tonumber(string.match(noted, '/(%d+)$') or noted) or 0) >= tonumber(call) then
    return redis.error_reply('LATE call ' .. call .. ' of ' .. uuid .. ' came after a newer one')
end
local problem = giveback_problem()
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end

redis.call('DEL', turn_key)
redis.call('SET', turn_key, call, 'EX', '3600')

local held = {} -- "<token> <id>"
for at = FIRST_KNOWN, FIRST_KNOWN + 2 * known - 1, 2 do
    held[ARGV[at + 1] .. ' ' .. ARGV[at]] = true
end

local adopted, bytes, given_back = {}, 0, 0

-- False when the job can't be run by anybody.
local function adopt(id, token)
    local key = P .. id
    local row, row_problem = read_row(key)
    if row_problem or is_ghost(id, key, row) then
        return false
    end
    redis.call('PEXPIRE', key .. ':lock', lock_ms)
    redis.call('SREM', k_stalled, id)
    row[ROW_ID], row[ROW_TOKEN] = id, token
    adopted[#adopted + 1] = row
    bytes = bytes + #(row[2] or '') + #(row[3] or '')
    return true
end

local anchors = walk_active({ unpack(ARGV, FIRST_KNOWN + 2 * known) }, look_max, uuid, function(id, token)
    if held[token .. ' ' .. id] then
        return true
    elseif #adopted + given_back == VISIT_MAX or bytes > BYTES_MAX then
        return nil
    elseif #adopted < want and adopt(id, token) then
        return true
    end
    give_back_protected(id)
    given_back = given_back + 1
    return false
end)

if given_back > 0 then
    trim_events()
end
for _, queue in pairs(queues) do
    mark(queue)
end
return { 0, given_back, anchors and 0 or 1, anchors or {}, unpack(adopted) }
