// Jobs that drover adds, run by stock workers; and orders that both sides must agree on.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Rig, bullmq, majors, readQueue, sleep, violations, waitUntil } from './rig.mjs';

for (const major of majors) {
  test(`an idle bullmq ${major} worker is woken by a job that drover adds, and sees it as its own kind`, async (t) => {
    const rig = await Rig.start(t);
    const got = [];
    const worker = rig.worker(major, 'q', async (job) => { got.push(job); return { ok: true }; }, { drainDelay: 60, name: 'stock' });
    await worker.waitUntilReady();
    await waitUntil(async () => /cmd=bzpopmin/.test(await rig.redis.client('LIST')), 5000, 'the worker blocks');
    const data = { text: 'ä € 漢 🚀', list: [1, 2.5, null, { a: [] }], big: '9'.repeat(30) };
    const [id] = await rig.add('q', 'greet', ['--data', JSON.stringify(data)]);
    await waitUntil(() => got.length === 1, 5000, 'picked up although the worker sleeps for a minute');
    assert.deepEqual(got[0].data, data);
    assert.equal(got[0].name, 'greet');
    assert.equal(got[0].id, id);
    const queue = rig.queue(major, 'q');
    await waitUntil(async () => (await queue.getJobCounts()).completed === 1, 5000);
    const hash = await rig.redis.hgetall(`bull:q:${id}`);
    for (const field of ['name', 'data', 'opts', 'timestamp', 'delay', 'priority']) assert.ok(field in hash, field);
    assert.deepEqual(JSON.parse(hash.data), data);
    assert.deepEqual(violations(await readQueue(rig.redis, 'q')), []);
  });

  test(`three idle bullmq ${major} workers share a batch that drover adds with one marker`, async (t) => {
    const rig = await Rig.start(t);
    const by = new Map();
    const workers = [1, 2, 3].map((n) => rig.worker(major, 'q', async () => { by.set(n, (by.get(n) ?? 0) + 1); await sleep(10); }, { drainDelay: 60 }));
    await Promise.all(workers.map((w) => w.waitUntilReady()));
    await waitUntil(async () => (await rig.redis.client('LIST')).split('\n').filter((l) => /cmd=bzpopmin/.test(l)).length === 3, 5000);
    const ids = await rig.add('q', 'x', ['--count', 50]);
    assert.equal(ids.length, 50);
    await waitUntil(() => [...by.values()].reduce((a, b) => a + b, 0) === 50, 10000, () => JSON.stringify([...by]));
    assert.equal(by.size, 3, 'all three took part');
  });

  test(`delayed jobs across drover and bullmq ${major}: each starts the other's when due, not before`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'theirs');
    const started = [];
    const worker = rig.worker(major, 'ours', async (job) => { started.push({ id: job.id, at: Date.now(), due: job.timestamp + 600 }); }, { drainDelay: 60 });
    await worker.waitUntilReady();
    await rig.droverd({ queues: { theirs: { concurrency: 2, handler: 'noop' } } });
    const [id] = await rig.add('ours', 'x', ['--delay', '600ms']);
    const job = await queue.add('x', {}, { delay: 500 });
    await waitUntil(() => started.length === 1, 8000);
    assert.equal(started[0].id, id);
    assert.ok(started[0].at >= started[0].due, JSON.stringify(started));
    const done = await waitUntil(async () => { const j = await queue.getJob(job.id); return j.finishedOn && j; }, 8000);
    assert.ok(done.processedOn >= job.timestamp + 500, `${done.processedOn - job.timestamp}`);
    assert.equal((await queue.getDelayedCount()), 0);
  });

  test(`priorities, LIFO and FIFO from drover and bullmq ${major} in one order`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.waitUntilReady();
    const id = {};
    [id.a] = await rig.add('q', 'a', ['--priority', 5]);
    id.b = (await queue.add('b', {}, { priority: 5 })).id;
    [id.c] = await rig.add('q', 'c', ['--priority', 1]);
    id.d = (await queue.add('d', {}, { priority: 1 })).id;
    [id.e] = await rig.add('q', 'e', ['--priority', 5]);
    id.f = (await queue.add('f', {})).id;
    [id.g] = await rig.add('q', 'g');
    [id.h] = await rig.add('q', 'h', ['--lifo']);
    id.i = (await queue.add('i', {}, { lifo: true })).id;
    const order = [];
    rig.worker(major, 'q', async (job) => { order.push(job.name); }, { concurrency: 1 });
    await waitUntil(() => order.length === 9, 10000, () => order.join(' '));
    assert.equal(order.join(' '), 'i h f g c d a b e');
  });

  test(`one custom id from drover and bullmq ${major}: the second finds the first`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.waitUntilReady();
    assert.deepEqual(await rig.add('q', 'first', ['--id', 'order-1', '--data', '{"n":1}']), ['order-1']);
    assert.equal((await queue.add('second', { n: 2 }, { jobId: 'order-1' })).id, 'order-1');
    assert.equal((await queue.add('first', { n: 1 }, { jobId: 'order-2' })).id, 'order-2');
    assert.deepEqual(await rig.add('q', 'second', ['--id', 'order-2', '--data', '{"n":2}']), ['order-2']);
    const view = await readQueue(rig.redis, 'q');
    for (const id of ['order-1', 'order-2']) assert.deepEqual([view[id].value.name, JSON.parse(view[id].value.data)], ['first', { n: 1 }]);
    assert.equal(view.id.value, '4', 'every add takes a number');
    assert.equal(view.wait.value.length, 2);
    const events = view.events.value.map(([, f]) => Object.fromEntries(f.flatMap((v, i) => (i % 2 ? [] : [[v, f[i + 1]]]))));
    assert.deepEqual(events.filter((e) => e.event === 'duplicated').map((e) => e.jobId), ['order-1', 'order-2']);
  });

  test(`options that drover writes are obeyed by a bullmq ${major} worker`, async (t) => {
    const rig = await Rig.start(t);
    const [id] = await rig.add('q', 'x', ['--attempts', 3, '--backoff', 'fixed:50ms']);
    let runs = 0;
    rig.worker(major, 'q', async () => { runs++; throw new Error(`no ${runs}`); }, { concurrency: 1 });
    const queue = rig.queue(major, 'q');
    await waitUntil(async () => (await queue.getJobCounts()).failed === 1, 10000);
    const job = await queue.getJob(id);
    assert.equal(runs, 3);
    assert.equal(job.attemptsMade, 3);
    assert.equal(job.stacktrace.length, 3);
    assert.deepEqual({ attempts: job.opts.attempts, backoff: job.opts.backoff }, { attempts: 3, backoff: { type: 'fixed', delay: 50 } });
  });
}

test('jobs that drover adds cannot be told from those of a stock producer', async (t) => {
  const rig = await Rig.start(t);
  for (const major of majors) {
    const queue = rig.queue(major, `stock${major}`);
    await queue.waitUntilReady();
    await queue.add('a', { n: 1 });
    await queue.add('b', { n: 2 }, { delay: 60000 });
    await queue.add('c', { n: 3 }, { priority: 7 });
    await queue.add('d', { n: 4 }, { lifo: true });
    await queue.add('e', { n: 5 }, { jobId: 'own', attempts: 4, backoff: { type: 'exponential', delay: 1000 } });
    await queue.add('f', { n: 6 }, { removeOnComplete: true, removeOnFail: 20 });
  }
  await rig.add('ours', 'a', ['--data', '{"n":1}']);
  await rig.add('ours', 'b', ['--data', '{"n":2}', '--delay', '60s']);
  await rig.add('ours', 'c', ['--data', '{"n":3}', '--priority', 7]);
  await rig.add('ours', 'd', ['--data', '{"n":4}', '--lifo']);
  await rig.add('ours', 'e', ['--data', '{"n":5}', '--id', 'own', '--attempts', 4, '--backoff', 'exponential:1s']);
  await rig.add('ours', 'f', ['--data', '{"n":6}', '--keep-completed', 'none', '--keep-failed', 20]);
  const normal = (view) => Object.fromEntries(Object.entries(view).map(([suffix, { type, value }]) => {
    if (suffix === 'events') {
      return [suffix, value.map(([, f]) => f.map((v, i) => (f[i - 1] === 'delay' ? '<due>' : v)))];
    }
    if (suffix === 'meta') return [suffix, Object.keys(value).filter((k) => k !== 'version').sort()];
    if (['delayed', 'marker'].includes(suffix)) return [suffix, value.filter((_, i) => i % 2 === 0)];
    if (type !== 'hash') return [suffix, value];
    const { timestamp, ...rest } = value;
    assert.match(timestamp, /^\d{13}$/);
    return [suffix, { ...rest, opts: JSON.parse(rest.opts) }];
  }));
  const ours = normal(await readQueue(rig.redis, 'ours'));
  for (const major of majors) {
    const theirs = normal(await readQueue(rig.redis, `stock${major}`));
    // The job with a delay carries it in its opts in milliseconds, whatever way it was written.
    assert.deepEqual(ours, theirs, `bullmq ${major}`);
  }
});

test('five thousand jobs delayed alike keep their order, many to a millisecond', async (t) => {
  const rig = await Rig.start(t);
  const stdin = Array.from({ length: 5000 }, (_, n) => JSON.stringify({ n })).join('\n');
  const ids = await rig.add('q', 'x', ['--delay', '1s', '--lines', '-'], { stdin });
  assert.equal(ids.length, 5000);
  const times = new Set((await rig.redis.zrange('bull:q:delayed', 0, -1, 'WITHSCORES')).filter((_, i) => i % 2).map((s) => Math.floor(Number(s) / 4096)));
  assert.ok(times.size < 500, `${times.size} different milliseconds`);
  const order = [];
  rig.worker(6, 'q', async (job) => { order.push(job.data.n); }, { concurrency: 1 });
  await waitUntil(() => order.length === 5000, 60000, () => `${order.length}`);
  assert.deepEqual(order, Array.from({ length: 5000 }, (_, n) => n));
});

for (const [five, six, label] of [[5, 5, 'two bullmq 5'], [6, 6, 'two bullmq 6'], [5, 6, 'bullmq 5 pauses, bullmq 6 resumes'], [6, 5, 'bullmq 6 pauses, bullmq 5 resumes']]) {
  test(`a pause keeps what all sides add (${label}), and drover takes nothing meanwhile`, async (t) => {
    const rig = await Rig.start(t);
    const pauser = rig.queue(five, 'q');
    const resumer = rig.queue(six, 'q');
    await pauser.waitUntilReady();
    await resumer.waitUntilReady();
    await pauser.add('x', { n: 0 });
    const daemon = await rig.droverd({ queues: { q: { concurrency: 1, handler: 'noop' } } });
    await waitUntil(async () => (await rig.redis.zcard('bull:q:completed')) === 1);
    await pauser.pause();
    // With one major on both sides every party may add. Across majors stock itself loses what the other one adds
    // to a paused queue (wire format 15), so only the resumer's side and drover add.
    let waiting = 3;
    const also = async (queue, n) => { await queue.add('x', { n }); waiting++; };
    if (five === six) await also(pauser, 1);
    const [ours] = await rig.add('q', 'x', ['--data', '{"n":2}']);
    if (five === six || (five === 5 && six === 6)) await also(resumer, 3);
    await rig.add('q', 'x', ['--priority', 3]);
    await rig.add('q', 'x', ['--delay', '300ms']);
    await sleep(600); // long enough that a worker that ignored the pause would have taken one
    assert.equal(await rig.redis.zcard('bull:q:completed'), 1, daemon.tail());
    await resumer.resume();
    await waitUntil(async () => (await rig.redis.zcard('bull:q:completed')) === 1 + waiting, 15000,
      async () => `${waiting} waited; ${JSON.stringify(await pauser.getJobCounts())}\n${daemon.tail()}`);
    assert.ok(await rig.redis.zscore('bull:q:completed', ours));
    assert.equal(await daemon.drain(), 0);
    assert.deepEqual(violations(await readQueue(rig.redis, 'q')), []);
  });
}
