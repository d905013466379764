-- resume: jobs are fetched again; what `paused` holds waits (wire format 8.1, 15.1).
--
-- KEYS  1 wait  2 paused  3 meta  4 marker  5 events  6 prioritized  7 delayed
-- ARGV  1 most ids moved by this call
-- Result  ids still to move: call again while it is not 0. Until then the queue stays as it was.
-- Bounds  ARGV 1 moves.
-- Repeat  safe at any point, as pause.
--
-- Ids in `wait` of a paused queue were put there by a peer of another version; they are newer than those in
-- `paused`: they go to its head, and then that list becomes `wait` in one step. Ids in `paused` of a running queue
-- were left behind and are the oldest: they go to the tail of `wait`.

local wait, paused, meta, marker, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prioritized, delayed = KEYS[6], KEYS[7]
local most = tonumber(ARGV[1])
local was_paused = redis.call('HEXISTS', meta, 'paused') == 1
-- Also the checks that the keys are what they should be, before anything is taken out of one.
local waiting, left = redis.call('LLEN', wait), redis.call('LLEN', paused)
local ranked = redis.call('ZCARD', prioritized)
local next_due = redis.call('ZRANGE', delayed, '0', '0', 'WITHSCORES')[2]

if was_paused then
    for _ = 1, math.min(most, waiting) do
        redis.call('RPOPLPUSH', wait, paused)
    end
    if waiting > most then
        return waiting - most
    end
    if waiting + left > 0 then
        redis.call('RENAME', paused, wait) -- `wait` is empty here, so it does not exist
    end
else
    for _ = 1, math.min(most, left) do
        redis.call('RPUSH', wait, redis.call('LPOP', paused))
    end
    if left > most then
        return left - most
    end
end

redis.call('HDEL', meta, 'paused')
if waiting + left + ranked > 0 then
    redis.call('ZADD', marker, '0', '0')
elseif next_due then
    redis.call('ZADD', marker, string.format('%.17g', tonumber(next_due) / 4096), '1')
end
redis.call('XADD', events, '*', 'event', 'resumed')
return 0
