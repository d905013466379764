-- Keys of the registry of processes, and their end. Needs lib/keys.lua.

local k_live, k_workers = private .. 'live', private .. 'workers'

local function worker_key(uuid)
    return private .. 'worker:' .. uuid
end

local function forget_worker(uuid)
    redis.call('DEL', worker_key(uuid))
    redis.pcall('ZREM', k_workers, uuid)
    redis.pcall('ZREM', k_live, uuid)
end
