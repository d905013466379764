-- The fence keeps a process that was declared dead from getting jobs: calls of it may still be on their way, and it may
-- only have been paused. A day is longer than any of that. Needs lib/keys.lua.

local FENCE_S = '86400'

local function fence_key(uuid)
    return private .. 'fence:' .. uuid
end

-- The DEL comes first so that this works on a server that has no memory left.
local function set_fence(uuid)
    redis.call('DEL', fence_key(uuid))
    redis.call('SET', fence_key(uuid), '1', 'EX', FENCE_S)
end

local function is_fenced(uuid)
    return redis.call('EXISTS', fence_key(uuid)) == 1
end
