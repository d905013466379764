-- rate_limit: the present window of a queue's rate limit (wire format 4.4): begins one, ends it, or tells how long it lasts.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 "begin", "end" or "ttl"  4 begin: how long (ms); ttl: most jobs of the caller's own limiter, 0: the queue's
-- Result  begin: 0. end: 1 when there was one, else 0. ttl: ms until the next job may start, 0: now; when nobody says how many
--         jobs a window has, its PTTL (-2: there is none, -1: it has no end)
-- Bounds  three commands. Repeat: always.
-- Calls   3
-- Elements 1
-- Failure a key of another kind: begin replaces it, end removes it.

--- include lib/keys.lua

local FULL = '9007199254740991'

if ARGV[3] == 'begin' then
    redis.call('SET', k_limiter, FULL, 'PX', ARGV[4])
    return 0
elseif ARGV[3] == 'end' then
    return redis.call('DEL', k_limiter)
end
local max = tonumber(ARGV[4])
if max == 0 then
    max = tonumber(redis.call('HGET', k_meta, 'max') or nil)
end
if max then
    local used = redis.pcall('GET', k_limiter)
    used = type(used) == 'string' and tonumber(used) or 0
    return used >= max and math.max(redis.call('PTTL', k_limiter), 0) or 0
end
return redis.call('PTTL', k_limiter)
