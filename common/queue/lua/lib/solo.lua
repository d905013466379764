-- The claim on jobs that must run alone (lib/fetch.lua says what it is for). Needs turn.lua's `k_solo`, and `claimed`, `taken`.

local CLAIM_MS = '60000'

local function claim_is_ours()
    local owner = redis.pcall('GET', k_solo)
    if type(owner) == 'table' then -- not a text: nobody's, and it would never end
        redis.call('DEL', k_solo)
    end
    return owner == uuid
end

-- After an ordinary fetch that passed jobs over.
local function claim_solo()
    claimed = redis.call('SET', k_solo, uuid, 'NX', 'PX', CLAIM_MS) and true or claim_is_ours()
end

-- After a fetch that was for them: another one may wait, or there was none.
local function use_claim()
    if #taken == 0 then
        if claim_is_ours() then
            redis.call('DEL', k_solo)
        end
    else
        claim_solo()
        if claimed then
            redis.call('PEXPIRE', k_solo, CLAIM_MS)
        end
    end
end
