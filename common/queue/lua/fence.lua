-- fence: keeps one process from fetching for a day, and nothing else. For a process that may be dead and could not be seen
-- so: what it holds is left to the end of its locks.
--
-- KEYS  as lib/keys.lua
-- ARGV  3 uuid
-- Result  0
-- Bounds  two commands. Repeat: always; the day begins anew.
-- Calls   2
-- Elements 1

--- include lib/keys.lua
--- include lib/fence.lua
set_fence(ARGV[3])
return 0
