-- remove: removes jobs, with the trees below them when asked (wire format 8.5). A tree is looked through before its first
-- job goes: it goes whole, or stays whole because one of its jobs is locked. One that is too large for a call stays as well;
-- the caller removes what is below it first (change.h).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 what: "remove"; "look": only whether a lock forbids it; "pending": children that were waited for,
--       of which those that are locked or have failed stay, and of which only pending children go along
--       5 1: with children, else 0  6 most jobs, all trees of the call together
--       7 the job whose children these are, "" none: of its records they disappear as well; then ids, of children whole
--       keys
-- Result  per job a code and how many jobs are gone: 0 removed; 1 too large for what was left of this call; 2 not looked at, ask
--         again; -1 there was nothing; -8 pending iteration of a scheduler; -50 a lock forbids it, or it stays ("pending")
-- Bounds  ARGV 6 jobs, and LISTED_MAX elements of the lists in which they are looked for; one job always.
-- Calls   20 + 74 * jobs + 4 * named; jobs = ARGV[6], named = 100
-- Elements 1000
-- Linear  LREM active, LREM paused, LREM wait
-- Repeat  always.
-- Failure a queue whose own keys hold something else refuses the call; see lib/remove.lua.

--- include lib/keys.lua
local now, what, with_children, most, above = tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1', tonumber(ARGV[6]), ARGV[7]
local FIRST_NAME = 8
local FITS, LARGE, UNSEEN = 0, 1, 2
local LISTED_MAX = 200000 -- elements of lists that a call may have to look through
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/number.lua
--- include lib/parent.lua
--- include lib/change.lua
--- include lib/remove.lua

local pending_only = what == 'pending'

local function node(prefix, id)
    return prefix and { key = prefix .. id, id = id, queue = queue_at(prefix), children = {} } or nil
end

-- A job of this queue that the caller named by its id, which may have colons; of a child the key alone is known.
local function root_of(name)
    if above == '' and not pending_only then
        return node(P, name)
    end
    return node(split_key(name))
end

local KINDS_OF_CHILDREN = {
    { 'HLEN', ':processed', { 'HKEYS' } }, { 'HLEN', ':failed', { 'HKEYS' } },
    { 'ZCARD', ':unsuccessful', { 'ZRANGE', '0', '-1' } }, { 'SCARD', ':dependencies', { 'SMEMBERS' } },
}

-- The keys of its children, of all kinds that count, and which of them are pending; nil: more than `room`.
local function children_of(key, room)
    local keys, pending, known = {}, {}, {}
    for at = pending_only and 4 or 1, 4 do
        local kind = KINDS_OF_CHILDREN[at]
        local size = redis.pcall(kind[1], key .. kind[2])
        if type(size) == 'number' and size > room - #keys then
            return nil
        end
        local list = {}
        if type(size) == 'number' and size > 0 then
            list = redis.call(kind[3][1], key .. kind[2], unpack(kind[3], 2))
        end
        for _, child in ipairs(list) do
            pending[child] = at == 4
            if not known[child] then
                known[child] = true
                keys[#keys + 1] = child
            end
        end
    end
    return keys, pending
end

-- Whether this job stays as a child that nobody removes ("pending").
local function stays(child)
    return pending_only
        and (redis.call('EXISTS', child.key .. ':lock') == 1
            or redis.pcall('ZSCORE', child.queue.prefix .. 'failed', child.id))
end

local listed = 0 -- so far

-- Counts what looking for one more job in the lists of its queue costs. True: it is too much for this call.
local function is_dear(queue)
    if not queue.listed then
        queue.listed = redis.call('LLEN', queue.wait) + redis.call('LLEN', queue.paused_list)
            + redis.call('LLEN', queue.active)
    end
    listed = listed + queue.listed
    return listed > LISTED_MAX
end

-- Looks through the tree below root. FITS, LARGE or LOCKED, and how many jobs it has met; or nil and what is wrong.
local function look_through(root, room)
    local nodes, at, seen = { root }, 1, { [root.key] = true }
    while nodes[at] do
        local here = nodes[at]
        local problem = states_problem(here.queue)
        if problem then
            return nil, problem
        elseif here.pending and not pending_only and redis.call('EXISTS', here.key .. ':lock') == 1 then
            return LOCKED, #nodes
        elseif what ~= 'look' and is_dear(here.queue) and (at > 1 or room < most) then -- one job always fits
            return LARGE, room
        end
        local keys, pending = {}, {}
        if with_children then
            keys, pending = children_of(here.key, room - #nodes)
        end
        if not keys then
            return LARGE, room
        end
        for _, key in ipairs(keys) do
            local child = not seen[key] and node(split_key(key))
            seen[key] = true
            if child and not stays(child) then
                child.pending, child.above = here.pending and pending[key], here
                nodes[#nodes + 1] = child
                here.children[#here.children + 1] = child
            end
        end
        at = at + 1
    end
    return FITS, #nodes
end

local removed = 0

local function remove_node(here)
    local found = relations_of(here.key)
    local parent = sound_parent(here.above and here.above.key or found[1])
    if parent then
        parent_child_removed(parent, here.key)
    end
    for _, child in ipairs(here.children) do
        remove_node(child)
    end
    local prev = take_from_state(here.queue, here.id)
    release_dedup(here.queue, here.id, found[2])
    local kind = redis.call('TYPE', here.key).ok
    if prev or kind == 'hash' or kind == 'none' then -- else it is the key of something else
        local gone = redis.call('UNLINK', parts_of(here.key))
        if prev or gone > 0 then
            removed = removed + 1
        end
        if gone > 0 then
            tell_trimmed(here.queue, 'removed', 'jobId', here.id, 'prev', prev or 'unknown')
        end
    end
end

-- A child of a large tree: its parent, which goes later, shall not name it any more.
local function forget_record(key)
    if above ~= '' and what == 'remove' then
        redis.pcall('HDEL', above .. ':processed', key)
        redis.pcall('HDEL', above .. ':failed', key)
        redis.pcall('ZREM', above .. ':unsuccessful', key)
        redis.pcall('SREM', above .. ':dependencies', key)
    end
end

local room = most

-- Code and count; or nil and what is wrong.
local function remove_tree(name)
    local root = root_of(name)
    if not root then
        return NO_JOB, 0
    elseif room <= 0 then
        return UNSEEN, 0
    elseif not pending_only and is_pending_iteration(root.queue.prefix, root.id) then
        return OF_SCHEDULER, 0
    elseif stays(root) then
        return LOCKED, 0
    end
    root.pending = true
    local code, nodes = look_through(root, room)
    if not code then
        return nil, nodes
    elseif code == LARGE and room < most then
        room = 0
        return UNSEEN, 0 -- alone it may fit
    end
    room = room - nodes
    if code ~= FITS or what == 'look' then
        return code, 0
    end
    removed = 0
    remove_node(root)
    forget_record(root.key)
    return removed > 0 and OK or NO_JOB, removed
end

local problem = states_problem(own)
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
local result = {}
for at = FIRST_NAME, #ARGV do
    local code, count = remove_tree(ARGV[at])
    if not code then -- nothing of this tree was written
        code, count = DAMAGED, 0
    end
    result[#result + 1] = code
    result[#result + 1] = count
end
mark_all()
trim_told()
return result
