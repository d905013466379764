-- Jobs that have ended, by the minute (wire format 5.4): `P metrics:<target>` counts them, its list `:data` has how many
-- each of the last minutes saw, newest first. Needs lib/keys.lua, lib/place.lua, `now`, `now_text`.

local note_metrics
do
    local PIECE = 2000

    -- `delta` belongs to the oldest of those minutes; the others saw none.
    local function push_minutes(list, minutes, delta)
        redis.pcall('LPUSH', list, whole(delta))
        local zeros = {}
        for at = 1, math.min(minutes - 1, PIECE) do
            zeros[at] = '0'
        end
        for left = minutes - 1, 1, -PIECE do
            redis.pcall('LPUSH', list, unpack(zeros, 1, math.min(left, PIECE)))
        end
    end

    -- `ended` (> 0) jobs ended in this call; at most `points` minutes are kept. A hash that cannot be read is left as it is:
    -- metrics are news, never a reason to leave a job half moved.
    function note_metrics(target, ended, points)
        local key = P .. 'metrics:' .. target
        local count = redis.pcall('HINCRBY', key, 'count', whole(ended))
        if type(count) ~= 'number' then
            return
        end
        local found = redis.call('HMGET', key, 'prevTS', 'prevCount')
        local since, before = tonumber(found[1] or nil), count - ended
        if not since then
            redis.call('HSET', key, 'prevTS', now_text, 'prevCount', '0')
            return
        end
        local minutes = math.min(math.floor(now / 60000) - math.floor(since / 60000), points)
        if minutes > 0 then
            push_minutes(key .. ':data', minutes, before - (tonumber(found[2] or nil) or 0))
            redis.pcall('LTRIM', key .. ':data', '0', whole(points - 1))
            redis.call('HSET', key, 'prevCount', whole(before), 'prevTS', now_text)
        end
    end
end
