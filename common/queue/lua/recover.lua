-- recover: gives back the jobs of a process that is seen dead, with all that it had started. One call does a piece; the
-- caller repeats it with the anchors of the last answer until it is complete.
--
-- KEYS  as lib/keys.lua
-- ARGV  3 now (ms)  4 uuid of the dead process
--       5 its death, "<time> <cause>": counted in each of its jobs; "" not counted
--       6 how many counted deaths fail a job, >= 1
--       7 most ids of `active` looked at by this call; then the anchors of the last answer, none at first
-- Result  1 jobs given back by this call  2 jobs failed by it  3 1 when complete, else 0; then the anchors for the next call
-- Bounds  ARGV 7 ids looked at (lib/walk.lua), GIVE_MAX jobs given back, each about 9 commands, of which LREM is linear in
--         `active`.
-- Calls   60 + 60 * jobs + 2 * anchors; jobs = GIVE_MAX, anchors = 12
-- Elements look; look = ARGV[7]
-- Linear  LPOS active, LREM active
-- Repeat  always, by anybody, also side by side: the lock of a job that was given back is gone or another's. The answer of a
--         call may be lost: the jobs of that call stay given back, and counted once.
-- Failure the fence stands before anything else is looked at. The keys of one job are not trusted (lib/giveback.lua). The
--         first write frees (a DEL), so that jobs are recovered on a server that has no memory left.
--
-- The fence makes the walk exact: a fetch of this process that is executed later takes nothing, one that was executed before
-- is in `active` now. Jobs whose lock has run out are not its any more: the stalled check puts them back.

--- include lib/keys.lua
local now, uuid, death, most, look_max = tonumber(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local FIRST_ANCHOR = 8
local GIVE_MAX = 64
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/number.lua
--- include lib/job.lua
--- include lib/parent.lua
--- include lib/dedup.lua
--- include lib/condemn.lua
--- include lib/scheduler.lua
--- include lib/giveback.lua
--- include lib/walk.lua
--- include lib/fence.lua
--- include lib/registry.lua

set_fence(uuid)
local problem = giveback_problem()
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end

local visited, count = 0, { back = 0, failed = 0, gone = 0 }
local anchors = walk_active({ unpack(ARGV, FIRST_ANCHOR) }, look_max, uuid, function(id)
    if visited == GIVE_MAX then
        return nil
    end
    visited = visited + 1
    local ending = give_back_protected(id, death ~= '' and death or nil, most)
    count[ending] = count[ending] + 1
    return false
end)

if visited > 0 then
    trim_events()
end
for _, queue in pairs(queues) do
    mark(queue)
end
if not anchors then
    forget_worker(uuid)
    return { count.back, count.failed, 1 }
end
return { count.back, count.failed, 0, unpack(anchors) }
