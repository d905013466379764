-- children: keys of children of a job, a page of one kind (wire format 8.12). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 key of the job  4 kind: "processed", "failed", "unsuccessful", "dependencies"  5 cursor, 0 at first
--       6 about how many
-- Result  the cursor of the next page, "0": there is none; then the keys. A child that is there from the first page to the last
--         is answered at least once.
-- Bounds  one page.
-- Calls   1
-- Elements 4 * page; page = ARGV[6]
-- Repeat  always.
-- Failure a key that holds something else has no children.

local SCANS = { processed = 'HSCAN', failed = 'HSCAN', unsuccessful = 'ZSCAN', dependencies = 'SSCAN' }

local page = redis.pcall(SCANS[ARGV[4]], ARGV[3] .. ':' .. ARGV[4], ARGV[5], 'COUNT', ARGV[6])
if page.err then
    return { '0' }
end
local result = { page[1] }
for at = 1, #page[2], ARGV[4] == 'dependencies' and 1 or 2 do
    result[#result + 1] = page[2][at]
end
return result
