// Limits that all workers of a queue share, drover's and stock ones; places that a handler chooses; metrics lists.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Rig, bullmq, majors, readQueue, sleep, violations, waitUntil } from './rig.mjs';

const stockRun = (ms) => () => sleep(ms);
const noop = (ms) => ({ noop: { duration: `${ms}ms` } });

/** When each job became active, in ms, by the server's clock. */
async function starts(redis, name) {
  const entries = await redis.xrange(`bull:${name}:events`, '-', '+');
  return entries.filter(([, f]) => f[1] === 'active').map(([id, f]) => ({ at: Number(id.split('-')[0]), id: f[3] }));
}

/** Most starts within any `ms`. */
function most(list, ms) {
  return Math.max(...list.map(({ at }, i) => list.slice(i).filter((s) => s.at < at + ms).length));
}

async function done(queue, count, deadline = 20000) {
  await waitUntil(async () => (await queue.getJobCounts()).completed === count, deadline,
    async () => JSON.stringify(await queue.getJobCounts()));
}

/** A program for `process` handlers. It finds its state in the folder: one file a step. */
const program = `#!/usr/bin/env python3
import json, os, sys, time
folder = sys.argv[1]
def path(name): return os.path.join(folder, name)
def send(**m): print(json.dumps({"jsonrpc": "2.0", **m}), flush=True)
for line in sys.stdin:
    m = json.loads(line)
    p = m.get("params", {})
    if m["method"] == "initialize":
        send(id=m["id"], result={"protocol": p["protocol"]})
    if m["method"] != "job.run":
        continue
    data, mark = p["data"] or {}, path("ran-" + p["job"])
    runs = os.path.getsize(mark) if os.path.exists(mark) else 0
    with open(mark, "a") as f:
        f.write("x")
    with open(path("order"), "a") as f:
        f.write(p["job"] + " ")
    while data.get("gate") and not os.path.exists(path("gate")):
        time.sleep(0.01)
    if runs < data.get("moves", 0):
        send(id=m["id"], error={"code": data["code"], "message": "later", "data": data.get("how", {})})
    else:
        send(id=m["id"], result={"runs": runs + 1})
`;

async function stepping(rig, config = {}) {
  const script = rig.script('steps.py', program);
  const daemon = await rig.droverd({ queues: { q: { concurrency: 1, handler: { process: ['/usr/bin/python3', script, rig.dir] }, ...config } } });
  return { daemon, order: () => fs.readFileSync(path.join(rig.dir, 'order'), 'utf8').trim().split(' ') };
}

for (const major of majors) {
  test(`setGlobalConcurrency of bullmq ${major} holds for drover and stock workers together`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.setGlobalConcurrency(2);
    await queue.pause();
    await queue.addBulk(Array.from({ length: 40 }, (_, n) => ({ name: 'ok', data: { n } })));
    const peak = { active: 0, ours: 0 };
    let looking = true;
    const look = (async () => {
      while (looking) peak.active = Math.max(peak.active, await rig.redis.llen('bull:q:active'));
    })();
    rig.worker(major, 'q', stockRun(20), { concurrency: 10, drainDelay: 1 });
    const daemon = await rig.droverd({ queues: { q: { concurrency: 10, processes: 2, handler: noop(20) } } });
    await queue.resume();
    await done(queue, 40);
    looking = false;
    await look;
    assert.equal(peak.active, 2);
    assert.deepEqual(daemon.find('queue.concurrency_applied'), [], 'what others have set stays');
    assert.equal(await queue.getGlobalConcurrency(), 2);
  });

  test(`cluster_concurrency is what bullmq ${major} reads and obeys, and is taken back with its key`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.waitUntilReady();
    const daemon = await rig.droverd({ queues: { q: { concurrency: 2, cluster_concurrency: 3, handler: noop(1) } } });
    await waitUntil(async () => (await queue.getGlobalConcurrency()) === 3);
    await daemon.waitEvent('queue.concurrency_applied');
    await queue.pause();
    await queue.addBulk(Array.from({ length: 12 }, () => ({ name: 'ok', data: {} })));
    let peak = 0;
    rig.worker(major, 'q', async () => { peak = Math.max(peak, await rig.redis.llen('bull:q:active')); await sleep(30); }, { concurrency: 10 });
    await queue.resume();
    await done(queue, 12);
    assert.ok(peak <= 3, `${peak} at once`);
    await daemon.drain();
    const second = await rig.droverd({ queues: { q: { concurrency: 2, handler: noop(1) } } });
    await second.waitEvent('queue.concurrency_applied');
    assert.equal(await queue.getGlobalConcurrency(), null);
  });

  test(`a limiter of 10 in a second on drover and on bullmq ${major}: 10 starts a window in all`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.pause();
    await queue.addBulk(Array.from({ length: 30 }, () => ({ name: 'ok', data: {} })));
    rig.worker(major, 'q', stockRun(1), { concurrency: 4, limiter: { max: 10, duration: 1000 } });
    await rig.droverd({ queues: { q: { concurrency: 4, limiter: { max: 10, duration: '1s' }, handler: noop(1) } } });
    await queue.resume();
    await done(queue, 30);
    const list = await starts(rig.redis, 'q');
    assert.equal(list.length, 30);
    // A window begins with its first start: whatever 980 ms are looked at, at most two of them touch.
    assert.ok(most(list, 900) <= 20);
    assert.ok(list[29].at - list[0].at >= 1900, `${list[29].at - list[0].at} ms for three windows`);
    for (const n of [10, 20]) assert.ok(list[n].at - list[n - 10].at >= 900, `window of start ${n}`);
  });

  test(`a used window is looked at again exactly when it ends (beside bullmq ${major})`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.pause();
    await queue.addBulk(Array.from({ length: 4 }, () => ({ name: 'ok', data: {} })));
    await rig.droverd({ queues: { q: { concurrency: 4, limiter: { max: 1, duration: '700ms' }, handler: noop(1) } } });
    await queue.resume();
    await done(queue, 4);
    const list = await starts(rig.redis, 'q');
    const late = list.slice(1).map((s, i) => s.at - list[i].at - 700);
    late.sort((a, b) => a - b);
    assert.ok(late[0] >= -2, `none before its time: ${late}`);
    assert.ok(late[0] <= 25, `one is on time on any machine: ${late}`);
  });

  test(`drover without a limiter obeys setGlobalRateLimit of bullmq ${major}`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.setGlobalRateLimit(3, 1000);
    await queue.pause();
    await queue.addBulk(Array.from({ length: 9 }, () => ({ name: 'ok', data: {} })));
    await rig.droverd({ queues: { q: { concurrency: 9, handler: noop(1) } } });
    await queue.resume();
    await waitUntil(async () => (await queue.getJobCounts()).completed === 3);
    assert.ok((await queue.getRateLimitTtl()) > 0);
    await done(queue, 9);
    const list = await starts(rig.redis, 'q');
    for (const n of [3, 6]) assert.ok(list[n].at - list[n - 3].at >= 900, `window of start ${n}`);
  });

  test(`rateLimit and RateLimitError in bullmq ${major}: drover with a limiter rests, the order stays`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    let limited = 0;
    const limiter = { max: 1000, duration: 1000 };
    const worker = rig.worker(major, 'q', async (job) => {
      if (job.name === 'limits' && limited++ === 0) {
        await worker.rateLimit(1500);
        throw new bullmq[major].RateLimitError();
      }
    }, { limiter });
    await queue.add('limits', {});
    await waitUntil(() => limited === 1);
    const from = Date.now();
    await queue.add('ok', {});
    await rig.droverd({ queues: { q: { concurrency: 1, limiter: { max: 1000, duration: '1s' }, handler: noop(1) } } });
    await done(queue, 2);
    const list = await starts(rig.redis, 'q');
    assert.deepEqual(list.map((s) => s.id), ['1', '1', '2']);
    assert.ok(list[1].at - from >= 1300, `${list[1].at - from} ms`);
    assert.equal((await queue.getJob('1')).attemptsMade, 1);
  });

  test(`a handler of drover asks for a rest: bullmq ${major} with a limiter rests too, the order stays`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.add('x', { moves: 1, code: -32008, how: { retry_after_ms: 1500 } });
    await queue.add('x', {});
    const { order } = await stepping(rig, { limiter: { max: 1000, duration: '1s' } });
    await waitUntil(async () => (await rig.redis.get('bull:q:limiter')) === '9007199254740991');
    const from = Date.now();
    assert.ok((await queue.getRateLimitTtl(1000)) > 1000);
    const ran = [];
    rig.worker(major, 'q', async (job) => { ran.push(job.id); }, { limiter: { max: 1000, duration: 1000 } });
    await done(queue, 2);
    const list = await starts(rig.redis, 'q');
    assert.deepEqual(list.map((s) => s.id), ['1', '1', '2'], `${order()} ${ran}`);
    assert.ok(list[1].at - from >= 1200, `${list[1].at - from} ms`);
    const first = await queue.getJob('1');
    assert.deepEqual([first.attemptsMade, first.attemptsStarted], [1, 2]);
    assert.deepEqual(violations(await readQueue(rig.redis, 'q')), []);
  });

  test(`a handler delays its job, by a time and by a span: bullmq ${major} sees a delayed job without an attempt`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const at = Date.now() + 2500;
    await queue.add('x', { moves: 1, code: -32005, how: { retry_at_ms: at } });
    await queue.add('x', { moves: 1, code: -32005, how: { retry_after_ms: 300 } });
    await stepping(rig);
    await waitUntil(async () => (await queue.getJob('1')).isDelayed());
    assert.equal((await queue.getJob('1')).attemptsMade, 0);
    const score = Number(await rig.redis.zscore('bull:q:delayed', '1'));
    assert.equal(Math.floor(score / 4096), at);
    await done(queue, 2);
    for (const id of ['1', '2']) {
      const job = await queue.getJob(id);
      assert.deepEqual([job.attemptsMade, job.attemptsStarted, job.delay, job.returnvalue], [1, 2, 0, { runs: 2 }]);
    }
    assert.ok((await queue.getJob('1')).processedOn >= at);
  });

  test(`a handler puts its job to the front: it runs next, before what bullmq ${major} added since`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.add('x', { moves: 2, code: -32006 });
    await queue.add('x', {});
    const { order } = await stepping(rig);
    await done(queue, 2);
    assert.deepEqual(order(), ['1', '1', '1', '2']);
    assert.deepEqual([(await queue.getJob('1')).attemptsMade, (await queue.getJob('1')).attemptsStarted], [1, 3]);
  });

  test(`a handler waits for children that bullmq ${major} has added meanwhile: runs twice, one attempt`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const children = rig.queue(major, 'children');
    await queue.add('x', { moves: 1, code: -32007, gate: true });
    await stepping(rig);
    await waitUntil(async () => (await queue.getJob('1')).isActive());
    await children.addBulk([1, 2].map((n) => ({ name: 'c', data: { n }, opts: { parent: { id: '1', queue: 'bull:q' } } })));
    fs.writeFileSync(path.join(rig.dir, 'gate'), '');
    await waitUntil(async () => (await queue.getJob('1')).isWaitingChildren());
    assert.equal(await rig.redis.exists('bull:q:1:lock'), 0);
    rig.worker(major, 'children', async (job) => job.data.n);
    await done(queue, 1);
    const parent = await queue.getJob('1');
    assert.deepEqual([parent.attemptsMade, parent.attemptsStarted, parent.returnvalue], [1, 2, { runs: 2 }]);
    assert.deepEqual(Object.values(await parent.getChildrenValues()).sort(), [1, 2]);
    assert.deepEqual(violations(await readQueue(rig.redis, 'q')), []);
  });

  test(`a handler that completes with children of bullmq ${major} pending has failed an attempt`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const children = rig.queue(major, 'children');
    await queue.add('x', { gate: true }, { attempts: 2, backoff: 60000 });
    await stepping(rig);
    await waitUntil(async () => (await queue.getJob('1')).isActive());
    await children.add('c', {}, { parent: { id: '1', queue: 'bull:q' } });
    fs.writeFileSync(path.join(rig.dir, 'gate'), '');
    await waitUntil(async () => (await queue.getJob('1')).isDelayed());
    const parent = await queue.getJob('1');
    assert.equal(parent.attemptsMade, 1);
    assert.match(parent.failedReason, /children/);
  });

  test(`a handler that waits for children of which bullmq ${major} has failed one with failParentOnFailure fails for good`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const children = rig.queue(major, 'children');
    await queue.add('x', { moves: 1, code: -32007, gate: true }, { attempts: 5 });
    await stepping(rig);
    await waitUntil(async () => (await queue.getJob('1')).isActive());
    await children.add('c', {}, { parent: { id: '1', queue: 'bull:q' }, failParentOnFailure: true });
    rig.worker(major, 'children', async () => { throw new Error('no'); });
    await waitUntil(async () => (await children.getJobCounts()).failed === 1);
    fs.writeFileSync(path.join(rig.dir, 'gate'), '');
    await waitUntil(async () => (await queue.getJobCounts()).failed === 1);
    assert.equal((await queue.getJob('1')).attemptsMade, 1);
  });

  test(`a job that runs for more than two locks never stalls in the eyes of bullmq ${major}`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const job = await queue.add('x', {});
    await rig.droverd({ queues: { q: { concurrency: 1, lock: '5s', stalled_interval: '1s', handler: noop(12000) } } });
    await waitUntil(async () => (await rig.redis.llen('bull:q:active')) === 1);
    const peer = await rig.peer(major, 'q', { worker: { lockDuration: 5000, stalledInterval: 500 } });
    await done(queue, 1);
    const ended = await queue.getJob(job.id);
    assert.deepEqual([ended.stalledCounter, ended.attemptsStarted], [0, 1]);
    assert.deepEqual(peer.find('stalled'), []);
    assert.deepEqual(peer.find('run'), []);
    const names = (await rig.redis.xrange('bull:q:events', '-', '+')).map(([, f]) => f[1]);
    assert.ok(!names.includes('stalled'));
  });

  test(`metrics: getMetrics of bullmq ${major} reads from drover what it reads from a stock worker`, async (t) => {
    const rig = await Rig.start(t);
    const names = ['ours', 'theirs'];
    const queues = names.map((name) => rig.queue(major, name));
    const now = Date.now();
    // Three minutes ago five had ended, and nothing since: minutes pass by moving the mark, not by waiting.
    for (const name of names) {
      for (const end of ['completed', 'failed']) {
        await rig.redis.hset(`bull:${name}:metrics:${end}`, 'count', 5, 'prevCount', 0, 'prevTS', now - 180000);
      }
    }
    const bad = rig.script('bad', '#!/bin/sh\nexit 65\n');
    await rig.droverd({ queues: { ours: { concurrency: 1, metrics: { max_data_points: 10 }, handler: noop(0), types: { bad: { handler: { exec: [bad] } } } } } });
    rig.worker(major, 'theirs', async (job) => {
      if (job.name === 'bad') throw new bullmq[major].UnrecoverableError('bad');
    }, { metrics: { maxDataPoints: 10 } });
    for (const queue of queues) {
      await queue.addBulk([1, 2, 3].map((n) => ({ name: n === 3 ? 'bad' : 'ok', data: {} })));
      await done(queue, 2);
      await waitUntil(async () => (await queue.getJobCounts()).failed === 1);
    }
    for (const end of ['completed', 'failed']) {
      const [ours, theirs] = await Promise.all(queues.map((queue) => queue.getMetrics(end)));
      assert.deepEqual(ours.data, theirs.data);
      assert.equal(ours.meta.count, theirs.meta.count);
      assert.equal(ours.meta.prevCount, theirs.meta.prevCount);
      assert.equal(ours.count, theirs.count);
      assert.equal(ours.data.map(Number).reduce((a, b) => a + b, 0), 5, 'all but those of the current minute');
    }
  });

  test(`max_started ends a job that bullmq ${major} would see coming back for ever`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.add('x', { moves: 1000, code: -32006 }, { attempts: 5 });
    await stepping(rig, { max_started: 4 });
    await waitUntil(async () => (await queue.getJobCounts()).failed === 1);
    const job = await queue.getJob('1');
    assert.deepEqual([job.failedReason, job.attemptsStarted, job.attemptsMade], ['job started more than allowable limit', 5, 1]);
  });

  test(`a producer of bullmq ${major} with telemetry: a failed attempt in drover carries its context on`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const context = '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}';
    await queue.add('x', {}, { telemetry: { metadata: context } });
    await queue.add('x', {}, { telemetry: { metadata: context, omitContext: true } });
    const bad = rig.script('bad', '#!/bin/sh\nexit 65\n');
    await rig.droverd({ queues: { q: { concurrency: 1, handler: { exec: [bad] } } } });
    await waitUntil(async () => (await queue.getJobCounts()).failed === 2);
    assert.equal(await rig.redis.hget('bull:q:1', 'tm'), context);
    assert.equal(await rig.redis.hget('bull:q:2', 'tm'), null);
    assert.equal((await queue.getJob('1')).opts.telemetry.metadata, context);
  });
}
