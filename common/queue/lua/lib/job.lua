-- A job's fields as a worker needs them: the row that turn.lua and adopt.lua answer for each job. Needs lib/number.lua.
--
-- Row  1 name  2 data  3 opts  4 timestamp  5 priority  6 atm  7 ats  8 stc  9 defa  10 stacktrace  11 rjk
--      12 parentKey  13 gbc (nil when absent)  14 id  15 token of its lock (adopt.lua only)

local ROW_DEFA, ROW_GBC, ROW_ID, ROW_TOKEN = 9, 13, 14, 15

-- The row without id and token, and what forbids to run the job, or nil. The fields of a key that is no hash
-- are an error table.
local function read_row(key)
    local found = redis.pcall('HMGET', key, 'name', 'data', 'opts', 'timestamp', 'priority', 'atm', 'ats', 'stc',
        'defa', 'stacktrace', 'rjk', 'parentKey', 'gbc')
    if found.err then
        return found, key .. ' is not a hash'
    end
    local ok = is_whole(found[6]) and is_whole(found[7]) and is_whole(found[8]) and is_whole(found[5])
        and (not found[4] or tonumber(found[4]))
    if not ok then
        return found, whole_problem('atm', found[6]) or whole_problem('ats', found[7])
            or whole_problem('stc', found[8]) or whole_problem('priority', found[5])
            or 'timestamp is not a number: ' .. quoted(found[4])
    end
    if found[ROW_GBC] then -- drover's own: damaged, it says nothing about the job
        found[ROW_GBC] = string.format('%.0f', math.max(lenient(found[ROW_GBC]), 0))
    end
    return found
end

-- No such job, or a marker of an old version in the list.
local function is_ghost(id, key, row)
    return not row[1] and not row[2] and (string.sub(id, 1, 2) == '0:' or redis.call('EXISTS', key) == 0)
end
