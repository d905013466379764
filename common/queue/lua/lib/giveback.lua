-- Giving an active job back to the front of the queue, without an attempt (wire format 5.5: as moveToWait).
-- Needs lib/place.lua, lib/number.lua, lib/job.lua, lib/scheduler.lua, lib/condemn.lua.
--
-- When its process died while it ran, that is counted in the job's hash, in fields that stock peers ignore: `gbc`, how
-- often; `gbh`, a JSON array of the last HISTORY_MAX deaths, each "<time> <cause>". The one that reaches `most` fails the
-- job instead.

local count_death, give_back_protected, giveback_problem
do
    local HISTORY_MAX, HISTORY_BYTES_MAX, DEATH_BYTES_MAX = 20, 65536, 1024

    -- The stored deaths, as far as they can be read.
    local function history_of(text)
        local history = {}
        if not text or #text > HISTORY_BYTES_MAX then
            return history
        end
        local ok, stored = pcall(cjson.decode, text)
        if ok and type(stored) == 'table' then
            for _, death in ipairs(stored) do
                if type(death) == 'string' and #death <= DEATH_BYTES_MAX then
                    history[#history + 1] = death
                end
            end
        end
        return history
    end

    local function death_reason(count, history)
        local causes = {}
        for at, death in ipairs(history) do
            causes[at] = string.match(death, '^%d%d%d%d%-%S+ (.*)$') or death
        end
        return 'its process died ' .. (count == 1 and 'once' or whole(count) .. ' times') .. ' while running it: '
            .. table.concat(causes, '; ')
    end

    -- Notes one more death. Returns the reason why the job must fail now, or nil. What has no hash, or none that can be
    -- written, is not counted; the job of a scheduler is counted, but never fails by it.
    function count_death(key, death, most)
        local found = redis.pcall('HMGET', key, 'gbc', 'gbh', 'rjk')
        if found.err or redis.call('EXISTS', key) == 0 then
            return nil
        end
        local count, history = math.max(lenient(found[1]), 0) + 1, history_of(found[2])
        history[#history + 1] = death
        while #history > HISTORY_MAX do
            table.remove(history, 1)
        end
        redis.call('HSET', key, 'gbc', whole(count), 'gbh', cjson.encode(history))
        if count >= most and not is_scheduled(found[3]) then
            return death_reason(count, history)
        end
    end

    -- A priority that can't be read counts as none: the fetch finds the damage out.
    local function priority_of(key)
        local priority = redis.pcall('HGET', key, 'priority')
        return type(priority) == 'string' and math.max(lenient(priority), 0) or 0
    end

    -- death: "<time> <cause>", or nil: not counted. Returns 'back', 'failed', or 'gone': there was no job to put back.
    -- All that can fail is done before the id leaves `active`, where it may stand twice if somebody damaged the list.
    local function give_back(id, death, most)
        local key = P .. id
        local reason, priority = death and count_death(key, death, most), priority_of(key)
        redis.call('LREM', k_active, '0', id)
        if reason then
            condemn(id, reason)
            own.work = true -- there may be room now that others wait for
            return 'failed'
        end
        redis.call('DEL', key .. ':lock')
        if redis.call('EXISTS', key) == 0 then
            return 'gone'
        end
        put_waiting(own, id, priority, true)
        tell(own, 'waiting', 'jobId', id, 'prev', 'active')
        return 'back'
    end

    -- The same, contained: a job that can't be given back ends in `failed`, with the reason. The first write is not: a
    -- server that takes no writes refuses the whole call.
    function give_back_protected(id, death, most)
        redis.call('SREM', k_stalled, id)
        local ok, ending = pcall(give_back, id, death, most)
        if ok then
            return ending
        end
        pcall(condemn, id, damaged(type(ending) == 'table' and tostring(ending.err) or tostring(ending)))
        return 'failed'
    end

    -- What must hold of the queue's own keys before anything is given back; nil, or what is wrong.
    function giveback_problem()
        return queue_problem(own) or kinds_problem({ k_stalled, 'set', k_failed, 'zset' })
    end
end
