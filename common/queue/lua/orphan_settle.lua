-- orphan_settle: looks closely at ids that may be orphans (orphans.h): remembers those that are, and puts back, or removes, what
-- is to be.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 "report", "repair" or "remove"  5 age from which an unchanged orphan is settled (ms); then ids
-- Result  per id: 0 no orphan; 1 one, seen for the first time, or changed; 2 settled; 3 put back, or removed
-- Bounds  the ids, 50 at most; looking for one in `wait`, `paused` and `active` is linear in their length.
-- Calls   30 + 44 * ids; ids = 50
-- Elements 1000
-- Linear  LPOS active, LPOS paused, LPOS wait
-- Repeat  always: what was put back is in a state.
-- Failure a job whose data is damaged is put to wait as it is: the fetch that meets it puts it into `failed`. One that has
--         finished is never put back: it would run again.

--- include lib/keys.lua
local now, action, age_ms = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local FIRST_ID = 6
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/number.lua
--- include lib/parent.lua
--- include lib/change.lua
--- include lib/remove.lua
--- include lib/orphans.lua

local NONE, FOUND, SETTLED, CHANGED = 0, 1, 2, 3
local KEPT_MAX, KEPT_S = 10000, '86400'
local room = KEPT_MAX - redis.call('HLEN', k_orphans)

local function is_in_list(id)
    return redis.call('LPOS', k_wait, id, 'RANK', '-1') or redis.call('LPOS', k_paused, id, 'RANK', '-1')
        or redis.call('LPOS', k_active, id, 'RANK', '-1')
end

-- Since when it has been like this, as far as anybody remembers; remembers it from now on.
local function remember(id, state)
    local kept = redis.call('HGET', k_orphans, id)
    local since, was = string.match(kept or '', '^(%d+) (.*)$')
    if was == state then
        return tonumber(since)
    elseif kept or room > 0 then
        redis.call('HSET', k_orphans, id, whole(now) .. ' ' .. state)
        redis.call('EXPIRE', k_orphans, KEPT_S)
        room = kept and room or room - 1
    end
    return now
end

local to_front = {} -- id, timestamp

local function put_back(id, key, found)
    local due = (tonumber(found[1]) or 0) + lenient(found[5])
    if redis.pcall('SCARD', key .. ':dependencies') ~= 0 then
        redis.call('ZADD', k_waiting_children, whole(now), id)
        tell(own, 'waiting-children', 'jobId', id)
    elseif lenient(found[5]) > 0 and due > now then
        put_delayed(own, id, due)
    elseif lenient(found[6]) > 0 then
        put_waiting(own, id, lenient(found[6]))
        tell(own, 'waiting', 'jobId', id)
    else
        to_front[#to_front + 1] = { id = id, at = tonumber(found[1]) or 0 }
    end
end

local function remove(id, key)
    local relations = relations_of(key)
    local parent = sound_parent(relations[1])
    if parent then
        parent_child_removed(parent, key)
    end
    release_dedup(own, id, relations[2])
    redis.call('UNLINK', parts_of(key))
end

local function settle(id)
    local key = P .. id
    local found = redis.pcall('HMGET', key, 'timestamp', 'atm', 'ats', 'processedOn', 'delay', 'priority', 'stc',
        'finishedOn')
    if found.err or not found[1] or redis.call('EXISTS', key .. ':lock') == 1 or is_in_set(id) or is_in_list(id) then
        redis.call('HDEL', k_orphans, id)
        return NONE
    elseif action == 'remove' then
        redis.call('HDEL', k_orphans, id)
        remove(id, key)
        return CHANGED
    end
    for at = 1, 8 do
        found[at] = found[at] or ''
    end
    if now - remember(id, table.concat(found, ' ')) < age_ms then
        return FOUND
    elseif action == 'report' or found[8] ~= '' then
        return SETTLED
    end
    redis.call('HDEL', k_orphans, id)
    put_back(id, key, found)
    return CHANGED
end

local problem = states_problem(own) or kinds_problem({ k_orphans, 'hash' })
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
local codes = {}
for at = FIRST_ID, #ARGV do
    codes[#codes + 1] = settle(ARGV[at])
end
-- They have waited for long: they run next, the oldest first.
table.sort(to_front, function(a, b)
    return a.at > b.at
end)
for _, job in ipairs(to_front) do
    put_waiting(own, job.id, 0, true)
    tell(own, 'waiting', 'jobId', job.id)
end
mark_all()
return codes
