-- A look at the types of keys before the first write of a script, so that a key that holds something else
-- refuses the whole call instead of leaving it half done.

-- `wanted` is a list of { key, type }; a missing key is of every type. Returns an error reply, or nil.
local function wrong_kind(wanted)
    for _, one in ipairs(wanted) do
        local found = redis.call('TYPE', one[1]).ok
        if found ~= 'none' and found ~= one[2] then
            return redis.error_reply('WRONGTYPE ' .. one[1] .. ' holds a ' .. found .. ', not a ' .. one[2])
        end
    end
end
