-- orphan_scan: jobs that are in no set of the queue: a piece of a walk through all keys of the server
-- (orphans.h). Whether the lists have them, or a worker, is asked later, of few (orphan_settle.lua). Reads only, but for the gate.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 who looks, "" nobody waits for another  4 cursor, 0 at first  5 about how many keys are looked at
--       6 only jobs that were added before that (ms)  7 how long nobody else looks (ms)
-- Result  1 the next cursor, "0": that was the last piece; "": another one looks  2 jobs looked at; then the ids
-- Bounds  one SCAN, and a command for each job (6 before Redis 6.2).
-- Calls   3 + 8 * keys; keys = ARGV[5]
-- Elements 4 * keys; keys = ARGV[5]
-- Repeat  always.
-- Failure keys of other kinds are passed over.

--- include lib/keys.lua
--- include lib/orphans.lua

local added_before = tonumber(ARGV[6])
local PARTS = { lock = true, logs = true, dependencies = true, processed = true, failed = true, unsuccessful = true }
local GROUPS = { de = true, dn = true, metrics = true }

-- The id whose job this key could be, or nil. An id with colons has two, or begins with `repeat:`; the key of a job of
-- another queue, whose prefix is that of this queue and its name, looks like the former.
local function id_of(key)
    if string.sub(key, 1, #P) ~= P then
        return nil
    end
    local id = string.sub(key, #P + 1)
    local first, last = string.match(id, '^([^:]*):.-([^:]*)$')
    if not first then
        return id ~= '' and id or nil
    elseif PARTS[last] or GROUPS[first] then
        return nil
    elseif first == 'repeat' then
        return string.match(id, '^repeat:.+:%d+$')
    end
    local middle = string.match(id, '^[^:]*:([^:]*):[^:]*$')
    local other = middle and P .. first .. ':' .. middle .. ':'
    return middle and redis.call('EXISTS', other .. 'id', other .. 'meta') == 0 and id or nil
end

local page = redis.call('SCAN', ARGV[4], 'COUNT', ARGV[5])
if not keep_gate(ARGV[3], ARGV[7]) then
    return { '' }
end
local looked, ids = 0, {}
for _, key in ipairs(page[2]) do
    local id = id_of(key)
    local found = id and redis.pcall('HMGET', key, 'timestamp', 'opts')
    if found and not found.err and found[1] and found[2] then
        looked = looked + 1
        if (tonumber(found[1]) or 0) < added_before then
            ids[#ids + 1] = id
        end
    end
end
return { page[1], looked, unpack(in_no_set(ids)) }
