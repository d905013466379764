-- state: where a job is (wire format 8.10). Reads only.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 id
-- Result  waiting, active, delayed, prioritized, waiting-children, completed, failed; unknown: nowhere, whether it has a hash or not
-- Calls   18
-- Elements 100000
-- Bounds  see lib/state.lua. Repeat: always.

--- include lib/keys.lua
--- include lib/state.lua

return state_of(ARGV[3])
