-- A look at the types of keys before the first write of a script, so that a key that holds something else
-- refuses the whole call, or one job of it, instead of leaving it half done.

-- `wanted` is a flat list: key, type, key, type … A missing key is of every type. nil, or what is wrong.
local function kinds_problem(wanted)
    for at = 1, #wanted, 2 do
        local found = redis.call('TYPE', wanted[at]).ok
        if found ~= 'none' and found ~= wanted[at + 1] then
            return wanted[at] .. ' holds a ' .. found .. ', not a ' .. wanted[at + 1]
        end
    end
end

-- The same as the error reply that refuses the whole call.
local function wrong_kind(wanted)
    local problem = kinds_problem(wanted)
    return problem and redis.error_reply('WRONGTYPE ' .. problem)
end
