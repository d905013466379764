-- flow: adds a tree of jobs over several queues, all of it or nothing (wire format 10, 15.7).
--
-- KEYS, ARGV 1-2  see lib/keys.lua; then `id` of each queue of the tree, so that a cluster refuses queues of different slots
-- ARGV  3 now (ms)
--       4 number of queues, 1 to 100
--       5 number of jobs, 1 to 1000
--       then the prefix of each queue ("<prefix>:<queue>:")
--       then 12 per job, a parent before its children: number of its queue (1 the first), place (as in relate.lua, or "c": it has children), id, name, data (JSON), opts (JSON), timestamp (ms), delay (ms),
--       priority; the parent, in the tree or there already: its queue ("<prefix>:<queue>"; "" none), its id, `parent` as the
--       job's hash has it (JSON)
-- Result  flat array, 2 per job: 0 and its id; 1 and its id when that existed (it stays as it is, and is a child now).
--         When one can't be added, nothing is: then -5, -7 or -1 and why, as in relate.lua, for each such job, and 0 and ""
--         for the others.
-- Bounds  1000 jobs in 100 queues; 10 to 12 commands a job are usual: about 20 ms for the largest tree.
-- Calls   30 + 25 * queues + 32 * jobs; queues = ARGV[4], jobs = ARGV[5]
-- Elements 1
-- Repeat  with the same ids: it comes back as 1 for each.
-- Failure everything is looked at before the first write, which a full server refuses: no write that frees comes first.

--- include lib/keys.lua
--- include lib/kinds.lua

local now = tonumber(ARGV[3])
--- include lib/number.lua
--- include lib/place.lua
--- include lib/parent.lua
--- include lib/store.lua

local FIELDS = 12

-- 1. What is wanted.
local queues_count = tonumber(ARGV[4])
local tree_queues = {}
for index = 1, queues_count do
    tree_queues[index] = queue_at(ARGV[5 + index])
end
local jobs = {}
for index = 1, tonumber(ARGV[5]) do
    local at = 6 + queues_count + (index - 1) * FIELDS
    local job = { queue = tree_queues[tonumber(ARGV[at])], place = ARGV[at + 1], id = ARGV[at + 2], name = ARGV[at + 3],
        data = ARGV[at + 4], opts = ARGV[at + 5], timestamp = ARGV[at + 6], delay = ARGV[at + 7],
        priority = ARGV[at + 8] }
    job.key = job.queue.prefix .. job.id
    if ARGV[at + 9] ~= '' then
        job.parent, job.parent_text = parent_at(ARGV[at + 9], ARGV[at + 10]), ARGV[at + 11]
    end
    jobs[index] = job
end

-- 2. Look before the first write.
for _, queue in ipairs(tree_queues) do
    local problem = store_problem(queue)
    if problem then
        return redis.error_reply('WRONGTYPE ' .. problem)
    end
end

local planned = {} -- by key: the job of the tree that comes first with it

-- Nothing, or code and text of a job that can't be added.
local function look_at_job(job)
    local parent, before = job.parent, planned[job.key]
    planned[job.key] = before or job -- also one that is refused: its children are not to blame
    local problem = parent and parent_problem(parent)
    if problem then
        return -1, problem
    end
    if parent and not planned[parent.key] and redis.call('EXISTS', parent.key) == 0 then
        return -5, 'there is no parent ' .. quoted(parent.key)
    end
    if before and not (before.parent and parent and before.parent.key == parent.key) then
        return -7, job.key .. ' is in the tree twice, not as children of one parent'
    end
    local code, text = look_at_namesake(job, job.key)
    if code and code < 0 then
        return code, text
    end
end

local result, refused = {}, false
for _, job in ipairs(jobs) do
    local code, text = look_at_job(job)
    refused = refused or code ~= nil
    result[#result + 1] = code or 0
    result[#result + 1] = text or ''
end
if refused then
    return result
end

-- 3. Store. No parent moves on before all its children are there.
for index, job in ipairs(jobs) do
    next_number(job.queue)
    if redis.call('EXISTS', job.key) == 1 then
        keep_namesake(job, job.key, true)
        result[2 * index - 1] = 1
    else
        store_job(job)
    end
    result[2 * index] = job.id
end
local looked_at = {}
for _, job in ipairs(jobs) do
    if job.parent and not looked_at[job.parent.key] then
        looked_at[job.parent.key] = true
        parent_move_on_if_last(job.parent)
    end
end
for _, queue in ipairs(tree_queues) do
    finish_queue(queue)
end
local outside = jobs[1].parent and jobs[1].parent.queue
if outside and not outside.counted then
    mark(outside)
end
return result
