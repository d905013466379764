-- This queue as lib/place.lua keeps every queue, for scripts that seldom need more of it. Needs lib/keys.lua.

local own = {
    prefix = P, wait = k_wait, paused_list = k_paused, active = k_active, prioritized = k_prioritized,
    delayed = k_delayed, waiting_children = k_waiting_children, marker = k_marker, pc = k_pc, meta = k_meta,
    events = k_events,
}
local queues = { [P] = own } -- those that this call has to do with, by prefix

-- A number as Redis shall read it: whole and without an exponent.
local function whole(number)
    return string.format('%.0f', number)
end
