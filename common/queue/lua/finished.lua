-- finished: whether a job has ended, and with what (wire format 8.10). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id
-- Result  {-1} no such job, {0} not yet, {1, returnvalue}, {2, failedReason}
-- Calls   4
-- Elements 1
-- Bounds  one job. Repeat: always.

--- include lib/keys.lua

local id = ARGV[3]
local job = P .. id
if redis.call('EXISTS', job) == 0 then
    return { -1 }
end
if redis.call('ZSCORE', k_completed, id) then
    return { 1, redis.call('HGET', job, 'returnvalue') or '' }
end
if redis.call('ZSCORE', k_failed, id) then
    return { 2, redis.call('HGET', job, 'failedReason') or '' }
end
return { 0 }
