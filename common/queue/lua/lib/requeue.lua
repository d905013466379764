-- Jobs that leave a set to wait again: promoted ones and retried ones. Needs lib/change.lua, lib/place.lua, lib/number.lua,
-- lib/parent.lua.
--
-- A job whose hash is gone is taken out of the set and not put anywhere; one whose data is damaged stays, untouched.

-- Takes the id out of the set, tells that it waits, and returns its code. prepare(key, fields) changes the job's hash and
-- returns whether it runs next, and what forbids the move; then it must not have written anything. `fields`: its priority,
-- then those of `names`. At most 9 commands, and those of `prepare`.
local function requeue(set, id, prev, names, prepare)
    if not redis.call('ZSCORE', set, id) then
        return redis.call('EXISTS', P .. id) == 1 and NOT_THERE or NO_JOB
    end
    local key = P .. id
    local found = redis.pcall('HMGET', key, 'priority', unpack(names))
    if found.err or not is_whole(found[1]) then
        return DAMAGED
    elseif not found[1] and redis.call('EXISTS', key) == 0 then
        redis.call('ZREM', set, id)
        return NO_JOB
    end
    local front, problem = prepare(key, found)
    if problem then
        return DAMAGED
    end
    redis.call('ZREM', set, id)
    put_waiting(own, id, tonumber(found[1] or '0'), front)
    tell(own, 'waiting', 'jobId', id, 'prev', prev)
    return OK
end

-- one(id) for each; then the markers, and the events are trimmed. Returns the codes in their order.
local function requeue_all(ids, one)
    local codes = {}
    for at, id in ipairs(ids) do
        codes[at] = one(id)
    end
    if #ids > 0 then
        mark(own)
        trim_events()
    end
    return codes
end
