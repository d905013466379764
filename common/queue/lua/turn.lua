-- turn: a worker's one call. Settles jobs that it has finished, then fetches the next ones
-- (wire format 4.1, 5, 14.2).
--
-- KEYS  as lib/keys.lua
-- ARGV   3 now (ms, the caller's clock)         4 uuid of the process       5 n of this call, growing
--        6 lock (ms)    7 name of the worker, "" none
--        8 want: most jobs to fetch, 0 none     9 live processes of the queue, >= 1
--       10 bytes of data and opts to stay within (one job is always taken)
--       11 how many counted deaths fail a job, >= 1
--       12 1: fetch one job that must run alone and nothing else (lib/fetch.lua); 0: none of those
--       13 jobs of this worker's own limiter, 0 none     14 its duration (ms)
--       15 minutes kept in the metrics lists, 0: no metrics (lib/metrics.lua)
--       16 number of jobs to settle, at most 64; then for each, in fetch order:
--          id, token of its lock, kind, and by kind
--            c complete      keep, returnvalue (JSON)
--            f fail          keep, failedReason, stacktrace (JSON array or ""), most attempts
--            x fail, damaged as f: the caller could not read its options
--            r retry now     failedReason, stacktrace      (R: to the front, opts.lifo)
--            l retry later   failedReason, stacktrace, delay (ms)
--            d delay         delay (ms); no attempt
--            w move to wait  no attempt; to the front. > 0: for so long (ms) the rate limit is used up, and this
--                            call fetches nothing
--            k to its children   no attempt; waits until they have ended
--            g give back     no attempt; to the front
--            G its death     as g, but counted (lib/giveback.lua): "<time> <cause>"
--          keep: "" all, "0" none, else "count age limit", count -1 any, age in seconds or -1
-- Result  1 waiting (wait and prioritized, without those passed over)  2 active  3 due time (ms) of the first delayed
--         job, 0 none  4 limited for (ms)  5 flags: 1 paused, 2 maxed, 4 more due, or more ids without
--         a job, than one call deals with: call again; 8 fenced: this process was declared dead, nothing was
--         fetched; 16 alone: empty yourself, then fetch alone (lib/fetch.lua)
--         6 ids without a job dropped  7 damaged jobs put into `failed` instead of being fetched
--         8 0 when all jobs are settled, else an array: per job 0, a code of 5.7, 1 (k: no child is
--         pending, it is as it was), or text: damaged, and why
--         then per fetched job its row (lib/job.lua), ats as before this fetch
-- Bounds  64 settled and 64 fetched jobs; PROMOTE_MAX promoted and LOOK_MAX ids looked at (lib/fetch.lua);
--         TRIM_MAX removed by each keep rule (lib/keep.lua). An ordinary job costs 3 commands at its end, 4 at its fetch.
-- Calls   60 + 90 * jobs + 24 * trimmed + 60 * promoted + 120 * looked; jobs = ARGV[16], trimmed = TRIM_MAX, promoted = PROMOTE_MAX, looked = LOOK_MAX
-- Elements 2000
-- Linear  LREM active
-- Repeat  refused: the number of the last executed call is kept for an hour in drover:{tag}:turn:<uuid>,
--         and a call whose number is not higher does nothing. outcome.lua raises it.
-- Failure all that is shared (the queue's own keys) is looked at before the first write (of `stalled`: by it); what belongs to one
--         job is looked at before that job's first write. The first write frees (a DEL), so that jobs can be
--         settled on a server that has no memory left.

--- include lib/keys.lua
local now_text, uuid, call_text, lock_ms, worker = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local want, live, bytes_max, count = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[16])
local givebacks_max, alone = tonumber(ARGV[11]), ARGV[12] == '1'
local limiter_max, limiter_ms, metrics_points = tonumber(ARGV[13]), ARGV[14], tonumber(ARGV[15])
local now = tonumber(now_text)
--- include lib/own.lua
--- include lib/number.lua
--- include lib/job.lua

-- ---- 1. Look. Nothing is written before all of it answered.

local STRIDE = { c = 5, f = 7, x = 7, r = 5, R = 5, l = 6, d = 4, w = 4, k = 3, g = 3, G = 4 }
local ids, keys, tokens, kinds, offsets, lock_keys = {}, {}, {}, {}, {}, {}
local uses_children = false

local function read_settles()
    local at = 17
    for i = 1, count do
        local id, kind = ARGV[at], ARGV[at + 2]
        local key = P .. id
        ids[i], keys[i], tokens[i], kinds[i], offsets[i] = id, key, ARGV[at + 1], kind, at + 3
        lock_keys[i] = key .. ':lock'
        uses_children = uses_children or kind == 'k'
        at = at + STRIDE[kind]
    end
end

-- Which of them have children: none, almost always, and then one command says so.
local function with_children()
    local children, completes = {}, {}
    for i = 1, count do
        if kinds[i] == 'c' then
            local size = #children
            children[size + 1], children[size + 2] = keys[i] .. ':dependencies', keys[i] .. ':unsuccessful'
            completes[#completes + 1] = i
        end
    end
    local found = {}
    if #children > 0 and redis.call('EXISTS', unpack(children)) > 0 then
        for j, i in ipairs(completes) do
            found[i] = redis.call('EXISTS', children[2 * j - 1], children[2 * j]) > 0
        end
    end
    return found
end

read_settles()
local children = with_children()
local turn_key, k_solo = private .. 'turn:' .. uuid, private .. 'solo'
local found = redis.call('MGET', turn_key, private .. 'fence:' .. uuid, unpack(lock_keys)) -- as lib/fence.lua
local noted, fenced, locks = found[1], found[2] and true or false, { unpack(found, 3, count + 2) }
if noted then
    local last = string.match(noted, '^%d+/(%d+)$') or noted
    if (tonumber(last) or 0) >= tonumber(call_text) then
        return redis.error_reply('LATE call ' .. call_text .. ' of ' .. uuid .. ' came after its outcome was settled')
    end
end

local broken
local function look(command, key, ...)
    local result = redis.pcall(command, key, ...)
    if type(result) == 'table' and result.err then
        broken = broken or key
    end
    return result
end

local settings = look('HMGET', k_meta, 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
local waiting, in_order = look('LLEN', k_wait), look('LRANGE', k_active, -math.max(count, 1), '-1')
local prioritized, head = look('ZCARD', k_prioritized), look('ZRANGE', k_delayed, '0', '0', 'WITHSCORES')
look('ZCARD', k_completed)
look('ZCARD', k_failed)
local marked, events = look('ZSCORE', k_marker, '0'), look('XLEN', k_events)
local ours = {} -- those that will be completed: the lock says so, and no child forbids it
for i = 1, count do
    if kinds[i] == 'c' and locks[i] == tokens[i] and not children[i] then
        ours[#ours + 1] = ids[i]
    end
end
if #ours == 0 then
    look('SCARD', k_stalled)
end
if uses_children then
    look('ZCARD', k_waiting_children)
end
if not broken and settings[1] then
    look('LLEN', k_paused)
end
local unsuspected = not broken and #ours > 0
if unsuspected then -- the last look is the first write: whoever ends under his lock is not suspected
    local result = redis.pcall('SREM', k_stalled, unpack(ours))
    if type(result) == 'table' then
        if string.find(result.err, 'WRONGTYPE', 1, true) then
            broken = k_stalled
        else
            return result
        end
    end
end
if broken then
    return redis.error_reply('WRONGTYPE ' .. broken .. ' is not of the kind that a queue needs')
end
own.paused = settings[1] and true or false
own.concurrency = tonumber(settings[2] or nil)
own.settings_read = true

if fenced then
    want = 0
end
if not unsuspected then
    redis.call('DEL', turn_key)
end
redis.call('SET', turn_key, call_text, 'EX', '3600')

-- What most calls have no use for is made when it is first asked for: each call of a script makes its functions anew, and
-- each costs Redis half as much as a small command, and these would be eighty (docs/performance.md).
local make_rare, rare_made

local function rare()
    rare_made = rare_made or make_rare()
    return rare_made
end

--- include lib/fetch.lua

-- ---- 2. Settle.

local codes, all_settled, all_ordinary = {}, true, true
local ended, freed, ended_completed, ended_failed = false, false, 0, 0 -- freed: one has left `active`

do -- a function has at most 200 locals, the script as a whole too
    local added_completed, given_back = {}, {}

    function make_rare()
        --- include lib/kinds.lua
        --- include lib/place.lua
        --- include lib/parent.lua
        --- include lib/dedup.lua
        --- include lib/condemn.lua
        --- include lib/scheduler.lua
        --- include lib/giveback.lua
        --- include lib/keep.lua
        --- include lib/promote.lua
        --- include lib/limit.lua
        --- include lib/solo.lua
        --- include lib/metrics.lua
        --- include lib/settle.lua
        return {
            settle = settle_protected, put_back = put_back, forget = forget, note_rule = note_rule, apply_rules = apply_rules,
            promote = promote_due, quarantine = quarantine, limit_room = limit_room, use_limit = use_limit,
            claim_solo = claim_solo, use_claim = use_claim, mark_all = mark_all, note_metrics = note_metrics,
        }
    end

    -- An ordinary end: completed, no children, no parent, no deduplication, nothing damaged. `fields`
    -- is what HMGET found, or its error.
    local function is_ordinary(at, lock, fields, seen)
        return kinds[at] == 'c' and lock == tokens[at] and not fields.err and not seen[ids[at]]
            and fields[2] and not fields[3] and not fields[4] and not fields[5]
            and is_whole(fields[1]) and is_whole(fields[2])
    end

    local ordinary_locks = {}

    -- The parts that need a command of their own; settle_batch does the rest for all at once.
    local function settle_ordinary(at, fields)
        local id, key, keep, value = ids[at], keys[at], ARGV[offsets[at]], ARGV[offsets[at] + 1]
        if keep == '0' then
            rare().forget(key)
        else
            redis.call('HSET', key, 'atm', plus_one(fields[1]), 'returnvalue', value, 'finishedOn', now_text)
            local size = #added_completed
            added_completed[size + 1], added_completed[size + 2] = now_text, id
            if keep ~= '' then
                rare().note_rule(k_completed, keep)
            end
        end
        redis.pcall('XADD', k_events, '*', 'event', 'completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
        ordinary_locks[#ordinary_locks + 1] = lock_keys[at]
        codes[at] = 0
        ended, freed, ended_completed = true, true, ended_completed + 1
    end

    -- `active` is newest first: settled in fetch order, ours are its tail, and one LTRIM takes them all.
    local function is_tail()
        if not all_ordinary or #in_order ~= count then
            return false
        end
        for i = 1, count do
            if in_order[count - i + 1] ~= ids[i] then
                return false
            end
        end
        return true
    end

    local function settle_batch()
        local fields, ordinary, seen = {}, {}, {}
        for i = 1, count do
            local found = kinds[i] == 'c' and not children[i]
                and redis.pcall('HMGET', keys[i], 'atm', 'ats', 'parentKey', 'parent', 'deid')
            ordinary[i] = found and is_ordinary(i, locks[i], found, seen)
            fields[i], seen[ids[i]] = found, true
            all_ordinary = all_ordinary and ordinary[i]
        end
        local tail = is_tail()
        if tail then
            redis.call('LTRIM', k_active, '0', -count - 1)
        end
        for i = 1, count do
            if not ordinary[i] then
                rare().settle(i)
            elseif tail or redis.call('LREM', k_active, '-1', ids[i]) == 1 then
                settle_ordinary(i, fields[i])
            else
                redis.call('DEL', lock_keys[i])
                codes[i], all_settled = -3, false
            end
        end
        if #ordinary_locks > 0 then
            redis.call('DEL', unpack(ordinary_locks))
        end
        if #added_completed > 0 then
            redis.call('ZADD', k_completed, unpack(added_completed))
        end
        if #given_back > 0 then
            rare().put_back(given_back)
        end
    end

    if count > 0 then
        settle_batch()
        if rare_made then
            rare_made.apply_rules()
        end
    end
end

-- ---- 3. Fetch.

if want > 0 then
    if not promoted then
        promote()
    end
    fetch()
else
    count_waiting()
end

-- ---- 4. Tell the others, and answer.

local EVENTS_SLACK = 100 -- as much as a stream goes over its length anyway, for XTRIM ~ takes whole nodes

local active = active_after or redis.call('LLEN', k_active)
local maxed = own.concurrency ~= nil and active >= own.concurrency
if #taken < want and waiting == 0 and prioritized == 0 and not own.paused and not maxed and limited == 0 then
    redis.call('DEL', k_pc) -- priorities count anew (4.1)
end
if not all_ordinary or due_moved or own.due or quarantined > 0 then
    head = redis.call('ZRANGE', k_delayed, '0', '0', 'WITHSCORES')
end
local due = head[2] and whole(math.floor(tonumber(head[2]) / 4096)) or '0'

-- Markers (3.10): whoever takes wakes the next, as long as something is left (also when we pass it over: a stock
-- worker may run it); so does whoever makes room in a queue that was full.
local left = waiting + prioritized > 0
if left and (#taken > 0 or own.work or ghosts + quarantined > 0 or (own.concurrency and freed)) and not own.paused
    and (not maxed or #taken > 0) then
    if tonumber(marked or nil) ~= 0 then
        redis.call('ZADD', k_marker, '0', '0')
    end
    own.marked = true
end
if rare_made then -- nothing else puts jobs anywhere
    own.work = false
    if own.marked and not own.due_always then
        own.due = false -- who wakes by the other marker sees the due time
    end
    rare_made.mark_all()
end

if ended and #taken == 0 and waiting == 0 and prioritized == 0 and active == 0
    and (want == 0 or (limited == 0 and not own.paused and not maxed and not head[2])) then
    redis.pcall('XADD', k_events, '*', 'event', 'drained')
end
if count > 0 or #taken > 0 then
    local events_max = tonumber(settings[5] or nil)
    if not settings[5] then
        redis.call('HSET', k_meta, 'opts.maxLenEvents', '10000')
    end
    events_max = math.max(events_max or 10000, 0)
    if rare_made or events + count + #taken > events_max + math.min(events_max, EVENTS_SLACK) then
        redis.call('XTRIM', k_events, 'MAXLEN', '~', whole(events_max))
    end
end

if metrics_points > 0 then
    if ended_completed > 0 then
        rare().note_metrics('completed', ended_completed, metrics_points)
    end
    if ended_failed + quarantined > 0 then
        rare().note_metrics('failed', ended_failed + quarantined, metrics_points)
    end
end

local flags = (own.paused and 1 or 0) + (maxed and 2 or 0) + (more and 4 or 0) + (fenced and 8 or 0)
    + (claimed and 16 or 0)
local reply = { waiting + prioritized - passed_over, active, due, limited, flags, ghosts, quarantined,
    all_settled and 0 or codes }
for at = 1, #taken do
    reply[8 + at] = taken[at]
end
return reply
