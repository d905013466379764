-- What changes of named jobs share: codes, and a look at a job before anything of it is written. Needs lib/keys.lua,
-- lib/number.lua.

local OK, NO_JOB, NOT_THERE, NO_PARENT, OF_SCHEDULER, LOCKED, DAMAGED = 0, -1, -3, -5, -8, -50, -100

-- The pending iteration of a job scheduler: `repeat:<scheduler>:<ms>`, where ms is that scheduler's score. It must stay, or
-- the schedule would end (wire format 9.1).
local function is_pending_iteration(prefix, id)
    if string.sub(id, 1, 7) ~= 'repeat:' then
        return false
    end
    local scheduler, ms = string.match(id, '^repeat:(.+):([^:]+)$')
    return scheduler ~= nil and redis.pcall('ZSCORE', prefix .. 'repeat', scheduler) == ms
end
