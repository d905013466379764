-- Jobs that leave a set to wait again: promoted ones and retried ones. Needs lib/change.lua, lib/place.lua, lib/number.lua,
-- lib/parent.lua.
--
-- A job whose hash is gone is taken out of the set and not put anywhere; one whose data is damaged stays, untouched.

-- `set`: a key. prepare(key, found): changes its hash, and returns what is wrong, before anything was written. At most 7
-- commands, and those of `prepare`.
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

-- All named ones, or a page of the set. select(): ids. Returns codes in their order; writes markers, trims events.
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
