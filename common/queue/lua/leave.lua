-- leave: a process ends in good order; it no longer counts as living, and leaves nothing of its own behind.
--
-- KEYS  as lib/keys.lua
-- ARGV  3 uuid
-- Result  processes that still live
-- Bounds  seven commands. Repeat: always.
-- Calls   8
-- Elements 1
-- Condition: no call of this uuid is under way, for the number of its last one is forgotten.

--- include lib/keys.lua
--- include lib/registry.lua
redis.call('DEL', private .. 'turn:' .. ARGV[3])
forget_worker(ARGV[3])
return redis.call('ZCARD', k_live)
