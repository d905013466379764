-- settings: what holds for a whole queue (wire format 1.4, 4.4): sets or removes fields of its `meta`.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 "set": then fields and values; "remove": then fields
-- Result  0
-- Bounds  one command. Repeat: always.
-- Calls   1
-- Elements 2

--- include lib/keys.lua

redis.call(ARGV[3] == 'set' and 'HSET' or 'HDEL', k_meta, unpack(ARGV, 4))
return 0
