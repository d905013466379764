-- pause: no job is fetched from now on; what waits is kept in `paused` (wire format 8.1, 15.1).
-- Both majors of BullMQ find the jobs there. A list is never renamed over another one.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 most ids moved by this call
-- Result  ids still to move: call again while it is not 0. Until the queue is marked paused it goes on running.
-- Bounds  ARGV 3 moves.
-- Calls   14 + 2 * moves; moves = ARGV[3]
-- Elements 1
-- Repeat  safe at any point: a call goes on where the last one ended, and one more changes nothing (but the event).
--
-- Ids left in `paused` of a running queue are the oldest: they go to the tail of `wait`, and then the whole list is renamed
-- in one step, so the order is exact. On a queue that is paused already, ids in `wait` were put there by a peer of
-- another version: they are newer than those in `paused` and go to its head.

--- include lib/keys.lua
--- include lib/kinds.lua

local wrong = wrong_kind({
    k_wait, 'list', k_paused, 'list', k_meta, 'hash', k_events, 'stream',
})
if wrong then
    return wrong
end
local most = tonumber(ARGV[3])
local was_paused = redis.call('HEXISTS', k_meta, 'paused') == 1
local waiting, left = redis.call('LLEN', k_wait), redis.call('LLEN', k_paused)

if was_paused then
    for _ = 1, math.min(most, waiting) do
        redis.call('RPOPLPUSH', k_wait, k_paused)
    end
    if waiting > most then
        return waiting - most
    end
else
    for _ = 1, math.min(most, left) do
        redis.call('RPUSH', k_wait, redis.call('LPOP', k_paused))
    end
    if left > most then
        return left - most
    end
    if waiting + left > 0 then
        redis.call('RENAME', k_wait, k_paused) -- `paused` is empty here, so it does not exist
    end
end

redis.call('DEL', k_marker)
redis.call('HSET', k_meta, 'paused', '1')
redis.call('XADD', k_events, '*', 'event', 'paused')
return 0
