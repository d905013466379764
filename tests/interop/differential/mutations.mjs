// mutations.mjs - rules of drover's scripts broken on purpose, each by one change of a script's text (as the build embeds
// it: without comments and indentation; `from` stands there once). The differential test must notice each of them, but for those of `by`: a marker that is there without
// work is no difference (differences.mjs), and the model of a job's life notices it.
//
// Recorded (40 seeds of 500 operations, bullmq 6.7.0 first, then 5.81.5): 27 of 28 noticed in one run, 18 of them by one of
// the first two seeds, the latest by seed 36; "kept for a second longer" was not, and is by seed 5 since the generator has steps of 5 s.
export const mutations = [
  { name: 'a lifo job waits like others', script: 'add', from: "to_tail[#to_tail + 1] = id", to: "to_head[#to_head + 1] = id" },
  { name: 'the adds of a paused queue go to wait', script: 'add', from: 'local target = paused and k_paused or k_wait', to: 'local target = k_wait' },
  { name: 'no marker for new work', script: 'add', from: "redis.call('ZADD', k_marker, '0', '0')", to: '' },
  { name: 'delayed jobs of one ms are not in order', script: 'add', from: 'score = math.min(score + 1, first + SLOTS - 1)', to: 'score = first' },
  { name: 'a duplicate is not told', script: 'add', from: "redis.call('XADD', k_events, '*', 'event', 'duplicated', 'jobId', id)", to: '' },
  { name: 'delay is kept at promotion', script: 'turn', from: "redis.call('HSET', key, 'delay', '0')", to: '' },
  { name: 'due jobs are promoted a ms too late', script: 'turn', from: 'tonumber(head[2]) >= (now + 1) * 4096', to: 'tonumber(head[2]) >= now * 4096' },
  { name: 'attempts are not counted at completion', script: 'turn', from: "redis.call('HSET', key, 'atm', plus_one(fields[1]), 'returnvalue'", to: "redis.call('HSET', key, 'returnvalue'" },
  { name: 'the lock stays after completion', script: 'turn', from: "redis.call('DEL', unpack(ordinary_locks))", to: '' },
  { name: 'a retried job keeps no stack trace', script: 'turn', from: "fields[5], fields[6] = 'stacktrace', stacktrace", to: '' },
  { name: 'retries-exhausted is never told', script: 'turn', from: "if tonumber(job.atm) >= most then", to: 'if false then' },
  { name: 'the priority counter is never reset', script: 'turn', from: "redis.call('DEL', k_pc)", to: "redis.call('EXISTS', k_pc)" },
  { name: 'drained is never told', script: 'turn', from: "tell(own, 'drained')", to: '' },
  { name: 'a parent is not told of a completed child', script: 'turn', from: 'parent_child_completed(job.parent, key, value)', to: 'local _ = value' },
  { name: 'a failed child does not fail its parent', script: 'turn', from: "if flags.fpof then\nparent_fail_later(parent, child_key)", to: 'if flags.fpof then' },
  { name: 'continueParentOnFailure records nothing', script: 'turn', from: "if flags.idof then", to: 'if false then' },
  { name: 'a trimmed child holds its parent', script: 'turn', from: "parent_child_removed(parent, key)\nend\nforget(key)", to: 'end\nforget(key)' },
  { name: 'a deduplication outlives its job', script: 'turn', from: 'dedup_release(plan, job_id)\nif plan.fields then', to: 'if plan.fields then' },
  { name: 'the kept last update is forgotten', script: 'turn', from: 'dedup_requeue(plan)\nend', to: 'end' },
  { name: 'one more finished job is kept', script: 'turn', from: "local extra = redis.call('ZCARD', target) - most", to: "local extra = redis.call('ZCARD', target) - most - 1" },
  { name: 'kept for a second longer', script: 'turn', from: 'math.floor(now - age * 1000)', to: 'math.floor(now - age * 1000 - 1000)' },
  { name: 'global concurrency is not obeyed', script: 'turn', from: "most = math.min(most, own.concurrency - redis.call('LLEN', k_active))", to: '' },
  { name: 'stalls are not counted', script: 'stalled', from: 'count_stall(key)\nput_waiting', to: 'put_waiting' },
  { name: 'one stall more is allowed', script: 'stalled', from: 'stalls > max_stalled and', to: 'stalls > max_stalled + 1 and' },
  { name: 'stalled jobs go to the end', script: 'stalled', from: 'put_waiting(own, id, 0, true)', to: 'put_waiting(own, id, 0, false)' },
  { name: 'a renewed job stays suspected', script: 'renew', from: "redis.pcall('SREM', k_stalled, unpack(kept))", to: '' },
  { name: 'pause leaves the marker', by: 'model', script: 'pause', from: "redis.call('DEL', k_marker)", to: '' },
  { name: 'resume wakes nobody', script: 'resume', from: "redis.call('ZADD', k_marker, '0', '0')", to: '' },
  { name: 'dependencies of a late child are not noted', script: 'relate', from: "redis.call('SADD', parent.key .. ':dependencies'", to: "redis.call('SREM', parent.key .. ':dependencies'" },
];
