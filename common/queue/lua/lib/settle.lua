-- Settling one job that is not simply completed: it failed, is tried again, moved, given back, has parents, children or a
-- deduplication, or is damaged (wire format 5). Everything of a job is checked, then it is written. Needs turn.lua's arguments
-- and lists, lib/parent.lua, lib/dedup.lua, lib/condemn.lua, lib/giveback.lua, lib/keep.lua, lib/fetch.lua.

local LIMIT_USED_UP = '9007199254740991' -- what stock clients write (4.4)

local function leave_active(id, key)
    local was_active = redis.call('LREM', k_active, '-1', id)
    redis.call('DEL', key .. ':lock')
    redis.call('SREM', k_stalled, id)
    freed = freed or was_active == 1
    return was_active == 1
end

-- Steps 8 to 12 of 5.1 for a job that has parents, children or a deduplication, or that failed.
local function finish(job, target, field, value, keep)
    local id, key, failed = job.id, job.key, field == 'failedReason'
    ended = true
    if failed then
        ended_failed = ended_failed + 1
    else
        ended_completed = ended_completed + 1
    end
    if job.plan then
        dedup_end(job.plan, id)
    end
    if job.parent then
        if failed then
            parent_child_failed(job.parent, key, value)
        else
            parent_child_completed(job.parent, key, value)
        end
    end
    if keep == '0' then
        forget(key, job.parent)
    else
        redis.call('ZADD', target, now_text, id)
        redis.call('HSET', key, 'atm', job.atm, field, value, 'finishedOn', now_text)
        if failed then
            redis.call('HDEL', key, 'defa')
        end
        if keep ~= '' then
            note_rule(target, keep)
        end
    end
    tell(own, failed and 'failed' or 'completed', 'jobId', id, field, value, 'prev', 'active')
end

-- Where a trace of the producer came with the job, its context goes on into the attempt (12).
local function trace_of(opts)
    if type(opts) ~= 'string' or not string.find(opts, '"tm":', 1, true) then
        return nil
    end
    local ok, read = pcall(cjson.decode, opts)
    if ok and type(read) == 'table' and read.omc ~= true and type(read.tm) == 'string' then
        return read.tm
    end
end

local function note_attempt(job, reason, stacktrace)
    local fields = { 'failedReason', reason, 'atm', job.atm }
    if stacktrace ~= '' then
        fields[5], fields[6] = 'stacktrace', stacktrace
    end
    local trace = trace_of(job.opts)
    if trace then
        fields[#fields + 1], fields[#fields + 2] = 'tm', trace
    end
    redis.call('HSET', job.key, unpack(fields))
end

local function condemn_ours(job, reason, stacktrace)
    condemn(job.id, reason, stacktrace)
    ended, freed, ended_failed = true, true, ended_failed + 1
    return reason
end

-- By kind: what to do once the job has left `active`. `at` is the place of the kind's first argument.
local WRITE = {
    c = function(job, at)
        finish(job, k_completed, 'returnvalue', ARGV[at + 1], ARGV[at])
    end,
    f = function(job, at)
        local most = tonumber(ARGV[at + 3]) or 0
        note_attempt(job, ARGV[at + 1], ARGV[at + 2])
        finish(job, k_failed, 'failedReason', ARGV[at + 1], ARGV[at])
        if tonumber(job.atm) >= most then
            tell(own, 'retries-exhausted', 'jobId', job.id, 'attemptsMade', job.atm)
        end
    end,
    r = function(job, at)
        note_attempt(job, ARGV[at], ARGV[at + 1])
        put_waiting(own, job.id, job.priority, job.lifo and job.priority == 0)
        tell(own, 'waiting', 'jobId', job.id, 'prev', 'active')
    end,
    l = function(job, at)
        note_attempt(job, ARGV[at], ARGV[at + 1])
        redis.call('HSET', job.key, 'delay', ARGV[at + 2])
        put_delayed(own, job.id, now + tonumber(ARGV[at + 2]))
    end,
    d = function(job, at)
        redis.call('HSET', job.key, 'delay', ARGV[at])
        put_delayed(own, job.id, now + tonumber(ARGV[at]))
    end,
    k = function(job)
        redis.call('ZADD', k_waiting_children, now_text, job.id)
        tell(own, 'waiting-children', 'jobId', job.id, 'prev', 'active')
    end,
    g = function(job)
        if job.priority == 0 then
            given_back[#given_back + 1] = job.id -- pushed together, so that the first fetched is next
        else
            put_waiting(own, job.id, job.priority, true)
        end
        tell(own, 'waiting', 'jobId', job.id, 'prev', 'active')
    end,
}
WRITE.R = WRITE.r

function WRITE.G(job, at)
    local reason = count_death(job.key, ARGV[at], givebacks_max)
    if reason then
        condemn_ours(job, reason)
    else
        WRITE.g(job)
    end
end

function WRITE.w(job, at)
    WRITE.g(job)
    if ARGV[at] ~= '0' then
        redis.call('SET', k_limiter, LIMIT_USED_UP, 'PX', ARGV[at])
        stopped_ms = tonumber(ARGV[at])
    end
end

-- How many children are pending, and how many failed in a way that forbids to go on; or nil, and what is wrong.
local function count_children(key)
    local pending, failed = redis.pcall('SCARD', key .. ':dependencies'), redis.pcall('ZCARD', key .. ':unsuccessful')
    if type(pending) == 'table' then
        return nil, key .. ':dependencies is not a set'
    elseif type(failed) == 'table' then
        return nil, key .. ':unsuccessful is not a sorted set'
    end
    return pending, failed
end

-- By kind: the code that refuses it, looked at before the lock (5.1, 5.5); nil.
local CHILDREN_CODE = {
    c = function(pending, failed)
        return pending > 0 and -4 or failed > 0 and -9 or nil
    end,
    k = function(pending, failed)
        return failed > 0 and -9 or pending == 0 and 1 or nil
    end,
}

-- The code, or what is wrong with them.
local function children_code(kind, key)
    local pending, failed = count_children(key)
    if not pending then
        return nil, failed
    end
    return CHILDREN_CODE[kind](pending, failed)
end

local PLACED_BY_PRIORITY = { r = true, R = true, w = true, g = true, G = true }
local IS_ATTEMPT = { f = true, r = true, R = true, l = true }

-- Reads what the job's end needs into `job`; returns what is wrong, or nil. Its key is a hash.
local function read_job(job)
    local found = redis.call('HMGET', job.key, 'atm', 'ats', 'priority', 'parentKey', 'parent', 'deid',
        IS_ATTEMPT[job.kind] and 'opts' or 'deid')
    local problem = whole_problem('atm', found[1]) or whole_problem('ats', found[2])
        or (PLACED_BY_PRIORITY[job.kind] and whole_problem('priority', found[3]))
    if problem then
        return problem
    end
    job.atm, job.priority, job.opts = plus_one(found[1]), lenient(found[3]), found[7]
    if job.kind ~= 'c' and job.kind ~= 'f' then
        return nil
    end
    job.parent, problem = parent_of(found[4], found[5])
    if problem or (job.parent and parent_problem(job.parent)) then
        return problem or parent_problem(job.parent)
    end
    if found[6] then
        job.plan, problem = dedup_plan(found[6])
    end
    return problem
end

-- One job on its own: everything is checked, then it is written. Returns its code, or a text.
local function settle_alone(at)
    local job = { id = ids[at], key = keys[at], kind = kinds[at], lifo = kinds[at] == 'R' }
    local kind, lock = redis.call('TYPE', job.key).ok, redis.pcall('GET', lock_keys[at])
    local ours, problem, code = lock == tokens[at], nil, nil
    if kind == 'none' then
        if ours then
            leave_active(job.id, job.key)
        end
        return -1
    elseif kind ~= 'hash' then
        problem = job.key .. ' holds a ' .. kind .. ', not a hash'
    elseif CHILDREN_CODE[job.kind] then
        code, problem = children_code(job.kind, job.key)
    end
    if code then
        return code
    elseif not lock then
        return -2
    elseif type(lock) == 'table' then -- nobody can own it: whoever has fetched it last may end it
        problem = problem or lock_keys[at] .. ' is not a string'
    elseif not ours then
        return -6
    end
    if not problem and job.kind ~= 'x' then
        problem = read_job(job)
    end
    if problem then
        return condemn_ours(job, damaged(problem))
    elseif job.kind == 'x' then
        condemn_ours(job, ARGV[offsets[at] + 1], ARGV[offsets[at] + 2])
        return 0
    end
    if not leave_active(job.id, job.key) then
        return -3
    end
    if (job.kind == 'r' or job.kind == 'R') and not promoted then
        promote()
    end
    WRITE[job.kind](job, offsets[at])
    return 0
end

local function error_text(problem)
    return type(problem) == 'table' and tostring(problem.err) or tostring(problem)
end

local function settle_protected(at)
    local ok, code = pcall(settle_alone, at)
    if not ok then
        local reason = damaged(error_text(code))
        pcall(condemn, ids[at], reason)
        code = reason
    end
    codes[at] = code
    if code ~= 0 then
        all_settled = false
    end
end

-- To the front, the first of them next.
local function put_back(list)
    for i = #list, 1, -1 do
        put_waiting(own, list[i], 0, true)
    end
end
