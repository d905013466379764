// Drover's workers beside stock ones on the same queue: attempts, stalls, keeping, what stock eyes see of its jobs.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { Rig, bullmq, handlerScript, majors, readQueue, sleep, types, violations, waitUntil } from './rig.mjs';

const short = { lock: '5s', stalled_interval: '1s' };
const shortStock = { lockDuration: 5000, stalledInterval: 1000 };

for (const major of majors) {
  test(`a job that bullmq ${major} adds to an idle drover: lock, processedBy, counters`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.waitUntilReady();
    await rig.droverd({ queues: { q: { concurrency: 1, lock: '20s', handler: { noop: { duration: '1500ms' } } } } });
    const job = await queue.add('x', { a: 1 });
    const key = `bull:q:${job.id}`;
    await waitUntil(async () => (await rig.redis.llen('bull:q:active')) === 1, 4000, 'picked up at once');
    const ttl = await rig.redis.pttl(`${key}:lock`);
    assert.ok(ttl > 10000 && ttl <= 20000, `lock of 20 s: ${ttl}`);
    assert.match(await rig.redis.get(`${key}:lock`), /^[0-9a-f-]{36}:\d+$/);
    const running = await queue.getJob(job.id);
    assert.equal(await running.getState(), 'active');
    assert.ok(running.processedBy);
    const events = await rig.queueEvents(major, 'q');
    assert.equal(await job.waitUntilFinished(events, 10000), null);
    const hash = await rig.redis.hgetall(key);
    assert.deepEqual([hash.atm, hash.ats, hash.pb], ['1', '1', running.processedBy]);
    assert.ok(Number(hash.finishedOn) - Number(hash.processedOn) >= 1400);
  });

  test(`a killed drover: bullmq ${major} takes its job over after the lock, counts one stall; a second one fails it`, async (t) => {
    const rig = await Rig.start(t);
    const script = rig.script('handler', handlerScript);
    const queue = rig.queue(major, 'q');
    const job = await queue.add('slow', {});
    const daemon = await rig.droverd({ queues: { q: { concurrency: 1, ...short, handler: 'noop', types: types(script) } } });
    await waitUntil(async () => (await rig.redis.llen('bull:q:active')) === 1);
    const workers = daemon.workers();
    daemon.kill('SIGKILL');
    for (const pid of workers) { try { process.kill(pid, 'SIGKILL'); } catch { /* it left by itself */ } }
    const peer = await rig.peer(major, 'q', { worker: { ...shortStock, maxStalledCount: 1 } });
    await waitUntil(() => peer.find('run').length === 1, 20000, () => JSON.stringify(peer.lines));
    const hash = await rig.redis.hgetall(`bull:q:${job.id}`);
    assert.equal(hash.stc, '1');
    await peer.kill();
    await rig.droverd({ queues: { q: { concurrency: 1, ...short, max_stalled: 1, handler: 'noop' } } });
    await waitUntil(async () => (await queue.getJobCounts()).failed === 1, 20000);
    const failed = await queue.getJob(job.id);
    assert.equal(failed.failedReason, 'job stalled more than allowable limit');
    assert.equal(failed.stalledCounter, 2);
    const view = await readQueue(rig.redis, 'q');
    assert.ok(!('defa' in view[job.id].value));
    const names = view.events.value.map(([, f]) => f[1]);
    assert.equal(names.filter((n) => n === 'stalled').length, 2);
  });

  test(`a killed bullmq ${major}: drover alone gets its job back and runs it`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const job = await queue.add('slow', {});
    const peer = await rig.peer(major, 'q', { worker: shortStock });
    await waitUntil(() => peer.find('run').length === 1);
    const daemon = await rig.droverd({ queues: { q: { concurrency: 1, ...short, handler: 'noop' } } });
    await peer.kill();
    await waitUntil(async () => (await queue.getJobCounts()).completed === 1, 20000, () => daemon.tail());
    const done = await queue.getJob(job.id);
    assert.equal(done.stalledCounter, 1);
    assert.equal(done.attemptsMade, 1);
    assert.equal(done.attemptsStarted, 2);
  });

  test(`attempts alternate between bullmq ${major} and drover: delays 100, 200, one story`, async (t) => {
    const rig = await Rig.start(t);
    const fail = rig.script('fail', '#!/bin/sh\necho "drover fails too" >&2\nexit 75\n');
    const queue = rig.queue(major, 'q');
    const job = await queue.add('x', {}, { attempts: 3, backoff: { type: 'exponential', delay: 100 } });
    const stockOnce = async (made) => {
      const worker = rig.worker(major, 'q', async () => { throw new Error(`stock fails attempt ${made}`); });
      await waitUntil(async () => Number(await rig.redis.hget(`bull:q:${job.id}`, 'atm')) === made, 10000);
      await worker.close();
    };
    // Each side is stopped right after its failure; the backoff is long enough only in events, so the order is
    // forced by letting one side live at a time.
    await stockOnce(1);
    const daemon = await rig.droverd({ queues: { q: { concurrency: 1, handler: { exec: [fail] } } } });
    await waitUntil(async () => Number(await rig.redis.hget(`bull:q:${job.id}`, 'atm')) >= 2, 10000, () => daemon.tail());
    const afterDrover = await rig.redis.hgetall(`bull:q:${job.id}`);
    await daemon.drain();
    if (afterDrover.atm === '2') await stockOnce(3).catch(() => {});
    await waitUntil(async () => (await queue.getJobCounts()).failed === 1, 10000);
    const view = await readQueue(rig.redis, 'q');
    const events = view.events.value.map(([id, f]) => ({ at: Number(id.split('-')[0]), ...Object.fromEntries(f.flatMap((v, i) => (i % 2 ? [] : [[v, f[i + 1]]]))) }));
    const delays = events.filter((e) => e.event === 'delayed').map((e) => Number(e.delay) - e.at);
    assert.equal(delays.length, 2);
    for (const [n, wanted] of [100, 200].entries()) assert.ok(Math.abs(delays[n] - wanted) <= 60, `delays ${delays}`);
    const done = await queue.getJob(job.id);
    assert.deepEqual([done.attemptsMade, done.attemptsStarted, done.stacktrace.length], [3, 3, 3]);
    assert.match(done.stacktrace[1], /drover fails too/);
    assert.equal(events.filter((e) => e.event === 'retries-exhausted').length, 1);
  });

  test(`an unrecoverable failure in drover is final for bullmq ${major}`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const events = await rig.queueEvents(major, 'q');
    const exhausted = [];
    events.on('retries-exhausted', (e) => exhausted.push(e));
    const bad = rig.script('bad', '#!/bin/sh\necho "cannot ever work" >&2\nexit 65\n');
    await rig.droverd({ queues: { q: { concurrency: 1, handler: { exec: [bad] } } } });
    const job = await queue.add('bad', {}, { attempts: 5, backoff: 1000 });
    await assert.rejects(job.waitUntilFinished(events, 10000), /cannot ever work/);
    const again = await queue.getJob(job.id);
    assert.equal(await again.getState(), 'failed');
    assert.equal(again.attemptsMade, 1);
    assert.equal(exhausted.length, 0);
    // and a stock retry puts it back for drover
    await again.retry();
    await waitUntil(async () => (await queue.getJob(job.id)).attemptsMade === 2, 10000);
  });

  test(`removeOnComplete {count: 10}: half of 100 jobs by drover, half by bullmq ${major}, ten stay`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q', { defaultJobOptions: { removeOnComplete: { count: 10 } } });
    const half = async (first) => {
      await queue.addBulk(Array.from({ length: 50 }, (_, n) => ({ name: 'x', data: { n: first + n } })));
    };
    await half(0);
    const daemon = await rig.droverd({ queues: { q: { concurrency: 5, handler: 'noop' } } });
    await waitUntil(async () => (await queue.count()) === 0 && (await queue.getActiveCount()) === 0, 10000);
    assert.equal(await queue.getCompletedCount(), 10);
    await daemon.drain();
    const worker = rig.worker(major, 'q', async () => null, { concurrency: 5 });
    await half(50);
    await waitUntil(async () => (await queue.count()) === 0 && (await queue.getActiveCount()) === 0, 10000);
    await worker.close();
    await rig.droverd({ queues: { q: { concurrency: 5, handler: 'noop' } } });
    await half(100);
    await waitUntil(async () => (await queue.count()) === 0 && (await queue.getActiveCount()) === 0, 10000);
    const view = await readQueue(rig.redis, 'q');
    assert.deepEqual(violations(view), []);
    assert.equal(view.completed.value.length / 2, 10);
    assert.equal(Object.keys(view).filter((k) => view[k].type === 'hash').length, 11, 'ten jobs and meta');
  });

  test(`removeOnComplete true by drover: bullmq ${major} waitUntilFinished still resolves with the value`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const events = await rig.queueEvents(major, 'q');
    const script = rig.script('handler', handlerScript);
    await rig.droverd({ queues: { q: { concurrency: 2, handler: 'noop', types: { ...types(script), late: { handler: { exec: ['/bin/sh', '-c', 'sleep 0.3; cat'] } } } } } });
    const job = await queue.add('late', { answer: [42, 'ü'] }, { removeOnComplete: true });
    assert.deepEqual(await job.waitUntilFinished(events, 10000), { answer: [42, 'ü'] });
    assert.equal(await queue.getJob(job.id), undefined);
  });

  test(`bullmq ${major} lists drover among the workers, by name, and reads its jobs in the right order`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'mail box');
    await queue.waitUntilReady();
    await rig.droverd({ queues: { 'mail box': { concurrency: 4, processes: 2, handler: 'noop' } } });
    const workers = await queue.getWorkers();
    assert.equal(workers.length, 2);
    const base = `bull:${Buffer.from('mail box').toString('base64')}:w:`;
    for (const w of workers) {
      assert.ok(w.rawname.startsWith(base), w.rawname);
      assert.equal(w.name, 'mail box');
    }
    assert.equal(new Set(workers.map((w) => w.rawname)).size, 2);
    const jobs = [];
    for (let n = 0; n < 20; n++) jobs.push(await queue.add('x', { n }));
    await waitUntil(async () => (await queue.getCompletedCount()) === 20);
    const done = await queue.getJobs(['completed'], 0, -1, true);
    const times = done.map((j) => j.finishedOn);
    assert.deepEqual(times, [...times].sort((a, b) => a - b));
    assert.deepEqual(new Set(done.map((j) => j.id)), new Set(jobs.map((j) => j.id)));
    for (const w of new Set(done.map((j) => j.processedBy))) assert.ok(workers.some((x) => x.rawname === `bull:${Buffer.from('mail box').toString('base64')}:w:${w}`), w);
    assert.equal(await jobs[0].getState(), 'completed');
    assert.deepEqual(await queue.getJobLogs(jobs[0].id), { logs: [], count: 0 });
  });

  test(`results of any kind reach bullmq ${major} as JSON: the consumer of events never breaks`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const events = await rig.queueEvents(major, 'q');
    const got = new Map();
    const errors = [];
    events.on('completed', ({ jobId, returnvalue }) => got.set(jobId, returnvalue));
    events.on('error', (e) => errors.push(e));
    const outputs = {
      nothing: ['', null], number: ['12.50', 12.5], bare: ['undefined', 'undefined'], nan: ['NaN', 'NaN'], text: ['hello', 'hello'],
      half: ['{"a":', '{"a":'], quoted: ['"x"', 'x'], list: ['[1,[2]]', [1, [2]]], blank: ['   ', null], binary: ['\\377\\376\\000x', null],
      'two documents': ['{} {}', '{} {}'], escape: ['"\\\\ud800"', '\ud800'],
    };
    const handlers = Object.fromEntries(Object.entries(outputs).map(([name, [text]], n) => [name, { handler: { exec: [rig.script(`out${n}`, `#!/bin/sh\nprintf '${text}'\n`)] } }]));
    handlers.huge = { handler: { exec: ['/bin/sh', '-c', 'head -c 400000 /dev/zero | tr "\\0" x'] } };
    await rig.droverd({ queues: { q: { concurrency: 4, types: handlers } } });
    const jobs = {};
    for (const name of Object.keys(handlers)) jobs[name] = await queue.add(name, {});
    await waitUntil(() => got.size === Object.keys(handlers).length, 15000, () => `${[...got]} ${rig.daemons[0].tail()}`);
    assert.deepEqual(errors, []);
    for (const [name, [, wanted]] of Object.entries(outputs)) {
      if (['binary', 'blank'].includes(name)) continue; // any JSON will do
      assert.deepEqual(got.get(jobs[name].id), wanted, name);
      assert.deepEqual((await queue.getJob(jobs[name].id)).returnvalue, wanted, name);
    }
    assert.equal(got.get(jobs.huge.id).length, 400000);
  });

  test(`bullmq ${major}: ids without a job and pre-v5 markers in wait do not stop drover`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.add('x', {});
    await rig.redis.rpush('bull:q:wait', '0:0', 'no-such-job', '0:1795300804162');
    await queue.add('x', {});
    const daemon = await rig.droverd({ queues: { q: { concurrency: 2, handler: 'noop' } } });
    await waitUntil(async () => (await queue.getCompletedCount()) >= 2, 10000, () => daemon.tail());
    await waitUntil(async () => (await rig.redis.llen('bull:q:active')) === 0);
    assert.equal(await rig.redis.llen('bull:q:wait'), 0);
    assert.deepEqual(await rig.redis.keys('bull:q:0:*'), []);
  });
}

test('a job that runs much longer than its lock never stalls beside a watchful stock worker', async (t) => {
  const rig = await Rig.start(t);
  const queue = rig.queue(5, 'q');
  const stalls = [];
  const events = await rig.queueEvents(5, 'q');
  events.on('stalled', (e) => stalls.push(e));
  await rig.droverd({ queues: { q: { concurrency: 3, ...short, handler: { noop: { duration: '13s' } } } } });
  const jobs = await queue.addBulk([1, 2, 3].map((n) => ({ name: 'x', data: { n } })));
  await waitUntil(async () => (await queue.getActiveCount()) === 3);
  const stock = rig.worker(6, 'q', async () => 'stolen', { ...shortStock });
  await stock.waitUntilReady();
  let least = Infinity;
  await waitUntil(async () => {
    for (const job of jobs) {
      const ttl = await rig.redis.pttl(`bull:q:${job.id}:lock`);
      if (ttl > 0) least = Math.min(least, ttl);
    }
    return (await queue.getCompletedCount()) === 3;
  }, 25000);
  assert.ok(least > 1500, `a third of the lock is the rhythm; the least that was left: ${least} ms`);
  assert.deepEqual(stalls, []);
  for (const job of jobs) assert.equal((await queue.getJob(job.id)).returnvalue, null);
});

test('4,000 jobs, two stock workers of each major and four of drover, random kills: every job ends once, nothing is left', { timeout: 150000 }, async (t) => {
  const rig = await Rig.start(t);
  const COUNT = 4000;
  const queue = rig.queue(5, 'q', { streams: { events: { maxLen: 1000000 } }, defaultJobOptions: { attempts: 5 } });
  await queue.waitUntilReady();
  const options = { concurrency: 5, worker: { ...shortStock, maxStalledCount: 10 } };
  const peers = await Promise.all([5, 5, 6, 6].map((major) => rig.peer(major, 'q', options)));
  const config = { queues: { q: { concurrency: 20, processes: 4, ...short, max_stalled: 10, handler: { noop: { duration: '20ms' } } } } };
  const daemon = await rig.droverd({ ...config, log: { level: 'info', format: 'json' } });
  const seen = new Map();
  const events = await rig.queueEvents(6, 'q');
  for (const event of ['completed', 'failed']) events.on(event, ({ jobId }) => seen.set(jobId, [...(seen.get(jobId) ?? []), event]));
  for (let n = 0; n < COUNT; n += 500) await queue.addBulk(Array.from({ length: 500 }, (_, k) => ({ name: 'ok', data: { n: n + k } })));
  for (let n = 0; n < 6; n++) {
    const goal = (COUNT * (n + 1)) / 9;
    await waitUntil(() => seen.size >= goal, 60000, () => `${seen.size}\n${daemon.tail()}`);
    if (n % 3 === 2) {
      const [gone] = peers.splice(0, 1);
      await gone.kill();
      peers.push(await rig.peer(n % 2 ? 5 : 6, 'q', options));
    } else {
      const workers = daemon.workers();
      if (workers.length) process.kill(workers[Math.floor(Math.random() * workers.length)], 'SIGKILL');
    }
  }
  await waitUntil(() => seen.size === COUNT, 60000, async () => `${seen.size} ${JSON.stringify(await queue.getJobCounts())}\n${daemon.tail()}`);
  await waitUntil(async () => (await queue.getActiveCount()) === 0, 20000);
  const twice = [...seen].filter(([, ends]) => ends.length !== 1);
  assert.deepEqual(twice, []);
  await Promise.all(peers.map((p) => p.kill()));
  await daemon.drain();
  const view = await readQueue(rig.redis, 'q');
  assert.deepEqual(violations(view).slice(0, 10), []);
  const c = await queue.getJobCounts();
  assert.equal(c.completed, COUNT);
  assert.ok(fs.existsSync(rig.dir));
});

test('QueueEvents of both majors over a mixed run of 1,000 jobs by drover and stock together: counts match', async (t) => {
  const rig = await Rig.start(t);
  const queue = rig.queue(6, 'q');
  await queue.waitUntilReady();
  const counts = { 5: {}, 6: {} };
  const errors = [];
  for (const major of majors) {
    const events = await rig.queueEvents(major, 'q');
    for (const name of ['added', 'active', 'completed', 'failed', 'waiting']) events.on(name, () => { counts[major][name] = (counts[major][name] ?? 0) + 1; });
    events.on('error', (e) => errors.push(e));
  }
  await sleep(200);
  const bad = rig.script('bad', '#!/bin/sh\nexit 65\n');
  await rig.droverd({ queues: { q: { concurrency: 10, handler: 'noop', types: { bad: { handler: { exec: [bad] } } } } } });
  rig.worker(5, 'q', async (job) => { if (job.name === 'bad') throw new bullmq[5].UnrecoverableError('no'); }, { concurrency: 10 });
  for (let n = 0; n < 1000; n += 100) await queue.addBulk(Array.from({ length: 100 }, (_, k) => ({ name: k % 10 === 0 ? 'bad' : 'ok', data: { n: n + k } })));
  const wanted = { added: 1000, waiting: 1000, active: 1000, completed: 900, failed: 100 };
  await waitUntil(() => majors.every((m) => (counts[m].completed ?? 0) + (counts[m].failed ?? 0) >= 1000), 30000, () => JSON.stringify(counts));
  for (const major of majors) assert.deepEqual(counts[major], wanted);
  assert.deepEqual(errors, []);
});
