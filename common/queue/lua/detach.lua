-- detach: a job no longer belongs to its parent (wire format 8.5), which goes on when it was the last one that it waited for.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 now (ms)  4 id
-- Result  0; -1 when the job is gone, -5 when its parent is, -3 when no parent waits for it
-- Bounds  one job.
-- Calls   44
-- Elements 4
-- Repeat  safe: the second time no parent waits for it.

--- include lib/keys.lua
local now, key = tonumber(ARGV[3]), P .. ARGV[4]
--- include lib/kinds.lua
--- include lib/place.lua
--- include lib/number.lua
--- include lib/parent.lua

local wrong = wrong_kind({ key, 'hash' })
if wrong then
    return wrong
end
if redis.call('EXISTS', key) == 0 then
    return -1
end
local parent, problem = parent_of(redis.call('HGET', key, 'parentKey'))
problem = problem or parent and parent_problem(parent)
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
elseif not parent then
    return -3
elseif redis.call('EXISTS', parent.key) == 0 then
    return -5
elseif redis.call('SISMEMBER', parent.key .. ':dependencies', key) == 0 then
    return -3
end
parent_child_removed(parent, key)
redis.call('HDEL', key, 'parentKey', 'parent')
mark(parent.queue)
return 0
