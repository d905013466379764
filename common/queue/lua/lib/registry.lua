-- Keys of the registry of processes, and the end of a process in Redis. Needs lib/keys.lua.

local k_live, k_workers = private .. 'live', private .. 'workers'

local function worker_key(uuid)
    return private .. 'worker:' .. uuid
end

-- Also its claim of the jobs that run alone (lib/fetch.lua), so that the next process need not wait for its end.
local function forget_worker(uuid)
    local k_solo = private .. 'solo'
    redis.call('DEL', worker_key(uuid))
    if redis.pcall('GET', k_solo) == uuid then
        redis.call('DEL', k_solo)
    end
    redis.pcall('ZREM', k_workers, uuid)
    redis.pcall('ZREM', k_live, uuid)
end
