// Operations on jobs and queues, by drover and by stock BullMQ on queues that were made alike: they leave the same keys,
// values and events. Where drover differs on purpose (docs/compatibility.md), the test says what it leaves instead.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as path from 'node:path';
import { execFileSync } from 'node:child_process';
import { Rig, build, majors, readQueue } from './rig.mjs';

const AT = 1700000000000;

function ops(rig, queue, ...args) {
  return execFileSync(path.join(build, 'tests/lua/ops/queue-ops'), [rig.socket, 'bull', queue, ...args.map(String)], { encoding: 'utf8' }).trim();
}

/** Times of this run are masked; of delayed jobs only the order counts. */
function normal(view, name) {
  const out = {};
  for (const [suffix, { type, value }] of Object.entries(view)) {
    if (suffix === 'events') {
      out.events = value.map(([, f]) => f.map((v, i) => (f[i - 1] === 'delay' ? '<due>' : v))).filter((f) => f[1] !== 'debounced');
    } else if (suffix === 'meta') {
      out.meta = { ...value, version: undefined };
    } else if (['delayed', 'marker', 'completed', 'failed', 'waiting-children'].includes(suffix)) {
      out[suffix] = value.filter((_, i) => i % 2 === 0);
    } else if (type === 'hash' && 'opts' in value) {
      out[suffix] = { ...value, opts: JSON.parse(value.opts) };
      for (const field of ['timestamp', 'finishedOn', 'processedOn', 'stacktrace']) if (field in value) out[suffix][field] = '<set>';
    } else {
      out[suffix] = type === 'set' ? [...value].sort() : value;
    }
  }
  return JSON.parse(JSON.stringify(out).replace(new RegExp(`bull:${name}(?=[:"\\\\])`, 'g'), 'bull:Q'));
}

/** `sorted`: the order in which Redis gives the members of a set decides that of some events; they are compared without it.
 *  make(queue, rig, name) on two queues; then stock(queue) on one, ours(name) on the other. */
async function alike(t, major, make, stock, ours, expected = (x) => x, { sorted = false } = {}) {
  const rig = await Rig.start(t);
  const views = [];
  for (const name of ['stock', 'ours']) {
    const queue = rig.queue(major, name);
    await queue.waitUntilReady();
    await make(queue, rig, name, major);
    if (name === 'stock') await stock(queue, rig);
    else await ours(name, rig);
    views.push(normal(await readQueue(rig.redis, name), name));
    if (sorted) views.at(-1).events?.sort((a, b) => (a.join() < b.join() ? -1 : 1));
  }
  assert.deepEqual(views[1], expected(views[0]));
  return views;
}

const plain = { timestamp: AT };
const put = (queue, id, opts = {}, data = { id }) => queue.add('x', data, { ...plain, jobId: id, ...opts });

/** Fetches and ends jobs by hand: {id: 'completed' | 'failed' | 'active'}. */
async function run(rig, major, name, ends) {
  const worker = rig.worker(major, name, null, { autorun: false, skipStalledCheck: true });
  await worker.waitUntilReady();
  for (let n = 0; n < Object.keys(ends).length; n++) {
    const job = await worker.getNextJob('token');
    if (ends[job.id] === 'completed') await job.moveToCompleted({ ok: 1 }, 'token', false);
    else if (ends[job.id] === 'failed') await job.moveToFailed(new Error('boom'), 'token', false);
  }
}

async function everyState(queue, rig, name, major) {
  await put(queue, 'c1');
  await put(queue, 'c2', { deduplication: { id: 'd' } });
  await put(queue, 'f1', { attempts: 1 });
  await put(queue, 'f2');
  await put(queue, 'a1');
  await run(rig, major, name, { c1: 'completed', c2: 'completed', f1: 'failed', f2: 'failed', a1: 'active' });
  await put(queue, 'w1');
  await put(queue, 'w2', { deduplication: { id: 'e' } });
  await put(queue, 'p1', { priority: 3 });
  await put(queue, 'p2', { priority: 1 });
  await put(queue, 'l1', { delay: 1000000 });
  await put(queue, 'l2', { delay: 2000000, priority: 2 });
}

const one = {
  'promote': ['l1', (q) => q.getJob('l1').then((j) => j.promote()), ['promote', 'l1']],
  'promote of a prioritized job': ['l2', (q) => q.getJob('l2').then((j) => j.promote()), ['promote', 'l2']],
  'retry of a failed job': ['f1', (q) => q.getJob('f1').then((j) => j.retry('failed')), ['retry', 'f1', 'failed']],
  'retry of a completed job': ['c1', (q) => q.getJob('c1').then((j) => j.retry('completed')), ['retry', 'c1', 'completed']],
  'retry with counters reset': ['f2', (q) => q.getJob('f2').then((j) => j.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true })),
    ['retry', 'f2', 'failed', 'made', 'started']],
  'change of priority, waiting to prioritized': ['w1', (q) => q.getJob('w1').then((j) => j.changePriority({ priority: 3 })), ['priority', 'w1', 3]],
  'change of priority, to the front': ['p1', (q) => q.getJob('p1').then((j) => j.changePriority({ priority: 1, lifo: true })), ['priority', 'p1', 1, 'lifo']],
  'change of priority to none': ['p1', (q) => q.getJob('p1').then((j) => j.changePriority({ priority: 0 })), ['priority', 'p1', 0]],
  'change of priority of a delayed job': ['l1', (q) => q.getJob('l1').then((j) => j.changePriority({ priority: 9 })), ['priority', 'l1', 9]],
  'change of delay': ['l1', (q) => q.getJob('l1').then((j) => j.changeDelay(5000000)), ['delay', 'l1', 5000000]],
  'data': ['w1', (q) => q.getJob('w1').then((j) => j.updateData({ n: [1, 2] })), ['data', 'w1', '{"n":[1,2]}']],
  'progress': ['a1', (q) => q.getJob('a1').then((j) => j.updateProgress(42)), ['progress', 'a1', '42']],
  'a log row': ['a1', (q) => q.getJob('a1').then((j) => j.log('row')), ['log', 'a1', 'row']],
  'remove of a waiting job': ['w2', (q) => q.remove('w2'), ['remove', 'w2', 'children']],
  'remove of a completed job': ['c2', (q) => q.remove('c2'), ['remove', 'c2', 'children']],
  'remove of a delayed job': ['l2', (q) => q.remove('l2'), ['remove', 'l2']],
  'remove of a locked job': ['a1', (q) => q.remove('a1'), ['remove', 'a1']],
  'remove of an unknown job': ['zz', (q) => q.remove('zz'), ['remove', 'zz']],
  'remove of a deduplication key': ['e', (q) => q.removeDeduplicationKey('e'), ['undedup', 'e']],
  'release of a deduplication key by its owner': ['w2', (q) => q.getJob('w2').then((j) => j.removeDeduplicationKey()), ['release', 'w2']],
  'drain': ['', (q) => q.drain(), ['drain']],
  'drain with delayed jobs': ['', (q) => q.drain(true), ['drain', 'delayed']],
  'clean of completed jobs': ['', (q) => q.clean(0, 0, 'completed'), ['clean', 'completed', 0], 1],
  'clean of failed jobs, limited': ['', (q) => q.clean(0, 1, 'failed'), ['clean', 'failed', 0, 1], 1],
  'clean of waiting jobs': ['', (q) => q.clean(0, 0, 'wait'), ['clean', 'wait', 0], 1],
  'clean of delayed jobs': ['', (q) => q.clean(1000, 0, 'delayed'), ['clean', 'delayed', 1000], 1],
  'clean of prioritized jobs': ['', (q) => q.clean(1000, 0, 'prioritized'), ['clean', 'prioritized', 1000], 1],
  'clean of active jobs, which are locked': ['', (q) => q.clean(0, 0, 'active'), ['clean', 'active', 0], 1],
  'clean of young jobs': ['', (q) => q.clean(Date.now() - 1.6e12, 0, 'wait'), ['clean', 'wait', Date.now() - 1.6e12], 1],
  'global concurrency': ['', (q) => q.setGlobalConcurrency(7), ['concurrency', 7]],
  'global rate limit': ['', (q) => q.setGlobalRateLimit(5, 1000), ['rate-limit', 5, 1000]],
  'manual rate limit': ['', (q) => q.rateLimit(100000), ['limit-now', 100000]],
  'pause': ['', (q) => q.pause(), ['pause'], 0, (major) => major === 5],
  'obliterate by force': ['', (q) => q.obliterate({ force: true }), ['obliterate', 'force']],
};

for (const major of majors) {
  for (const [what, [, stock, ours, , applies = () => true]] of Object.entries(one)) {
    if (!applies(major)) continue;
    test(`${what}: as bullmq ${major}`, async (t) => {
      await alike(t, major, everyState, stock, (name, rig) => ops(rig, name, ...ours));
    });
  }

  test(`a pause and a resume leave what bullmq ${major} finds, whoever did which`, async (t) => {
    const rig = await Rig.start(t);
    for (const [n, [pauser, resumer]] of [['us', 'them'], ['them', 'us'], ['us', 'us']].entries()) {
      const queue = rig.queue(major, `q${n}`);
      for (const id of ['a', 'b', 'c']) await put(queue, id);
      if (pauser === 'us') ops(rig, `q${n}`, 'pause');
      else await queue.pause();
      assert.equal(await queue.isPaused(), true);
      await put(queue, 'd');
      // (Version 6 does not count the list in which version 5, and drover, keep the jobs of a paused queue.)
      if (major === 5) assert.equal(await queue.count(), 4, `${pauser}`);
      assert.equal(await rig.redis.llen(`bull:q${n}:wait`) + await rig.redis.llen(`bull:q${n}:paused`), 4, `${pauser}`);
      if (resumer === 'us') ops(rig, `q${n}`, 'resume');
      else await queue.resume();
      assert.deepEqual(await rig.redis.lrange(`bull:q${n}:wait`, 0, -1), ['d', 'c', 'b', 'a'], `${pauser} ${resumer}`);
      assert.equal(await rig.redis.exists(`bull:q${n}:paused`), 0);
    }
  });

  test(`priority and lifo of a retried job: as bullmq 6, which has mended bullmq 5 (${major})`, async (t) => {
    const make = async (queue, rig, name) => {
      await put(queue, 'p', { priority: 4 });
      await put(queue, 'l', { lifo: true });
      await run(rig, major, name, { p: 'failed', l: 'failed' });
      await put(queue, 'w');
    };
    const views = await alike(t, major, make, async (q) => {
      await (await q.getJob('p')).retry('failed');
      await (await q.getJob('l')).retry('failed');
    }, (name, rig) => {
      ops(rig, name, 'retry', 'p', 'failed');
      ops(rig, name, 'retry', 'l', 'failed');
    }, (view) => (major === 6 ? view : { ...view, wait: ['w', 'l'], prioritized: ['p', '17179869186'], pc: '2' }));
    assert.deepEqual(views[1].wait, ['w', 'l']);
  });

  test(`retry of all and promote of all: as bullmq ${major}, but by priority`, async (t) => {
    const make = async (queue, rig, name) => {
      await everyState(queue, rig, name, major);
      await queue.remove('l2');
    };
    await alike(t, major, make, (q) => q.retryJobs({ state: 'failed' }), (name, rig) => ops(rig, name, 'retry-many', 'failed'));
    await alike(t, major, make, (q) => q.retryJobs({ state: 'completed' }), (name, rig) => ops(rig, name, 'retry-many', 'completed'));
    // Stock leaves the delay in the hash of a promoted job (wire format 8.6).
    await alike(t, major, make, (q) => q.promoteJobs(), (name, rig) => ops(rig, name, 'promote-many'),
      (view) => ({ ...view, l1: { ...view.l1, delay: '0' } }));
  });

  test(`flows: retried and removed children, and what that means for their parents: as bullmq ${major}`, async (t) => {
    const make = async (queue, rig, name) => {
      const flow = rig.flow(major);
      const child = (id, more = {}) => ({ name: 'c', queueName: name, data: {}, opts: { jobId: id, ...plain, ...more } });
      await flow.add({ name: 'p', queueName: name, opts: { jobId: 'P', ...plain, priority: 2 }, children: [
        child('A'), child('B', { ignoreDependencyOnFailure: true }), child('C'),
        { ...child('D'), children: [child('E'), child('F')] }] });
      // A completes, B fails, the others wait.
      const worker = rig.worker(major, name, null, { autorun: false, skipStalledCheck: true });
      await worker.waitUntilReady();
      await (await worker.getNextJob('t')).moveToCompleted(1, 't', false);
      await (await worker.getNextJob('t')).moveToFailed(new Error('no'), 't', false);
    };
    const same = (stock, ...args) => alike(t, major, make, stock, (n, rig) => ops(rig, n, ...args), undefined, { sorted: true });
    await same((q) => q.getJob('A').then((j) => j.retry('completed')), 'retry', 'A', 'completed');
    await same((q) => q.getJob('B').then((j) => j.retry('failed')), 'retry', 'B', 'failed');
    await same((q) => q.remove('C', { removeChildren: false }), 'remove', 'C');
    await same((q) => q.remove('D'), 'remove', 'D', 'children');
    await same((q) => q.getJob('E').then((j) => j.removeChildDependency()), 'detach', 'E');
    await same((q) => q.getJob('P').then((j) => j.removeUnprocessedChildren()), 'remove-unprocessed', 'P');
    await same((q) => q.clean(0, 0, 'failed'), 'clean', 'failed', 0);
    await same((q) => q.drain(), 'drain');
    const [, whole] = await alike(t, major, make, async (q, rig) => {
      await q.remove('P');
      await rig.redis.del('bull:stock:events');
    }, async (n, rig) => {
      ops(rig, n, 'remove', 'P', 'children');
      await rig.redis.del('bull:ours:events');
    });
    assert.deepEqual(Object.keys(whole).filter((k) => /^[A-FP]/.test(k)), []);
  });

  test(`schedulers keep their pending iteration through drain, clean and remove (bullmq ${major})`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.upsertJobScheduler('s', { every: 100000 }, { name: 'tick' });
    await queue.upsertJobScheduler('later', { every: 100000, startDate: Date.now() + 50000 }, { name: 'tick' });
    await put(queue, 'w');
    assert.equal(ops(rig, 'q', 'drain', 'delayed').split(' ')[0], '1');
    ops(rig, 'q', 'clean', 'delayed', 0);
    const pending = (await queue.getJobSchedulers()).map((s) => `repeat:${s.key}:${s.next}`);
    for (const id of pending) {
      assert.ok(await queue.getJob(id), id);
      assert.equal(ops(rig, 'q', 'remove', id).split(' ')[0], '-8');
    }
    assert.equal((await queue.getJobCounts()).waiting + (await queue.getJobCounts()).delayed, 2);
  });

  test(`what bullmq ${major} does to jobs that drover added leaves nothing behind (idea 33)`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.waitUntilReady();
    for (let round = 0; round < 3; round++) {
      const ids = await rig.add('q', 'x', ['--lines', '-'], { stdin: '1\n2\n3' });
      await rig.add('q', 'x', ['--delay', '1h']);
      await rig.add('q', 'x', ['--priority', 3]);
      if (round === 0) {
        for (const id of ids) await queue.remove(id);
        await queue.drain(true);
      } else if (round === 1) {
        for (const type of ['wait', 'delayed', 'prioritized']) await queue.clean(0, 0, type);
      } else {
        await queue.obliterate();
      }
      const left = Object.keys(await readQueue(rig.redis, 'q')).filter((k) => !['meta', 'events', 'id', 'pc', 'marker'].includes(k));
      assert.deepEqual(left, [], `round ${round}`);
    }
    assert.deepEqual(await rig.redis.keys('bull:q:*'), []);
  });

  test(`obliterate leaves nothing, and the leaks of bullmq ${major} are closed`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await everyState(queue, rig, 'q', major);
    await rig.flow(major).add({ name: 'p', queueName: 'q', children: [{ name: 'c', queueName: 'other' }] });
    await queue.rateLimit(100000);
    await queue.upsertJobScheduler('s', { every: 100000 });
    await rig.redis.set('bull:q:de:gone', '77');
    assert.match(ops(rig, 'q', 'obliterate'), / 2$/, 'jobs are running');
    assert.match(ops(rig, 'q', 'obliterate', 'force'), / 0$/);
    assert.deepEqual(await rig.redis.keys('bull:q:*'), []);
  });

  test(`removeOrphanedJobs of bullmq ${major} takes nothing of drover's (idea 34)`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await rig.droverd({ queues: { q: { concurrency: 10, processes: 2, handler: { noop: { duration: '5ms' } } } } });
    let removed = 0;
    const ids = [];
    for (let round = 0; round < 10; round++) {
      ids.push(...await rig.add('q', 'x', ['--lines', '-'], { stdin: Array.from({ length: 100 }, (_, n) => String(n)).join('\n') }));
      removed += await queue.removeOrphanedJobs() ?? 0;
    }
    const end = Date.now() + 20000;
    while (await rig.redis.zcard('bull:q:completed') < 1000 && Date.now() < end) removed += await queue.removeOrphanedJobs() ?? 0;
    assert.equal(removed, 0);
    assert.equal(await rig.redis.zcard('bull:q:completed'), 1000);
    for (const id of ids) assert.equal(await rig.redis.exists(`bull:q:${id}`), 1);
  });
}
