// What `drover queue` and `drover job` show of a queue that stock clients made, beside the getters of the same stock clients; and
// what they change, as stock clients see it.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Rig, majors, sleep, waitUntil } from './rig.mjs';

const HOUR = 3600000;

/** `drover queue|job …` of this rig's server: what it prints as JSON; several lines as an array. */
async function drover(rig, ...args) {
  const r = await rig.drover([...args.map(String), '--json', '--redis', `unix://${rig.socket}`]);
  if (r.code !== 0) throw new Error(`drover ${args.join(' ')}: exit ${r.code}\n${r.out}\n${r.err}`);
  try {
    return JSON.parse(r.out);
  } catch {
    return r.out.trim().split('\n').map((line) => JSON.parse(line));
  }
}

/** Jobs in every state, made by stock clients alone. */
async function fill(rig, major) {
  const queue = rig.queue(major, 'q');
  const flow = rig.flow(major);
  const worker = rig.worker(major, 'q', async (job) => {
    await job.log(`row 1 of ${job.id}`);
    await job.log(`row 2 of ${job.id}`);
    if (job.name === 'bad') throw new Error(`no good: ${job.id}`);
    return { did: job.id };
  }, { name: 'wk', metrics: { maxDataPoints: 10 } });
  await queue.addBulk([1, 2, 3, 4].flatMap((n) => [{ name: 'good', data: { n } }, { name: 'bad', data: { n } }]));
  await waitUntil(async () => (await queue.getJobCounts('completed', 'failed')).failed === 4 && (await queue.getJobCounts('completed')).completed === 4);
  await worker.close();
  await queue.addBulk([1, 2, 3, 4, 5].map((n) => ({ name: 'later', data: { n }, opts: { delay: n * HOUR } })));
  await queue.addBulk([5, 1, 5, 2097151].map((priority) => ({ name: 'urgent', data: {}, opts: { priority } })));
  await queue.addBulk(['a', 'b', 'c'].map((jobId) => ({ name: 'plain', data: {}, opts: { jobId } })));
  await queue.add('once', {}, { deduplication: { id: 'dd' }, jobId: 'owner' });
  const tree = (policy) => ({ name: 'child', queueName: 'kids', data: {}, opts: { jobId: `k-${Object.keys(policy)[0] ?? 'none'}`, ...policy } });
  await flow.add({ name: 'parent', queueName: 'q', opts: { jobId: 'p' }, children: [tree({}), tree({ ignoreDependencyOnFailure: true }), tree({ failParentOnFailure: true }), {
    name: 'middle', queueName: 'kids', opts: { jobId: 'm' }, children: [{ name: 'leaf', queueName: 'kids', opts: { jobId: 'l' } }] }] });
  return queue;
}

for (const major of majors) {
  test(`counts, states, ranges and jobs are those of bullmq ${major}'s getters`, async (t) => {
    const rig = await Rig.start(t);
    const queue = await fill(rig, major);
    const { counts } = await drover(rig, 'queue', 'show', 'q');
    const stock = await queue.getJobCounts();
    for (const [state, count] of Object.entries(stock)) assert.equal(counts[state], count, state);
    assert.deepEqual(await drover(rig, 'queue', 'priorities', 'q', 0, 1, 5, 2097151), Object.fromEntries(Object.entries(await queue.getCountsPerPriority([0, 1, 5, 2097151]))));
    for (const state of ['waiting', 'delayed', 'prioritized', 'completed', 'failed', 'waiting-children']) {
      for (const [order, asc] of [['oldest', true], ['newest', false]]) {
        for (const [start, limit] of [[0, 100], [1, 2]]) {
          const theirs = await queue.getJobs([state], start, start + limit - 1, asc);
          const ours = await drover(rig, 'queue', 'jobs', 'q', '--state', state, '--order', order, '--start', start, '--limit', limit);
          assert.deepEqual(ours.jobs.map((job) => job.id), theirs.map((job) => job.id), `${state} ${order} ${start}`);
          for (const [at, job] of theirs.entries()) {
            assert.equal(ours.jobs[at].name, job.name);
            assert.equal(ours.jobs[at].timestamp, job.timestamp);
            assert.equal(ours.jobs[at].failed_reason, job.failedReason);
            assert.equal(ours.jobs[at].finished_on, job.finishedOn);
            assert.equal(ours.jobs[at].attempts_made, job.attemptsMade);
            assert.equal((await drover(rig, 'job', 'state', job.id, '-q', 'q')).state, await job.getState());
          }
        }
      }
    }
  });

  test(`logs, results, children and flows are those of bullmq ${major}'s getters`, async (t) => {
    const rig = await Rig.start(t);
    const queue = await fill(rig, major);
    const [done] = await queue.getCompleted();
    for (const [order, asc] of [['oldest', true], ['newest', false]]) {
      const theirs = await queue.getJobLogs(done.id, 0, -1, asc);
      assert.deepEqual(await drover(rig, 'job', 'logs', done.id, '-q', 'q', '--order', order), { logs: theirs.logs, total: theirs.count });
    }
    assert.deepEqual(await drover(rig, 'job', 'wait', done.id, '-q', 'q'), { state: 'completed', returnvalue: done.returnvalue });
    const kids = rig.worker(major, 'kids', async (job) => {
      if (job.id.startsWith('k-ignore')) throw new Error('does not matter');
      if (job.id.startsWith('k-fail')) throw new Error('matters');
      return { from: job.id };
    });
    const parent = await queue.getJob('p');
    await waitUntil(async () => (await parent.getDependenciesCount({ unprocessed: true })).unprocessed === 0, 10000);
    await kids.close();
    const stock = await parent.getDependencies();
    const { counts, children } = await drover(rig, 'job', 'children', 'p', '-q', 'q');
    assert.deepEqual(counts, { processed: 2, unprocessed: 0, ignored: 1, failed: 1 });
    assert.deepEqual(counts, await parent.getDependenciesCount({ processed: true, unprocessed: true, ignored: true, failed: true }));
    const byKind = (kind) => Object.fromEntries(children.filter((child) => child.kind === kind).map((child) => [child.key, child.value]));
    assert.deepEqual(byKind('processed'), stock.processed);
    assert.deepEqual(byKind('ignored'), stock.ignored);
    assert.deepEqual(Object.keys(byKind('failed')), stock.failed);
    assert.deepEqual(byKind('processed'), await parent.getChildrenValues());
    const flow = await rig.flow(major).getFlow({ id: 'p', queueName: 'q' });
    const ids = (node) => ({ id: node.job.id, name: node.job.name, children: (node.children ?? []).map(ids).sort((a, b) => a.id.localeCompare(b.id)) });
    const ours = (node) => ({ id: node.id, name: node.name, children: node.children.map(ours).sort((a, b) => a.id.localeCompare(b.id)) });
    assert.deepEqual(ours(await drover(rig, 'job', 'flow', 'p', '-q', 'q')), ids(flow));
  });

  test(`workers, metrics, settings and owners are those of bullmq ${major}'s getters`, async (t) => {
    const rig = await Rig.start(t);
    const queue = await fill(rig, major);
    const named = rig.worker(major, 'q', null, { name: 'w1', autorun: false });
    const unnamed = rig.worker(major, 'q', null, { autorun: false });
    await rig.queueEvents(major, 'q');
    await Promise.all([named.waitUntilReady(), unnamed.waitUntilReady()]);
    await rig.droverd({ queues: { other: { handler: 'noop' } } });
    await waitUntil(async () => (await queue.getWorkers()).length === 2);
    const { clients } = await drover(rig, 'queue', 'workers', 'q');
    assert.deepEqual(clients.filter((c) => c.kind === 'worker').map((c) => c.raw_name).sort(), (await queue.getWorkers()).map((w) => w.rawname).sort());
    assert.deepEqual(clients.filter((c) => c.kind === 'worker').map((c) => c.name).sort(), ['', 'w1']);
    assert.equal(clients.filter((c) => c.kind === 'listener').length, 1);
    const drovers = await waitUntil(async () => { const got = (await drover(rig, 'queue', 'workers', 'other')).clients; return got.length && got; });
    assert.deepEqual(drovers.map((c) => c.raw_name), (await rig.queue(major, 'other').getWorkers()).map((w) => w.rawname), 'drover\'s own are seen by both');
    for (const of of ['completed', 'failed']) {
      const theirs = await queue.getMetrics(of);
      const ours = await drover(rig, 'queue', 'metrics', 'q', '--of', of);
      assert.deepEqual([ours.count, ours.prev_count, ours.points, ours.points_total], [theirs.meta.count, theirs.meta.prevCount, theirs.data.map(Number), theirs.count], of);
    }
    assert.equal((await drover(rig, 'queue', 'deduplication', 'q', 'dd')).job, await queue.getDeduplicationJobId('dd'));
    await queue.setGlobalConcurrency(7);
    assert.equal((await drover(rig, 'queue', 'concurrency', 'q')).concurrency, 7);
    await queue.setGlobalRateLimit(9, 5000);
    assert.deepEqual(await drover(rig, 'queue', 'limit', 'q'), { queue: 'q', limit_max: 9, limit_duration_ms: 5000 });
    await queue.rateLimit(60000);
    const held = (await drover(rig, 'queue', 'hold', 'q')).held_for_ms;
    assert.ok(Math.abs(held - (await queue.getRateLimitTtl())) < 5000, `${held}`);
    await drover(rig, 'queue', 'hold', 'q', 'off');
    await drover(rig, 'queue', 'concurrency', 'q', 3);
    assert.equal(await queue.getGlobalConcurrency(), 3);
    await drover(rig, 'queue', 'pause', 'q');
    assert.equal(await queue.isPaused(), true);
    assert.equal((await drover(rig, 'queue', 'show', 'q')).version, `bullmq:${major === 5 ? '5.81.5' : '6.7.0'}`);
    await queue.resume();
    assert.equal((await drover(rig, 'queue', 'show', 'q')).paused, false);
  });

  test(`events that bullmq ${major} emits are followed, and one's end is waited for`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.add('x', {}, { jobId: 'gone', removeOnComplete: true });
    const waiting = drover(rig, 'job', 'wait', 'gone', '-q', 'q', '--timeout', '20s');
    await waitUntil(async () => /cmd=xread/.test(await rig.redis.client('LIST')), 10000, 'it waits');
    rig.worker(major, 'q', async () => { await sleep(20); return { a: [1] }; });
    assert.deepEqual(await waiting, { state: 'completed', returnvalue: { a: [1] } });
    assert.equal(await queue.getJob('gone'), undefined);
    await waitUntil(async () => (await drover(rig, 'queue', 'events', 'q')).some((e) => e.event === 'drained'));
    const events = await drover(rig, 'queue', 'events', 'q');
    assert.deepEqual(events.map((e) => e.event), ['added', 'waiting', 'active', 'completed', 'drained']);
  });

  test(`what the commands change is what bullmq ${major} finds, and what they remove is gone whole`, async (t) => {
    const rig = await Rig.start(t);
    const queue = await fill(rig, major);
    const failed = await queue.getFailed();
    await drover(rig, 'queue', 'retry', 'q', '--error', `no good: ${failed[0].id}`, '--yes');
    assert.equal(await failed[0].getState(), 'waiting');
    assert.equal((await queue.getFailed()).length, 3);
    await drover(rig, 'queue', 'promote', 'q', '--limit', 2, '--yes');
    assert.equal(await queue.getDelayedCount(), 3);
    const delayed = (await queue.getDelayed())[0];
    await drover(rig, 'job', 'data', delayed.id, '{"new":true}', '-q', 'q');
    await drover(rig, 'job', 'priority', delayed.id, 9, '-q', 'q');
    await drover(rig, 'job', 'log', delayed.id, 'by hand', '-q', 'q');
    const seen = await queue.getJob(delayed.id);
    assert.deepEqual([seen.data, seen.priority, (await queue.getJobLogs(delayed.id)).logs], [{ new: true }, 9, ['by hand']]);
    await drover(rig, 'queue', 'schedule', 'q', 'tick', '--every', '1h', '--name', 'tock', '--data', '{"s":1}');
    const schedulers = await queue.getJobSchedulers();
    assert.deepEqual(schedulers.map((s) => [s.key, s.name, s.every]), [['tick', 'tock', HOUR]]);
    assert.deepEqual((await drover(rig, 'queue', 'schedulers', 'q')).schedulers.map((s) => [s.id, s.name, s.every_ms]), [['tick', 'tock', HOUR]]);
    await drover(rig, 'queue', 'unschedule', 'q', 'tick');
    assert.equal((await queue.getJobSchedulers()).length, 0);
    await drover(rig, 'job', 'remove', 'p', '--children', '-q', 'q', '--yes');
    assert.equal(await queue.getJob('p'), undefined);
    await drover(rig, 'queue', 'drain', 'q', '--delayed', '--yes');
    assert.equal(await queue.count(), 0);
    await drover(rig, 'queue', 'clean', 'q', '--state', 'failed', '--older-than', '0s', '--yes');
    assert.equal(await queue.getFailedCount(), 0);
    await drover(rig, 'queue', 'obliterate', 'q', '--yes');
    await queue.close();
    assert.deepEqual(await rig.redis.keys('bull:q:*'), []);
  });
}
