-- pause: no job is fetched from now on; what waits is kept in `paused` (wire format 8.1, 15.1).
-- Both majors of BullMQ find the jobs there. A list is never renamed over another one.
--
-- KEYS  1 wait  2 paused  3 meta  4 marker  5 events
-- ARGV  1 most ids moved by this call
-- Result  ids still to move: call again while it is not 0. Until the queue is marked paused it goes on running.
-- Bounds  ARGV 1 moves.
-- Repeat  safe at any point: a call goes on where the last one ended, and one more changes nothing (but the event).
--
-- Ids left in `paused` of a running queue are the oldest: they go to the tail of `wait`, and then the whole list is renamed
-- in one step, so the order is exact. On a queue that is paused already, ids in `wait` were put there by a peer of
-- another version: they are newer than those in `paused` and go to its head.

local wait, paused, meta, marker, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local most = tonumber(ARGV[1])
local was_paused = redis.call('HEXISTS', meta, 'paused') == 1
-- Also the check that both are lists, before anything is taken out of one.
local waiting, left = redis.call('LLEN', wait), redis.call('LLEN', paused)

if was_paused then
    for _ = 1, math.min(most, waiting) do
        redis.call('RPOPLPUSH', wait, paused)
    end
    if waiting > most then
        return waiting - most
    end
else
    for _ = 1, math.min(most, left) do
        redis.call('RPUSH', wait, redis.call('LPOP', paused))
    end
    if left > most then
        return left - most
    end
    if waiting + left > 0 then
        redis.call('RENAME', wait, paused) -- `paused` is empty here, so it does not exist
    end
end

redis.call('DEL', marker)
redis.call('HSET', meta, 'paused', '1')
redis.call('XADD', events, '*', 'event', 'paused')
return 0
