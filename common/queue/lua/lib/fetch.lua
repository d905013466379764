-- Promoting due jobs and fetching the next ones (wire format 4.1). Needs lib/job.lua, lib/condemn.lua, `head` (the first of
-- `delayed`, with its score), `waiting` and `prioritized` (lengths), `settings`, and turn.lua's arguments.
--
-- A job that was given back SOLO_FROM times because its process died (`gbc`, lib/giveback.lua) runs alone: it may be what
-- kills them, and must not take others with it. An ordinary fetch passes it over; it keeps its place. Somebody has to run
-- it, so the first process that passes one over claims that (drover:{tag}:solo): it is told to empty itself, and then
-- fetches `alone`: one such job and nothing else. The claim ends with an `alone` fetch that finds none, with its process
-- (leave.lua, recover.lua), or by itself CLAIM_MS after it was made or last used, when its process is busy for longer; then
-- the next one that passes such a job over claims it. So at most one process a minute is kept from its ordinary work,
-- however many such jobs there are.
--
-- Who wakes whom: a call that took nothing but passed jobs over writes no marker, reports no more work and does not count
-- them as waiting, or processes that can't run them would wake each other for ever. Nobody needs to be woken for them:
-- whoever claims acts by itself, and everybody else looks again when its wait for the marker times out.

local PROMOTE_MAX = 200
local LOOK_MAX = 256
local SOLO_FROM, CLAIM_MS = 2, '60000'

local promoted, more = false, false -- more: than one call does
local taken, taken_ids, taken_bytes, limited, limit_max = {}, {}, 0, 0, nil
local stopped_ms = 0 -- one of those that this call settles asked to rest for so long
local bad = {} -- id, problem, id, problem...: damaged jobs that were met, until they are condemned
local passed_over, claimed = 0, false -- claimed: this process shall empty itself

-- A due job whose data is damaged, or whose hash is gone, must not stop the others.
local ghosts, quarantined = 0, 0

local function quarantine(id, problem)
    pcall(condemn, id, damaged(problem))
    quarantined = quarantined + 1
end

local function promote_one(id, plain)
    local key = P .. id
    local priority = redis.pcall('HGET', key, 'priority')
    if type(priority) == 'table' then
        return quarantine(id, key .. ' is not a hash')
    elseif not priority and redis.call('EXISTS', key) == 0 then
        ghosts = ghosts + 1
        return
    elseif not is_whole(priority) then
        return quarantine(id, whole_problem('priority', priority))
    end
    if not priority or priority == '0' then
        plain[#plain + 1] = id
    else
        put_waiting(own, id, tonumber(priority))
    end
    redis.call('HSET', key, 'delay', '0')
    tell(own, 'waiting', 'jobId', id, 'prev', 'delayed')
end

local function promote()
    promoted = true
    if not head[2] or tonumber(head[2]) >= (now + 1) * 4096 then
        return
    end
    local due = redis.call('ZRANGEBYSCORE', k_delayed, '-inf', whole((now + 1) * 4096 - 1), 'LIMIT', '0',
        PROMOTE_MAX + 1)
    if #due > PROMOTE_MAX then
        more, due[#due] = true, nil
    elseif #due == 0 then
        return -- what was due when `head` was read is not any more: a parent whose child has failed in this call
    end
    redis.call('ZREM', k_delayed, unpack(due))
    local plain = {}
    for _, id in ipairs(due) do
        promote_one(id, plain)
    end
    if #plain > 0 then
        redis.call('LPUSH', own.paused and k_paused or k_wait, unpack(plain))
        own.work = true
    end
end

local fetch
do
    -- How many jobs the rate limit leaves (4.1); nil without one. The queue's maximum goes before the worker's own, but
    -- not its duration.
    local function limit_room()
        limit_max = tonumber(settings[3] or nil) or (limiter_max > 0 and limiter_max) or nil
        if stopped_ms > 0 then
            limited = stopped_ms
            return 0
        elseif not limit_max then
            return nil
        end
        local used = redis.pcall('GET', k_limiter)
        used = type(used) == 'string' and tonumber(used) or 0
        if used < limit_max then
            return limit_max - used
        end
        local ttl = redis.call('PTTL', k_limiter)
        if ttl == 0 then
            redis.call('DEL', k_limiter)
        elseif ttl > 0 then
            limited = ttl
            return 0
        end
        return nil -- a counter that never expires does not block
    end

    -- A job that only carries its failure with it uses nothing up (as BullMQ 6).
    local function use_limit(jobs)
        if not limit_max or jobs == 0 then
            return
        end
        local used = redis.pcall('INCRBY', k_limiter, jobs)
        local duration = tonumber(limiter_max > 0 and limiter_ms or settings[4] or nil)
        if used == jobs and duration then
            redis.call('PEXPIRE', k_limiter, whole(math.max(math.floor(math.abs(duration)), 1)))
        end
    end

    local function room()
        if own.paused or want == 0 then
            return 0
        end
        local most = math.min(want, math.ceil((waiting + prioritized) / math.max(live, 1)))
        if own.concurrency then
            most = math.min(most, own.concurrency - redis.call('LLEN', k_active))
        end
        return math.ceil(math.min(most, limit_room() or most))
    end

    local USE, PASS = 1, 2
    local careful = alone -- where one job is passed over there are more: their data is not read for nothing

    -- gbc: as HGET or HMGET gives it, also an error.
    local function runs_alone(gbc)
        return type(gbc) == 'string' and lenient(gbc) >= SOLO_FROM
    end

    -- Looks at one id. USE: it is taken, or is to be dropped. PASS: it stays where it is. nil: it would be too much; it and all
    -- behind it stay.
    local function take(id)
        if taken_ids[id] then
            return USE -- twice in the list: once is enough
        end
        local key = P .. id
        if careful and runs_alone(redis.pcall('HGET', key, 'gbc')) ~= alone then
            return PASS
        end
        local row, problem = read_row(key)
        if problem then
            taken_ids[id] = true
            bad[#bad + 1], bad[#bad + 2] = id, problem
            return USE
        elseif is_ghost(id, key, row) then
            ghosts = ghosts + 1
            return USE
        elseif runs_alone(row[ROW_GBC]) ~= alone then
            careful = true
            return PASS
        end
        local bytes = taken_bytes + #(row[2] or '') + #(row[3] or '')
        if bytes > bytes_max and #taken > 0 then
            return nil
        end
        taken_bytes, taken_ids[id] = bytes, true
        row[ROW_ID] = id
        taken[#taken + 1] = row
        return USE
    end

    -- How many ids to look at next: usually all of them are taken.
    local function page_size(most, passed)
        local missing = most - #taken
        return (alone or passed > 0) and math.max(missing, 64) or missing
    end

    -- Takes up to `most` jobs from one place. look_at(from, n) lists n ids behind the next `from` ones; remove(last, used,
    -- passed) removes the used ones of the first `last`: all but the passed ones, in that order.
    -- Returns how many were removed, and how many passed over.
    local function take_from(look_at, remove, most)
        local looked, last, used, passed, passed_before, stop = 0, 0, {}, {}, 0, false
        while #taken < most and looked < LOOK_MAX and not stop do
            local n = page_size(most, #passed)
            local list = look_at(looked, n)
            stop = #list < n
            for _, id in ipairs(list) do
                local what = #taken < most and take(id)
                if not what then
                    stop = true
                    break
                end
                looked = looked + 1
                if what == USE then
                    used[#used + 1], last, passed_before = id, looked, #passed
                else
                    passed[#passed + 1] = id
                end
            end
        end
        if #used > 0 then
            remove(last, used, { unpack(passed, 1, passed_before) })
        end
        more = more or (#used > 0 and #taken < most and not stop)
        return #used, #passed
    end

    local function wait_next(from, n)
        local list, reversed = redis.call('LRANGE', k_wait, -from - n, -from - 1), {}
        for at = #list, 1, -1 do
            reversed[#reversed + 1] = list[at]
        end
        return reversed
    end

    local function wait_remove(last, _, passed)
        redis.call('LTRIM', k_wait, '0', -last - 1)
        if #passed > 0 then
            local back = {}
            for at = #passed, 1, -1 do
                back[#back + 1] = passed[at]
            end
            redis.call('RPUSH', k_wait, unpack(back))
        end
    end

    local function prioritized_next(from, n)
        return redis.call('ZRANGE', k_prioritized, from, from + n - 1)
    end

    local function prioritized_remove(last, used, passed)
        if #passed == 0 then
            redis.call('ZPOPMIN', k_prioritized, last)
        else
            redis.call('ZREM', k_prioritized, unpack(used))
        end
    end

    -- Only when all ids are removed from their places, for a parent or a deduplication may put others there.
    local function quarantine_bad()
        for at = 1, #bad, 2 do
            quarantine(bad[at], bad[at + 1])
        end
        if #bad > 0 then
            waiting, prioritized = redis.call('LLEN', k_wait), redis.call('ZCARD', k_prioritized)
        end
    end

    local function start_taken()
        local active, counted = {}, 0
        for at = 1, #taken do
            local job = taken[at]
            counted = counted + (job[ROW_DEFA] and 0 or 1)
            local id, ats = job[ROW_ID], plus_one(job[7])
            local key = P .. id
            active[at] = id
            redis.call('SET', key .. ':lock', uuid .. ':' .. call_text, 'PX', lock_ms)
            redis.pcall('XADD', k_events, '*', 'event', 'active', 'jobId', id, 'prev', 'waiting')
            if worker == '' then
                redis.call('HSET', key, 'processedOn', now_text, 'ats', ats)
            else
                redis.call('HSET', key, 'processedOn', now_text, 'ats', ats, 'pb', worker)
            end
        end
        redis.call('LPUSH', k_active, unpack(active))
        use_limit(counted)
    end

    local function claim_is_ours()
        local owner = redis.pcall('GET', k_solo)
        if type(owner) == 'table' then -- not a text: nobody's, and it would never end
            redis.call('DEL', k_solo)
        end
        return owner == uuid
    end

    -- After an ordinary fetch that passed jobs over.
    local function claim_solo()
        claimed = redis.call('SET', k_solo, uuid, 'NX', 'PX', CLAIM_MS) and true or claim_is_ours()
    end

    -- After a fetch that was for them: another one may wait, or there was none.
    local function use_claim()
        if #taken == 0 then
            if claim_is_ours() then
                redis.call('DEL', k_solo)
            end
        else
            claim_solo()
            if claimed then
                redis.call('PEXPIRE', k_solo, CLAIM_MS)
            end
        end
    end

    -- `wait` goes before `prioritized` (4.1); jobs that are passed over do not stand in the way.
    local function take_next(most)
        local passed_waiting, removed, passed = 0, nil, nil
        if waiting > 0 then
            removed, passed_waiting = take_from(wait_next, wait_remove, most)
            waiting = waiting - removed
        end
        if (alone or waiting == passed_waiting) and #taken < most and prioritized > 0 then
            removed, passed = take_from(prioritized_next, prioritized_remove, most)
            prioritized = prioritized - removed
        end
        return passed_waiting + (passed or 0)
    end

    function fetch()
        waiting, prioritized = redis.call('LLEN', k_wait), redis.call('ZCARD', k_prioritized)
        local most = room()
        if alone then
            most = math.min(most, 1)
        end
        local passed = most > 0 and take_next(most) or 0
        quarantine_bad()
        if #taken > 0 then
            start_taken()
        end
        if alone then
            if most > 0 or waiting + prioritized == 0 then -- else they may be there, and nothing may be fetched now
                use_claim()
            end
        elseif passed > 0 then
            passed_over = passed
            claim_solo()
        end
    end
end
