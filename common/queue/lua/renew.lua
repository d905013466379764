-- renew: keeps the locks of all running jobs of one process, its place among the living, and its row in the registry
-- (wire format 7, 14.2).
--
-- KEYS  as lib/keys.lua
-- ARGV  3 uuid  4 lock (ms)  5 how long a process counts as living after its last beat (ms)
--       6 number of jobs, at most 1000; then for each: id, token, ats of its fetch
--       then field and value of each field of its row; none: it is not in the registry
-- Result  1 living processes, this one included  2 a letter per job, in order: E extended; R relocked (the
--         lock had expired, but nobody has taken the job since: the same token is set again); L lost
--         3 1 when the process is fenced, else 0: then all are lost, and nothing was written
--         4 how many jobs of the queue wait (lib/waiting.lua), -1 when that cannot be told  5 timestamp (ms, text) of the
--         one that is next to run, '' when none is
-- Bounds  2 commands a job, 4 for one without a lock (LPOS is linear in `active`); 5 for the row;
--         7 for what waits.
-- Calls   20 + 4 * jobs; jobs = ARGV[6]
-- Elements 500
-- Linear  LPOS active
-- Repeat  always safe: it only prolongs what is ours. The row counts a beat more.
-- Failure nothing here depends on what a job's keys hold. The first write frees, so that locks are kept on a
--         server that has no memory left.

--- include lib/keys.lua
--- include lib/fence.lua
--- include lib/registry.lua
--- include lib/waiting.lua
local uuid, lock_ms, living_ms, count = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local FIRST, STRIDE = 7, 3
local PIECE = 500

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local ROW_TTL_MS = '86400000' -- longer than anybody may be cut off and come back

local function whole(number)
    return string.format('%.0f', number)
end

-- The job is ours again when nobody can have run it in between: it never left `active`, and it was
-- not fetched since.
local function is_untouched(id, ats)
    if redis.call('EXISTS', P .. id .. ':lock') == 1 or not redis.call('LPOS', k_active, id, 'RANK', '-1') then
        return false
    end
    return redis.pcall('HGET', P .. id, 'ats') == ats
end

if is_fenced(uuid) then
    return { redis.pcall('ZCARD', k_live), string.rep('L', count), 1, -1, '' }
end
redis.call('ZREMRANGEBYSCORE', k_live, '-inf', whole(now - living_ms))
redis.call('ZADD', k_live, whole(now), uuid)
redis.call('PEXPIRE', k_live, whole(living_ms * 4))

local answers, kept = {}, {}
local function renew_one(at, lock)
    local id, token = ARGV[at], ARGV[at + 1]
    local key = P .. id .. ':lock'
    if lock == token then
        redis.call('PEXPIRE', key, lock_ms)
        answers[#answers + 1] = 'E'
    elseif not lock and is_untouched(id, ARGV[at + 2]) then
        redis.call('SET', key, token, 'PX', lock_ms)
        answers[#answers + 1] = 'R'
    else
        answers[#answers + 1] = 'L'
        return
    end
    kept[#kept + 1] = id
end

for first = 0, count - 1, PIECE do
    local last, keys = math.min(first + PIECE, count) - 1, {}
    for i = first, last do
        keys[#keys + 1] = P .. ARGV[FIRST + i * STRIDE] .. ':lock'
    end
    local locks = redis.call('MGET', unpack(keys))
    kept = {}
    for i = first, last do
        renew_one(FIRST + i * STRIDE, locks[i - first + 1])
    end
    if #kept > 0 then
        redis.pcall('SREM', k_stalled, unpack(kept))
    end
end

-- The beat is counted, so that others tell a process that stands still from one whose clock differs from Redis'.
local function write_row(key)
    redis.call('HSET', key, 'beat_at_ms', whole(now), unpack(ARGV, FIRST + count * STRIDE))
    redis.call('HINCRBY', key, 'beat', 1)
    redis.call('ZADD', k_workers, 'NX', whole(now), uuid)
end

if #ARGV >= FIRST + count * STRIDE then
    local key = worker_key(uuid)
    if not pcall(write_row, key) then -- somebody has written there: it is ours alone
        redis.call('DEL', key)
        if redis.call('TYPE', k_workers).ok ~= 'zset' then
            redis.call('DEL', k_workers)
        end
        write_row(key)
    end
    redis.call('PEXPIRE', key, ROW_TTL_MS)
    redis.call('PEXPIRE', k_workers, ROW_TTL_MS)
end

-- For people only: a key of a wrong kind must not cost a lock.
local seen, wait, paused, prioritized, timestamp = pcall(look_at_waiting)
return { redis.call('ZCARD', k_live), table.concat(answers), 0, seen and wait + paused + prioritized or -1,
    seen and timestamp or '' }
