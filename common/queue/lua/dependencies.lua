-- dependencies: a page of what a job depends on (wire format 8.12). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id  4 kind: processed, unprocessed, ignored, failed  5 cursor: "0" at first, then that of the last answer  6 most of one page,
--       as a hint
-- Result  cursor of the next page ("0": that was the last), then per child its key and its value (nil when the kind has none)
-- Calls   2
-- Elements 2 * page + 1024; page = ARGV[6]
-- Bounds  about ARGV 6 children; Redis answers a small collection (up to 512 of them as it is configured by itself) at once.
-- Repeat  always. A child that is there from the first page to the last is answered at least once; twice is possible.

--- include lib/keys.lua
--- include lib/children.lua

local next_cursor, items = read_children(P .. ARGV[3], ARGV[4], ARGV[5], ARGV[6])
local result = { next_cursor }
for at = 1, #items do
    result[at + 1] = items[at]
end
return result
