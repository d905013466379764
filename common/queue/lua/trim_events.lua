-- trim_events: keeps about the newest events of a queue (wire format 8.15). Called again until nothing was removed.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 how many
-- Result  events removed
-- Bounds  one command. Redis (6.2 and newer) drops at most 100 nodes of the stream, of about a hundred events each, a time.
-- Calls   1
-- Elements 10000
-- Repeat  always.

--- include lib/keys.lua

return redis.call('XTRIM', k_events, 'MAXLEN', '~', ARGV[3])
