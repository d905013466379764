// Flows and deduplication: drover settles such jobs as stock workers do, though adding them comes with a later issue.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Rig, bullmq, handlerScript, majors, readQueue, types, violations, waitUntil } from './rig.mjs';

for (const major of majors) {
  test(`bullmq ${major} flow: a parent with 100 children of drover and stock starts once, with all values`, async (t) => {
    const rig = await Rig.start(t);
    const script = rig.script('handler', handlerScript);
    const flow = rig.flow(major);
    const tree = await flow.add({
      name: 'parent', queueName: 'parents', data: {},
      children: Array.from({ length: 100 }, (_, n) => ({ name: 'echo', queueName: 'children', data: { n } })),
    });
    let starts = 0;
    let values;
    rig.worker(major, 'parents', async (job) => { starts++; values = await job.getChildrenValues(); return 'done'; });
    rig.worker(major, 'children', async (job) => job.data, { concurrency: 2 });
    await rig.droverd({ queues: { children: { concurrency: 4, handler: 'noop', types: types(script) } } });
    const parents = rig.queue(major, 'parents');
    await waitUntil(async () => (await parents.getCompletedCount()) === 1, 30000, () => rig.daemons[0].tail());
    assert.equal(starts, 1);
    assert.equal(Object.keys(values).length, 100);
    assert.deepEqual(Object.values(values).map((v) => v.n).sort((a, b) => a - b), Array.from({ length: 100 }, (_, n) => n));
    assert.equal(await rig.redis.hlen(`bull:parents:${tree.job.id}:processed`), 100);
    assert.equal(await rig.redis.exists(`bull:parents:${tree.job.id}:dependencies`), 0);
  });

  test(`bullmq ${major} flow: drover as the parent's worker waits for its children and runs it then`, async (t) => {
    const rig = await Rig.start(t);
    const flow = rig.flow(major);
    await rig.droverd({ queues: { parents: { concurrency: 1, handler: 'noop' }, children: { concurrency: 2, handler: 'noop' } } });
    const tree = await flow.add({
      name: 'parent', queueName: 'parents', opts: { priority: 3 },
      children: [1, 2, 3].map((n) => ({ name: 'ok', queueName: 'children', data: { n }, opts: n === 3 ? { delay: 400 } : {} })),
    });
    const parents = rig.queue(major, 'parents');
    const done = await waitUntil(async () => { const j = await parents.getJob(tree.job.id); return j.finishedOn && j; }, 15000, () => rig.daemons[0].tail());
    const children = rig.queue(major, 'children');
    const last = Math.max(...(await children.getCompleted()).map((j) => j.finishedOn));
    assert.ok(done.processedOn >= last);
    assert.equal(done.attemptsMade, 1);
    for (const name of ['parents', 'children']) assert.deepEqual(violations(await readQueue(rig.redis, name)), []);
  });

  // The same family with each failure policy, once settled by drover and once by stock: what is left must be the same.
  for (const [policy, opts] of Object.entries({
    fpof: { failParentOnFailure: true }, cpof: { continueParentOnFailure: true }, idof: { ignoreDependencyOnFailure: true },
    rdof: { removeDependencyOnFailure: true }, none: {},
  })) {
    test(`bullmq ${major} flow, child fails for good with policy ${policy}: drover leaves what stock leaves`, async (t) => {
      const rig = await Rig.start(t);
      const script = rig.script('handler', handlerScript);
      const left = {};
      for (const side of ['stock', 'drover']) {
        const prefix = side;
        const flow = rig.flow(major, { prefix });
        await flow.add({
          name: 'parent', queueName: 'parents', opts: { jobId: 'P' },
          children: [
            { name: 'bad', queueName: 'children', opts: { jobId: 'C1', ...opts } },
            { name: 'ok', queueName: 'children', opts: { jobId: 'C2' } },
          ],
        });
        // First the children, then the parent: with cpof it is released while a child is pending, and then the
        // outcome would hang on who is faster.
        const queue = { parents: rig.queue(major, 'parents', { prefix }), children: rig.queue(major, 'children', { prefix }) };
        const redis = { default: { url: `unix://${rig.socket}`, prefix } };
        const serve = async (name) => {
          if (side === 'drover') return rig.droverd({ redis, queues: { [name]: { concurrency: 1, handler: 'noop', types: types(script) } } });
          return rig.worker(major, name, async (job) => { if (job.name === 'bad') throw new bullmq[major].UnrecoverableError('cannot ever work'); return null; },
            { prefix, name: 'stock' });
        };
        const stop = (server) => (side === 'drover' ? server.drain() : server.close());
        const told = async () => `${side}: ${JSON.stringify([await queue.children.getJobCounts(), await queue.parents.getJobCounts()])}`;
        const children = await serve('children');
        await waitUntil(async () => { const c = await queue.children.getJobCounts(); return c.completed === 1 && c.failed === 1; }, 15000, told);
        await stop(children);
        const parents = await serve('parents');
        await waitUntil(async () => {
          const p = await queue.parents.getJobCounts();
          return policy === 'none' ? p['waiting-children'] === 1 : p.completed + p.failed === 1;
        }, 15000, told);
        await stop(parents);
        const normal = (view) => Object.fromEntries(Object.entries(view).filter(([k]) => !['events', 'marker', 'meta', 'stalled', 'stalled-check', 'id', 'pc'].includes(k))
          .map(([k, { type, value }]) => {
            if (type === 'zset') return [k, value.filter((_, i) => i % 2 === 0)];
            if (type !== 'hash') return [k, value];
            const { timestamp, processedOn, finishedOn, stacktrace, pb, ...rest } = value;
            return [k, { ...rest, traces: stacktrace ? JSON.parse(stacktrace).length : 0, processed: Boolean(processedOn), finished: Boolean(finishedOn), by: Boolean(pb) }];
          }));
        const events = (view) => view.events.value.map(([, f]) => f.join(' ')).filter((e) => !/drained/.test(e)).sort();
        const views = [await readQueue(rig.redis, 'parents', prefix), await readQueue(rig.redis, 'children', prefix)];
        left[side] = JSON.parse(JSON.stringify([...views.map(normal), ...views.map(events)]).replaceAll(`${prefix}:`, 'P:'));
      }
      assert.deepEqual(left.drover, left.stock);
    });
  }

  test(`bullmq ${major} chain of three with failParentOnFailure: the failure reaches the root through drover`, async (t) => {
    const rig = await Rig.start(t);
    const script = rig.script('handler', handlerScript);
    const flow = rig.flow(major);
    const tree = await flow.add({
      name: 'root', queueName: 'roots',
      children: [{ name: 'middle', queueName: 'middles', opts: { failParentOnFailure: true },
        children: [{ name: 'bad', queueName: 'leaves', opts: { failParentOnFailure: true } }] }],
    });
    await rig.droverd({ queues: { leaves: { concurrency: 1, handler: 'noop', types: types(script) }, middles: { concurrency: 1, handler: 'noop' } } });
    rig.worker(major, 'roots', async () => null);
    const roots = rig.queue(major, 'roots');
    const root = await waitUntil(async () => { const j = await roots.getJob(tree.job.id); return j.finishedOn && j; }, 20000, () => rig.daemons[0].tail());
    assert.equal(await root.getState(), 'failed');
    const middles = rig.queue(major, 'middles');
    const middle = (await middles.getFailed())[0];
    assert.match(middle.failedReason, /^child bull:leaves:.* failed$/);
    assert.match(root.failedReason, /^child bull:middles:.* failed$/);
  });

  test(`bullmq ${major} deduplication: drover's finish releases the key as a stock finish does`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const simple = await queue.add('ok', { n: 1 }, { deduplication: { id: 'simple' } });
    const throttled = await queue.add('ok', { n: 2 }, { deduplication: { id: 'throttle', ttl: 60000 } });
    assert.equal((await queue.add('ok', { n: 3 }, { deduplication: { id: 'simple' } })).id, simple.id);
    await rig.droverd({ queues: { q: { concurrency: 2, handler: 'noop' } } });
    await waitUntil(async () => (await queue.getCompletedCount()) === 2);
    assert.equal(await rig.redis.get('bull:q:de:simple'), null, 'released');
    assert.equal(await rig.redis.get('bull:q:de:throttle'), throttled.id, 'a key with a time to live is left to expire');
    const next = await queue.add('ok', { n: 4 }, { deduplication: { id: 'simple' } });
    assert.notEqual(next.id, simple.id);
    await waitUntil(async () => (await queue.getCompletedCount()) === 3);
  });

  test(`bullmq ${major} keepLastIfActive: exactly one next job with the last data after drover finishes the owner`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    const opts = { deduplication: { id: 'last', keepLastIfActive: true } };
    await rig.droverd({ queues: { q: { concurrency: 1, handler: { noop: { duration: '800ms' } } } } });
    const owner = await queue.add('x', { n: 1 }, opts);
    await waitUntil(async () => (await owner.getState()) === 'active');
    await queue.add('x', { n: 2 }, opts);
    await queue.add('x', { n: 3 }, opts);
    await waitUntil(async () => (await queue.getCompletedCount()) === 2, 10000, async () => `${JSON.stringify(await queue.getJobCounts())} ${rig.daemons[0].tail()}`);
    const done = await queue.getCompleted();
    assert.deepEqual(done.map((j) => j.data.n).sort(), [1, 3]);
    assert.equal(await rig.redis.exists('bull:q:dn:last'), 0);
    assert.equal(await rig.redis.exists('bull:q:de:last'), 0);
  });
}
