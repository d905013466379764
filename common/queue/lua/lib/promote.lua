-- Promoting due jobs (wire format 4.1). Needs lib/place.lua, lib/condemn.lua, and what lib/fetch.lua keeps of the call.

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

-- Up to PROMOTE_MAX of them. A due job whose data is damaged, or whose hash is gone, must not stop the others.
local function promote_due()
    local due = redis.call('ZRANGEBYSCORE', k_delayed, '-inf', whole((now + 1) * 4096 - 1), 'LIMIT', '0',
        PROMOTE_MAX + 1)
    if #due > PROMOTE_MAX then
        more, due[#due] = true, nil
    end
    due_moved = true
    if #due == 0 then
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
