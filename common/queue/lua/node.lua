-- node: one node of a tree of jobs: the job, how many children it has, and the keys of some (wire format 10). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id  4 most children of each kind
-- Result  empty when there is no such job; else name, state, {processed, unprocessed, ignored, failed} and four arrays of keys
-- Calls   24 + 4 * 25
-- Elements 2 * children + 1024; children = ARGV[4]
-- Bounds  4 * ARGV 4 children; looking for the job in lists: see lib/state.lua. Repeat: always.

--- include lib/keys.lua
--- include lib/state.lua
--- include lib/children.lua
local PAGES = 20 -- SSCAN and HSCAN may answer less than they were asked for

local id, most = ARGV[3], tonumber(ARGV[4])
local job = P .. id
if redis.call('TYPE', job).ok ~= 'hash' then
    return {}
end

local function some_children(kind)
    local keys, cursor, pages = {}, '0', 0
    repeat
        local items
        cursor, items = read_children(job, kind, cursor, ARGV[4])
        for at = 1, #items, 2 do
            if #keys < most then
                keys[#keys + 1] = items[at]
            end
        end
        pages = pages + 1
    until cursor == '0' or #keys >= most or pages == PAGES
    return keys
end

local counts = count_children(job)
local result = { redis.call('HGET', job, 'name') or '', state_of(id), counts }
for at, kind in ipairs(children_kinds) do
    result[3 + at] = counts[at] > 0 and some_children(kind) or {}
end
return result
