-- resume: jobs are fetched again; what `paused` holds waits (wire format 8.1, 15.1).
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 most ids moved by this call
-- Result  ids still to move: call again while it is not 0. Until then the queue stays as it was.
-- Bounds  ARGV 3 moves.
-- Calls   18 + 2 * moves; moves = ARGV[3]
-- Elements 1
-- Repeat  safe at any point, as pause.
--
-- Ids in `wait` of a paused queue were put there by a peer of another version; they are newer than those in
-- `paused`: they go to its head, and then that list becomes `wait` in one step. Ids in `paused` of a running queue
-- were left behind and are the oldest: they go to the tail of `wait`.

--- include lib/keys.lua
--- include lib/kinds.lua

local wrong = wrong_kind({
    k_wait, 'list', k_paused, 'list', k_meta, 'hash', k_events, 'stream',
    k_marker, 'zset', k_prioritized, 'zset', k_delayed, 'zset',
})
if wrong then
    return wrong
end
local most = tonumber(ARGV[3])
local was_paused = redis.call('HEXISTS', k_meta, 'paused') == 1
local waiting, left = redis.call('LLEN', k_wait), redis.call('LLEN', k_paused)
local moved = left + (was_paused and waiting or 0)
local ranked = redis.call('ZCARD', k_prioritized)
local next_due = redis.call('ZRANGE', k_delayed, '0', '0', 'WITHSCORES')[2]

if was_paused then
    for _ = 1, math.min(most, waiting) do
        redis.call('RPOPLPUSH', k_wait, k_paused)
    end
    if waiting > most then
        return waiting - most
    end
    if moved > 0 then
        redis.call('RENAME', k_paused, k_wait) -- `wait` is empty here, so it does not exist
    end
else
    for _ = 1, math.min(most, left) do
        redis.call('RPUSH', k_wait, redis.call('LPOP', k_paused))
    end
    if left > most then
        return left - most
    end
end

redis.call('HDEL', k_meta, 'paused')
if moved + ranked > 0 then
    redis.call('ZADD', k_marker, '0', '0')
elseif next_due then
    redis.call('ZADD', k_marker, string.format('%.17g', tonumber(next_due) / 4096), '1')
end
redis.call('XADD', k_events, '*', 'event', 'resumed')
return 0
