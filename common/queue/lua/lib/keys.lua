-- The arguments that every script gets first. KEYS are all keys of the queue, in the order of
-- `enum queue_key` (common/queue/queue_internal.h); ARGV[1] is their common prefix with its colon,
-- for the keys of single jobs; ARGV[2] is the prefix of drover's own keys, which lie in the same
-- hash slot. A script's own arguments start at ARGV[3].
local k_wait, k_paused, k_active, k_prioritized, k_delayed, k_waiting_children = KEYS[1], KEYS[2],
    KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local k_completed, k_failed, k_marker, k_id, k_pc, k_meta = KEYS[7], KEYS[8], KEYS[9], KEYS[10],
    KEYS[11], KEYS[12]
local k_events, k_stalled, k_stalled_check, k_limiter = KEYS[13], KEYS[14], KEYS[15], KEYS[16]
local P, private = ARGV[1], ARGV[2]
