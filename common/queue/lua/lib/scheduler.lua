-- Needs lib/keys.lua.

-- Whether `rjk` (a field of a job) names a job scheduler that is still there: then its job must not end for good, or
-- its chain would end with it (wire format 7).
local function is_scheduled(rjk)
    if type(rjk) ~= 'string' then
        return false
    end
    return redis.call('EXISTS', P .. 'repeat:' .. rjk) == 1
        or type(redis.pcall('ZSCORE', P .. 'repeat', rjk)) == 'string'
end
