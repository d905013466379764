-- events: what is in the stream of events after an entry, and whether some of it is gone already (wire format 11). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id of the last entry that was read; "$": none, only where the end is  4 most entries
-- Result  id of the last entry that there ever was, entries ever added ("" when the server does not count: before 7.0), entries there,
--         id of the oldest one ("" none), then the entries: {id, {field, value …}}
-- Calls   2
-- Elements entries; entries = ARGV[4]
-- Bounds  ARGV 4 entries. Repeat: always.

--- include lib/keys.lua

local info = redis.pcall('XINFO', 'STREAM', k_events)
local known = {}
for at = 1, info.err and 0 or #info, 2 do
    known[info[at]] = info[at + 1]
end
if info.err and redis.call('EXISTS', k_events) == 1 then
    return info
end
local first = known['first-entry']
local result = {
    known['last-generated-id'] or '0-0', known['entries-added'] or '', known['length'] or 0, first and first[1] or '',
}
if ARGV[3] ~= '$' and not info.err then
    local read = redis.call('XREAD', 'COUNT', ARGV[4], 'STREAMS', k_events, ARGV[3])
    for _, entry in ipairs(read and read[1] and read[1][2] or {}) do
        result[#result + 1] = entry
    end
end
return result
