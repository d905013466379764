-- The four collections in which a job keeps its children (wire format 8.12). Reads only.

local children_kinds = { 'processed', 'unprocessed', 'ignored', 'failed' }
local children_keys = { processed = ':processed', unprocessed = ':dependencies', ignored = ':failed', failed = ':unsuccessful' }

local function count_children(job)
    return {
        redis.call('HLEN', job .. ':processed'), redis.call('SCARD', job .. ':dependencies'), redis.call('HLEN', job .. ':failed'),
        redis.call('ZCARD', job .. ':unsuccessful'),
    }
end

-- Cursor of the next page, and a list: key, value (false when the kind has none), key, value …
local function read_children(job, kind, cursor, count)
    local key = job .. children_keys[kind]
    if kind == 'processed' or kind == 'ignored' then
        local page = redis.call('HSCAN', key, cursor, 'COUNT', count)
        return page[1], page[2]
    end
    local found, next_cursor
    if kind == 'unprocessed' then
        local page = redis.call('SSCAN', key, cursor, 'COUNT', count)
        next_cursor, found = page[1], page[2]
    else
        local first = tonumber(cursor)
        found = redis.call('ZRANGE', key, cursor, string.format('%.0f', first + tonumber(count) - 1))
        next_cursor = #found > 0 and first + #found < redis.call('ZCARD', key) and string.format('%.0f', first + #found) or '0'
    end
    local items = {}
    for _, child in ipairs(found) do
        items[#items + 1] = child
        items[#items + 1] = false
    end
    return next_cursor, items
end
