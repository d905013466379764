-- What waits: the one definition behind `drover status`, the scoreboard and the status line of the service. Reads only;
-- at most 7 commands. Needs lib/keys.lua.

-- Returns how many jobs are in wait, in paused (where stock clients of version 5 keep those of a paused queue) and in
-- prioritized, and the timestamp (ms, text) of the job that is next to run ('' when none is, or its hash is not there).
local function look_at_waiting()
    local next_id = redis.call('LINDEX', k_wait, '-1') or redis.call('LINDEX', k_paused, '-1')
        or redis.call('ZRANGE', k_prioritized, '0', '0')[1]
    local timestamp = next_id and redis.pcall('HGET', P .. next_id, 'timestamp')
    return redis.call('LLEN', k_wait), redis.call('LLEN', k_paused), redis.call('ZCARD', k_prioritized),
        type(timestamp) == 'string' and timestamp or ''
end
