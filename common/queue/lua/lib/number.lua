-- Numbers in job hashes are decimal text that anybody may have damaged.

local function quoted(text)
    return '"' .. string.gsub(string.sub(text, 1, 64), '[%c\128-\255]', '?') .. '"'
end

local known_whole = { [false] = true, ['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true }

-- Absent, or a whole number below 2^53 or so, as HINCRBY reads it.
local function is_whole(text)
    if known_whole[text] then
        return true
    end
    if #text <= 16 and string.find(text, '^%-?%d+$') then
        known_whole[text] = true
        return true
    end
    return false
end

-- nil, or what is wrong.
local function whole_problem(name, text)
    if not is_whole(text) then
        return name .. ' is not a whole number: ' .. quoted(text)
    end
end

-- A whole number from a hash of ours or of a peer; what is not one counts as 0.
local function lenient(text)
    return text and is_whole(text) and tonumber(text) or 0
end

local following = { [false] = '1', ['0'] = '1', ['1'] = '2', ['2'] = '3' }

-- text: is_whole. The next number, as text.
local function plus_one(text)
    local result = following[text]
    if not result then
        result = string.format('%.0f', tonumber(text) + 1)
        following[text] = result
    end
    return result
end
