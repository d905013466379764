-- dependency_counts: how many children of each kind a job has (wire format 8.12). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id
-- Result  processed, unprocessed, ignored, failed
-- Calls   4
-- Elements 1
-- Bounds  one job. Repeat: always.

--- include lib/keys.lua
--- include lib/children.lua

return count_children(P .. ARGV[3])
