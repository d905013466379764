-- Finished jobs that are not kept (wire format 5.2, 5.3). Needs lib/parent.lua, `now`.

local TRIM_MAX = 1000
local trim_left = TRIM_MAX -- by all rules of this call
local gone_keys = {} -- deleted together at the end of the settling
local rules, rules_seen = {}, {} -- target, keep, target, keep...

-- A job was put into `target` under this rule: it is applied once, when all are there.
local function note_rule(target, keep)
    local name = target .. ' ' .. keep
    if not rules_seen[name] then
        rules_seen[name] = true
        rules[#rules + 1] = target
        rules[#rules + 1] = keep
    end
end

local function parts_of(key)
    return key, key .. ':logs', key .. ':dependencies', key .. ':processed', key .. ':failed', key .. ':unsuccessful'
end

-- Runs command for all of list, in bounded pieces.
local function in_pieces(command, key, list)
    for first = 1, #list, 2000 do
        local last = math.min(first + 1999, #list)
        if key then
            redis.call(command, key, unpack(list, first, last))
        else
            redis.call(command, unpack(list, first, last))
        end
    end
end

-- Not kept: the job disappears with all its parts.
local function forget(key, parent)
    if parent then
        parent_child_removed(parent, key)
    end
    local size = #gone_keys
    gone_keys[size + 1], gone_keys[size + 2], gone_keys[size + 3], gone_keys[size + 4], gone_keys[size + 5],
        gone_keys[size + 6] = parts_of(key)
end

-- Removes finished jobs, oldest first, with what hangs on them.
local function trim(target, removed)
    trim_left = trim_left - #removed
    for _, id in ipairs(removed) do
        local key = P .. id
        local parent_key = redis.pcall('HGET', key, 'parentKey')
        local parent = type(parent_key) == 'string' and parent_of(parent_key) or nil
        if parent and not parent_problem(parent) then
            parent_child_removed(parent, key)
        end
        forget(key)
    end
    in_pieces('ZREM', target, removed)
end

-- One keep rule over the whole of `target` (5.3). More than TRIM_MAX are left to later calls.
local function apply_rule(target, keep)
    local most, age, limit = string.match(keep, '^(%S+) (%S+) (%S+)$')
    most, age, limit = tonumber(most), tonumber(age), tonumber(limit)
    if age and age >= 0 and trim_left > 0 then
        local cut = string.format('%.0f', math.floor(now - age * 1000))
        trim(target, redis.call('ZREVRANGEBYSCORE', target, cut, '-inf', 'LIMIT', '0',
            math.min(limit or TRIM_MAX, trim_left)))
    end
    if most and most > 0 and trim_left > 0 then
        local extra = redis.call('ZCARD', target) - most
        if extra > 0 then
            trim(target, redis.call('ZRANGE', target, '0', math.min(extra, trim_left) - 1))
        end
    end
end

local function apply_rules()
    for at = 1, #rules, 2 do
        apply_rule(rules[at], rules[at + 1])
    end
    in_pieces('DEL', nil, gone_keys)
end
