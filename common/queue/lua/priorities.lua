-- priorities: how many jobs wait with each of some priorities (wire format 8.10). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3… priorities: whole numbers; 0: without one
-- Result  the numbers of jobs, in their order
-- Calls   2 * priorities; priorities = 100
-- Elements 1
-- Bounds  a hundred priorities. Repeat: always.
--
-- Jobs without a priority are in `wait` or `paused`: both are counted, for each version leaves some in either on a paused queue.

--- include lib/keys.lua

local SPAN = 4294967296
local counts = {}
for at = 3, #ARGV do
    local priority = tonumber(ARGV[at])
    if priority == 0 then
        counts[at - 2] = redis.call('LLEN', k_wait) + redis.call('LLEN', k_paused)
    else
        counts[at - 2] = redis.call('ZCOUNT', k_prioritized, string.format('%.0f', priority * SPAN),
            string.format('%.0f', (priority + 1) * SPAN - 1))
    end
end
return counts
