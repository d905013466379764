-- priority: changes the priority of a job, now and for every later move (wire format 8.8).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id  4 priority  5 1: before those of that priority, else 0: behind them
-- Result  0, or -1 when the job is gone. No event, as in stock clients.
-- Bounds  one job; looking for it in `wait` and `paused` is linear in their length.
-- Calls   26
-- Elements 1000
-- Linear  LREM paused, LREM wait
-- Repeat  safe: the job goes to the end of its priority once more.

--- include lib/keys.lua
local id, priority, front = ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local now = 0
--- include lib/kinds.lua
--- include lib/place.lua

local key = P .. id
local problem = queue_problem(own) or kinds_problem({ key, 'hash' })
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end
if redis.call('EXISTS', key) == 0 then
    return -1
end
-- On a paused queue a peer of BullMQ 6 may have put it into `wait`.
if redis.call('ZREM', k_prioritized, id) == 1 or redis.call('LREM', k_wait, '-1', id) == 1
    or redis.call('LREM', k_paused, '-1', id) == 1 then
    put_waiting(own, id, priority, front)
    own.work = not (front and priority > 0) -- as stock clients: it was there before
    mark(own)
end
redis.call('HSET', key, 'priority', whole(priority))
return 0
