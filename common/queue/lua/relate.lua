-- relate: adds jobs that have to do with others: children of a job that is there, and jobs with a deduplication id, in order
-- (wire format 3.1 to 3.8). Ordinary jobs may stand among them. Those alone go through add.lua, which is cheaper.
--
-- KEYS, ARGV 1-2  see lib/keys.lua
-- ARGV  3 number of jobs, 1 to 500
--       then 14 per job: place ("w" wait, "l" wait, runs next, "d" delayed, "p" prioritized), id ("" automatic), name,
--       data (JSON), opts (JSON), timestamp (ms), delay (ms), priority; the parent: its queue ("<prefix>:<queue>"; "" none),
--       its id, `parent` as the job's hash has it (JSON); deduplication: its id ("" none), ttl (ms; 0 none), letters of
--       "e" extend, "r" replace, "k" keepLastIfActive, "s" reschedule
-- Result  flat array, 2 per job: 0 and its id; 1 and its id when that existed; 2 or 3 and the id of the job that has its
--         deduplication id (3: it is kept as the next one); -5 and why: no such parent; -7 and why: it is the child of
--         another parent, which is there; -1 and why it could not be stored. A refused job uses up no number with -5, one
--         with -1 or -7.
-- Bounds  500 jobs; usual are 8 to 12 commands each.
-- Calls   25 + 42 * jobs; jobs = ARGV[3]
-- Elements 10000
-- Repeat  a job with an id of its own may be added again (it comes back as 1); a deduplicated one as well, as long as its
--         deduplication lasts; others are new jobs each time.
-- Failure the whole call is refused before its first write when a key of the queue is of a wrong kind, or by a full
--         server: no write that frees comes first. What is wrong with one job's keys is told for that job.

--- include lib/keys.lua
--- include lib/kinds.lua

local now = 0 -- ms: the timestamp of the job that is being added
--- include lib/number.lua
--- include lib/place.lua
--- include lib/parent.lua
--- include lib/store.lua
--- include lib/dedup_add.lua

local FIELDS = 14

local problem = store_problem(own)
if problem then
    return redis.error_reply('WRONGTYPE ' .. problem)
end

local function read_job(at)
    local job = { queue = own, place = ARGV[at], id = ARGV[at + 1], name = ARGV[at + 2], data = ARGV[at + 3],
        opts = ARGV[at + 4], timestamp = ARGV[at + 5], delay = ARGV[at + 6], priority = ARGV[at + 7] }
    if ARGV[at + 8] ~= '' then
        job.parent, job.parent_text = parent_at(ARGV[at + 8], ARGV[at + 9]), ARGV[at + 10]
    end
    if ARGV[at + 11] ~= '' then
        local letters = ARGV[at + 13]
        job.dedup_id = ARGV[at + 11]
        job.dedup = { id = job.dedup_id, ttl = tonumber(ARGV[at + 12]), extend = string.find(letters, 'e'),
            replace = string.find(letters, 'r'), keep_last = string.find(letters, 'k'),
            reschedule = string.find(letters, 's') }
    end
    return job
end

-- 1, -1 or -7 and its text when the job is not stored because of what its key holds.
local function look_at_key(job, number)
    if job.id ~= '' then
        return look_at_namesake(job, P .. job.id)
    end
    job.id = number
    local kind = redis.call('TYPE', P .. number).ok
    if kind ~= 'none' and kind ~= 'hash' then -- a hash is written over, as stock does
        return -1, P .. number .. ' holds a ' .. kind .. ', not a hash'
    end
end

-- Code and text of the result.
local function add_job(job)
    local parent = job.parent
    local wrong = job.dedup and dedup_problem(job.dedup) or parent and parent_problem(parent)
    if wrong then
        return -1, wrong
    end
    if parent and redis.call('EXISTS', parent.key) == 0 then
        return -5, 'there is no parent ' .. quoted(parent.key)
    end
    local code, text = look_at_key(job, next_number(own))
    if code == 1 then
        keep_namesake(job, P .. job.id)
        return 1, job.id
    elseif code then
        return code, text
    end
    if job.dedup then
        local owner, kept = dedup_admit(job)
        if owner then
            return kept and 3 or 2, owner
        end
    end
    store_job(job)
    return 0, job.id
end

local result = {}
for index = 0, tonumber(ARGV[3]) - 1 do
    local job = read_job(4 + index * FIELDS)
    now = tonumber(job.timestamp)
    local code, text = add_job(job)
    result[#result + 1] = code
    result[#result + 1] = text
    if job.parent and job.parent.queue ~= own then
        mark(job.parent.queue)
        job.parent.queue.work, job.parent.queue.due = nil, nil
    end
end
finish_queue(own)
return result
