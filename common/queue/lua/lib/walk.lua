-- A walk through `active` in bounded pieces, one a call, that misses no job of one process although others fetch and
-- settle between the calls. Needs lib/keys.lua.
--
-- `active` changes in two ways only: ids are pushed at its head, and ids are removed. The walk goes from the head (newest)
-- to the tail, and remembers a few ids that it has looked at and that stayed: anchors. While one of them is still in the
-- list, all that stands before it was looked at or was pushed since; and what was pushed since is not ours, for the caller
-- sees to it that this process fetches nothing meanwhile (a fence, or the number of its last call). So the walk goes on
-- behind the first anchor that is found, and when none is, from the head. An anchor that was settled, fetched again and so
-- pushed anew stands further ahead than before: then more is looked at twice, nothing is missed.
-- Jobs that are put at the front of `wait` one by one, newest first, are fetched again in their old order.
--
-- The walk ends because each piece moves behind the last one, or shortens the list: an id that stands in it twice, which
-- only damage explains and which would lead the walk back, is removed but for one.

local ANCHORS_NEW, ANCHORS_MAX = 4, 12

-- Where to go on: an index from the head, and the anchors from the one that was found on.
local function find_start(anchors)
    for at, id in ipairs(anchors) do
        local index = redis.call('LPOS', k_active, id)
        if index then
            local left = {}
            for i = at, #anchors do
                left[#left + 1] = anchors[i]
            end
            return index + 1, left
        end
    end
    return 0, {}
end

-- True when the id stands at that index and nowhere before it. Removes it once when it stands before it too.
local function is_anchor(id, index)
    local found = redis.call('LPOS', k_active, id)
    if found ~= index and #redis.call('LPOS', k_active, id, 'COUNT', '2') > 1 then
        redis.call('LREM', k_active, '1', id)
    end
    return found == index
end

-- Some of the ids that stayed, the last one first, with growing gaps: short jobs and long ones. Then the older anchors.
local function next_anchors(kept, from, older)
    local anchors, at, gap = {}, #kept, 1
    while at >= 1 and #anchors < ANCHORS_NEW do
        if is_anchor(kept[at], from + at - 1) then
            anchors[#anchors + 1] = kept[at]
        end
        at, gap = at - gap, gap * 8
    end
    for _, id in ipairs(older) do
        if #anchors < ANCHORS_MAX then
            anchors[#anchors + 1] = id
        end
    end
    return anchors
end

-- Looks at up to `most` ids. visit(id, token) is called for each whose lock is of that process: true: it stays in
-- `active`; false: it is gone from there; nil: nothing was done, this call has done enough.
-- Returns the anchors for the next call, or nil: the end was reached.
local function walk_active(anchors, most, uuid, visit)
    local from, older = find_start(anchors)
    local list = redis.call('LRANGE', k_active, from, from + most - 1)
    local complete, kept, seen, locks = #list < most, {}, {}, {}
    for at, id in ipairs(list) do
        locks[at] = P .. id .. ':lock'
    end
    locks = #list > 0 and redis.call('MGET', unpack(locks)) or locks
    for at, id in ipairs(list) do
        local lock, stays = locks[at], true
        if seen[id] ~= nil then
            stays = seen[id]
        elseif lock and string.sub(lock, 1, #uuid + 1) == uuid .. ':' then
            stays = visit(id, lock)
        end
        if stays == nil then
            complete = false
            break
        end
        seen[id] = stays
        if stays then
            kept[#kept + 1] = id
        end
    end
    if not complete then
        return next_anchors(kept, from, older)
    end
end
