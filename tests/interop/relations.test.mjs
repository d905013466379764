// Relations that drover adds: children, deduplication in every mode, flows. The same operations go through a stock
// producer on one prefix and through drover on another; what then lies in Redis must be the same. And flows that drover
// adds are run by stock workers.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Rig, bullmq, handlerScript, jsonRows, majors, readQueue, types, violations, waitUntil } from './rig.mjs';

/** All keys of these queues under a prefix, comparable between prefixes: times by their kind, no versions. */
async function dump(rig, prefix, queues, major) {
  const out = {};
  for (const queue of queues) {
    for (const [suffix, { type, value }] of Object.entries(await readQueue(rig.redis, queue, prefix))) {
      let view = value;
      if (suffix === 'meta') view = Object.keys(value).filter((k) => k !== 'version').sort();
      else if (suffix === 'events') {
        view = value.map(([, f]) => f.map((v, i) => (f[i - 1] === 'delay' ? '<due>' : v)))
          .filter((f) => major === 5 || f[1] !== 'debounced'); // drover tells both majors, and 6 no longer knows that one
      } else if (['delayed', 'marker', 'waiting-children', 'completed'].includes(suffix)) {
        view = value.filter((_, i) => i % 2 === 0).sort(); // by their times, which differ by a millisecond or not
      } else if (type === 'hash') {
        view = Object.fromEntries(Object.entries(value).map(([k, v]) => {
          if (['timestamp', 'finishedOn', 'processedOn'].includes(k)) return [k, '<time>'];
          return [k, ['opts', 'parent'].includes(k) ? JSON.parse(v) : v];
        }));
      } else if (type === 'set') view = [...value].sort();
      if (suffix.startsWith('de:')) {
        const left = await rig.redis.pttl(`${prefix}:${queue}:${suffix}`);
        view = [value, left < 0 ? left : Math.round(left / 10000)];
      }
      out[`${queue}:${suffix}`] = view;
    }
  }
  return JSON.parse(JSON.stringify(out).replaceAll(`${prefix}:`, 'PREFIX:'));
}

/** Takes the next job as a stock worker does; `name` tells workers of both prefixes apart. */
async function takeJob(rig, major, prefix, queue, token = 'token') {
  const worker = rig.worker(major, queue, null, { prefix });
  await worker.waitUntilReady();
  return worker.getNextJob(token, { block: false });
}

const flags = {
  ttl: '--dedup-ttl', extend: '--dedup-extend', replace: '--dedup-replace', keepLastIfActive: '--dedup-keep-last',
  reschedule: '--dedup-reschedule',
};

function dedupArgs(mode) {
  return ['--dedup', 'd', ...Object.entries(mode).flatMap(([k, v]) => (k === 'ttl' ? [flags.ttl, `${v}ms`] : [flags[k]]))];
}

const modes = {
  simple: {}, throttle: { ttl: 50000 }, extend: { ttl: 50000, extend: true }, replace: { replace: true },
  'replace with ttl': { replace: true, ttl: 50000 }, debounce: { ttl: 50000, extend: true, replace: true },
  'keep last': { keepLastIfActive: true }, 'keep last with ttl': { keepLastIfActive: true, ttl: 50000 },
  'keep last and replace': { keepLastIfActive: true, replace: true },
  'keep last, extend': { keepLastIfActive: true, ttl: 50000, extend: true },
};

for (const major of majors) {
  for (const [mode, de] of Object.entries({ ...modes, ...(major === 6 ? { reschedule: { reschedule: true } } : {}) })) {
    test(`deduplication "${mode}" of drover and bullmq ${major}: the same answers, keys and events in every state`, async (t) => {
      const rig = await Rig.start(t);
      const deduplication = { id: 'd', ...de };
      const stock = rig.queue(major, 'q', { prefix: 'stock' });
      await stock.waitUntilReady();
      const add = {
        stock: async (name, data, opts) => (await stock.add(name, data, { ...opts, deduplication })).id,
        ours: async (name, data, opts) => (await rig.add('q', name, ['--data', JSON.stringify(data), ...dedupArgs(de),
          ...(opts.delay ? ['--delay', `${opts.delay}ms`] : []), ...(opts.priority ? ['--priority', opts.priority] : [])], { prefix: 'ours' }))[0],
      };
      for (const state of ['waiting', 'delayed', 'active', 'completed']) {
        const seen = {};
        for (const prefix of ['stock', 'ours']) {
          for (const key of await rig.redis.keys(`${prefix}:*`)) if (!key.endsWith(':meta')) await rig.redis.del(key);
          const delay = state === 'delayed' ? { delay: 60000 } : {};
          const ids = [await add[prefix]('a', { n: 1 }, delay)];
          if (state === 'active' || state === 'completed') {
            const job = await takeJob(rig, major, prefix, 'q');
            assert.equal(job.id, ids[0]);
            if (state === 'completed') await job.moveToCompleted(1, 'token', false);
          }
          ids.push(await add[prefix]('b', { n: 2 }, state === 'delayed' ? { delay: 70000 } : {}));
          ids.push(await add[prefix]('c', { n: 3 }, { priority: 2 }));
          seen[prefix] = { ids, keys: await dump(rig, prefix, ['q'], major) };
        }
        assert.deepEqual(seen.ours, seen.stock, state);
      }
    });
  }

  test(`a job that drover kept as the next one is added by bullmq ${major} when the owner ends`, async (t) => {
    const rig = await Rig.start(t);
    await rig.add('q', 'first', ['--dedup', 'd', '--dedup-keep-last']);
    const job = await takeJob(rig, major, 'bull', 'q');
    const rows = jsonRows((await rig.drover(['add', '--redis', `unix://${rig.socket}`, '--json', 'q', 'next', '{"n":2}', '--dedup', 'd',
      '--dedup-keep-last', '--priority', '3', '--extra', '{"mine":{"a":[1]}}'])).out);
    assert.deepEqual(rows, [{ id: job.id, duplicate: false, deduplicated: true, next: true }]);
    await job.moveToCompleted(1, 'token', false);
    const queue = rig.queue(major, 'q');
    const [next] = await queue.getPrioritized();
    assert.deepEqual([next.name, next.data, next.priority, next.opts.mine], ['next', { n: 2 }, 3, { a: [1] }]);
    assert.equal(await rig.redis.get('bull:q:de:d'), next.id);
    assert.equal(await rig.redis.exists('bull:q:dn:d'), 0);
  });

  test(`children of drover and bullmq ${major} that exist already: adopted, counted as done, or refused, alike`, async (t) => {
    const rig = await Rig.start(t);
    const seen = {};
    for (const prefix of ['stock', 'ours']) {
      const kids = rig.queue(major, 'kids', { prefix });
      const parents = rig.queue(major, 'parents', { prefix });
      await kids.waitUntilReady();
      const child = async (name, jobId, parentId, policy) => {
        if (prefix === 'stock') {
          const policies = { ignore: { ignoreDependencyOnFailure: true }, 'fail-parent': { failParentOnFailure: true } };
          try {
            return (await kids.add(name, {}, { jobId, parent: { id: parentId, queue: `${prefix}:parents` }, ...policies[policy] })).id;
          } catch (error) {
            return error.message.includes('Missing key for parent') ? -5 : error.message.includes('cannot be replaced') ? -7 : error;
          }
        }
        const { code, err } = await rig.drover(['add', '--redis', `unix://${rig.socket}`, '--prefix', prefix, 'kids', name, '--parent',
          `parents:${parentId}`, ...(jobId ? ['--id', jobId] : []), ...(policy ? ['--on-failure', policy] : [])]);
        if (code === 0) return jobId ?? String(await rig.redis.get(`${prefix}:kids:id`));
        return err.includes('there is no parent') ? -5 : err.includes('is a child of') ? -7 : err;
      };
      const answers = [];
      for (const id of ['P', 'Q', 'R']) {
        await parents.add('parent', {}, { jobId: id });
        const job = await takeJob(rig, major, prefix, 'parents', id);
        assert.equal(job.id, id);
      }
      answers.push(await child('none', undefined, 'gone'));
      answers.push(await child('new', undefined, 'P', 'ignore'));
      answers.push(await child('own', 'own', 'P'));
      answers.push(await child('again', 'own', 'P'));
      answers.push(await child('other parent', 'own', 'Q'));
      await kids.add('plain', {}, { jobId: 'plain' });
      answers.push(await child('adopted', 'plain', 'Q', 'fail-parent'));
      // R waits for a job that is completed before it becomes its child.
      answers.push(await child('first', 'r1', 'R'));
      const worker = rig.worker(major, 'parents', null, { prefix });
      const r = await bullmq[major].Job.fromId(parents, 'R');
      assert.equal(await r.moveToWaitingChildren('R'), true);
      await kids.add('done', {}, { jobId: 'done', lifo: true });
      const done = await takeJob(rig, major, prefix, 'kids');
      assert.equal(done.id, 'done');
      await done.moveToCompleted({ value: 7 }, 'token', false);
      answers.push(await child('done', 'done', 'R'));
      await worker.close();
      for (const key of await rig.redis.keys(`${prefix}:*:lock`)) await rig.redis.del(key); // of the jobs in active
      seen[prefix] = { answers, keys: await dump(rig, prefix, ['kids', 'parents'], major) };
    }
    assert.deepEqual(seen.ours, seen.stock);
    assert.deepEqual(seen.ours.answers, [-5, '1', 'own', 'own', -7, 'plain', 'r1', 'done']);
    assert.deepEqual(seen.ours.keys['parents:R:processed'], { 'PREFIX:kids:done': '{"value":7}' });
  });

  test(`a flow that drover adds lies in Redis as one of bullmq ${major}`, async (t) => {
    const rig = await Rig.start(t);
    const node = (name, queueName, opts = {}, children = undefined) => ({ name, queueName, data: { of: name }, opts: { jobId: name, ...opts }, children });
    const tree = node('root', 'q', { priority: 3, attempts: 2, backoff: 1000 }, [
      node('a', 'p', { failParentOnFailure: true, delay: 500 }, [
        node('a1', 'q', { ignoreDependencyOnFailure: true, removeOnComplete: true }), node('a2', 'q', { continueParentOnFailure: true, lifo: true }),
      ]),
      node('b', 'q', { removeDependencyOnFailure: true, priority: 9 }, [node('b1', 'q', { delay: 60000 }), node('b2', 'r', { removeOnFail: { age: 9, count: 3 } })]),
      node('c', 'q', { keepLogs: 4, stackTraceLimit: 2, sizeLimit: 100, telemetry: { metadata: 'trace', omitContext: true } }),
    ]);
    for (const prefix of ['stock', 'ours']) await rig.redis.hset(`${prefix}:r:meta`, 'paused', 1);
    await rig.flow(major, { prefix: 'stock' }).add(tree);
    const { code, out, err } = await rig.drover(['add', '--redis', `unix://${rig.socket}`, '--prefix', 'ours', '--json', '--flow', '-'], { stdin: JSON.stringify(tree) });
    assert.equal(code, 0, err);
    assert.deepEqual(jsonRows(out).map((row) => [row.node, row.queue, row.id]), [['', 'q', 'root'], ['children[0]', 'p', 'a'],
      ['children[0].children[0]', 'q', 'a1'], ['children[0].children[1]', 'q', 'a2'], ['children[1]', 'q', 'b'],
      ['children[1].children[0]', 'q', 'b1'], ['children[1].children[1]', 'r', 'b2'], ['children[2]', 'q', 'c']]);
    const names = ['q', 'p', ...(major === 5 ? ['r'] : [])]; // 6 puts jobs of a paused queue into wait (docs/compatibility.md)
    assert.deepEqual(await dump(rig, 'ours', names, major), await dump(rig, 'stock', names, major));
    assert.deepEqual(await rig.redis.lrange('ours:r:paused', 0, -1), ['b2']);
  });

  test(`a flow that drover adds is run by bullmq ${major} workers, leaves before parents, each once`, async (t) => {
    const rig = await Rig.start(t);
    const leaf = (n) => ({ name: 'leaf', queueName: 'leaves', data: { n } });
    const tree = { name: 'root', queueName: 'trunk', data: {}, children: Array.from({ length: 20 }, (_, n) => ({
      name: 'branch', queueName: 'branches', data: { n }, children: Array.from({ length: 10 }, (__, m) => leaf(n * 10 + m)) })) };
    const order = [];
    const sums = async (job) => {
      order.push(job.name);
      if (job.name === 'leaf') return job.data.n;
      return Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0);
    };
    for (const queue of ['trunk', 'branches', 'leaves']) rig.worker(major, queue, sums, { concurrency: 5, drainDelay: 60 });
    await rig.queue(major, 'leaves').waitUntilReady();
    const { code, out, err } = await rig.drover(['add', '--redis', `unix://${rig.socket}`, '--json', '--flow', '-'], { stdin: JSON.stringify(tree) });
    assert.equal(code, 0, err);
    const [{ id }] = jsonRows(out);
    const trunk = rig.queue(major, 'trunk');
    const root = await waitUntil(async () => { const job = await trunk.getJob(id); return job?.finishedOn && job; }, 30000);
    assert.equal(root.returnvalue, (199 * 200) / 2);
    assert.equal(order.length, 221);
    assert.equal(order[220], 'root');
    const seen = await rig.flow(major).getFlow({ id, queueName: 'trunk', maxChildren: 50 });
    assert.equal(seen.children.length, 20);
    for (const queue of ['trunk', 'branches', 'leaves']) assert.deepEqual(violations(await readQueue(rig.redis, queue)), []);
  });

  for (const [policy, option] of Object.entries({ 'fail-parent': 'failParentOnFailure', 'continue-parent': 'continueParentOnFailure',
    ignore: 'ignoreDependencyOnFailure', remove: 'removeDependencyOnFailure' })) {
    test(`a child that drover adds with "${policy}" fails in a bullmq ${major} worker: what is left is as after a stock add`, async (t) => {
      const rig = await Rig.start(t);
      const seen = {};
      for (const prefix of ['stock', 'ours']) {
        const tree = { name: 'parent', queueName: 'parents', opts: { jobId: 'P' }, children: [
          { name: 'bad', queueName: 'kids', opts: { jobId: 'bad', [option]: true } }, { name: 'ok', queueName: 'kids', opts: { jobId: 'ok' } }] };
        if (prefix === 'stock') await rig.flow(major, { prefix }).add(tree);
        else {
          const { code, err } = await rig.drover(['add', '--redis', `unix://${rig.socket}`, '--prefix', prefix, '--flow', '-'], { stdin: JSON.stringify(tree) });
          assert.equal(code, 0, err);
        }
        const job = await takeJob(rig, major, prefix, 'kids');
        assert.equal(job.id, 'bad');
        await job.moveToFailed(new bullmq[major].UnrecoverableError('no'), 'token', false);
        await rig.redis.hdel(`${prefix}:kids:bad`, 'stacktrace'); // names files of this test
        seen[prefix] = await dump(rig, prefix, ['parents', 'kids'], major);
      }
      for (const view of Object.values(seen)) {
        if (view['kids:failed']) view['kids:failed'] = view['kids:failed'].filter((_, i) => i % 2 === 0);
        if (view['parents:P:unsuccessful']) view['parents:P:unsuccessful'] = view['parents:P:unsuccessful'].filter((_, i) => i % 2 === 0);
      }
      assert.deepEqual(seen.ours, seen.stock);
    });
  }

  test(`a flow that bullmq ${major} adds over three queues is run by drover, one that drover adds by both`, async (t) => {
    const rig = await Rig.start(t);
    const script = rig.script('handler', handlerScript);
    const queues = Object.fromEntries(['trunk', 'branches', 'leaves'].map((name) => [name, { concurrency: 4, handler: 'noop', types: types(script) }]));
    await rig.droverd({ queues });
    const tree = (n) => ({ name: 'ok', queueName: 'trunk', opts: { jobId: `root-${n}` }, children: [1, 2, 3].map(() => ({
      name: 'ok', queueName: 'branches', children: [1, 2].map((m) => ({ name: 'flaky', queueName: 'leaves', data: { m }, opts: { attempts: 3 } })) })) });
    await rig.flow(major).add(tree(1));
    rig.worker(major, 'leaves', async () => 'stock', { concurrency: 1 });
    const { code, err } = await rig.drover(['add', '--redis', `unix://${rig.socket}`, '--flow', '-'], { stdin: JSON.stringify(tree(2)) });
    assert.equal(code, 0, err);
    const trunk = rig.queue(major, 'trunk');
    await waitUntil(async () => (await trunk.getCompletedCount()) === 2, 30000, () => rig.daemons[0].tail());
    const leaves = await rig.queue(major, 'leaves').getJobCounts('completed', 'failed', 'waiting', 'active', 'delayed');
    assert.deepEqual([leaves.completed, leaves.failed, leaves.active], [12, 0, 0]);
    for (const queue of Object.keys(queues)) assert.deepEqual(violations(await readQueue(rig.redis, queue)), []);
  });
}

test('a deduplication key whose owner is gone counts as absent, as in bullmq 6', async (t) => {
  const rig = await Rig.start(t);
  for (const de of [{}, { replace: true }, { keepLastIfActive: true }, { ttl: 50000 }, { ttl: 50000, extend: true }]) {
    const seen = {};
    const stock = rig.queue(6, 'q', { prefix: 'stock' });
    await stock.waitUntilReady();
    for (const prefix of ['stock', 'ours']) {
      for (const key of await rig.redis.keys(`${prefix}:*`)) if (!key.endsWith(':meta')) await rig.redis.del(key);
      await rig.redis.set(`${prefix}:q:de:d`, 'gone');
      await rig.redis.hset(`${prefix}:q:dn:d`, 'name', 'old');
      const id = prefix === 'stock' ? (await stock.add('a', {}, { deduplication: { id: 'd', ...de } })).id
        : (await rig.add('q', 'a', dedupArgs(de), { prefix }))[0];
      seen[prefix] = { id, keys: await dump(rig, prefix, ['q'], 6) };
    }
    assert.deepEqual(seen.ours, seen.stock, JSON.stringify(de));
  }
});

test('an already completed child of a new flow does not release the parent early, in drover as in bullmq 6', async (t) => {
  const rig = await Rig.start(t);
  const tree = { name: 'parent', queueName: 'parents', opts: { jobId: 'P' }, children: [
    { name: 'ok', queueName: 'kids', opts: { jobId: 'done' } }, { name: 'ok', queueName: 'kids', opts: { jobId: 'new' } }] };
  const all = { ...tree, opts: { jobId: 'Q' }, children: [{ name: 'ok', queueName: 'kids', opts: { jobId: 'also done' } }] };
  const seen = {};
  for (const prefix of ['stock', 'ours']) {
    const kids = rig.queue(6, 'kids', { prefix });
    await rig.queue(6, 'parents', { prefix }).waitUntilReady();
    for (const jobId of ['done', 'also done']) {
      await kids.add('ok', {}, { jobId });
      const job = await takeJob(rig, 6, prefix, 'kids');
      await job.moveToCompleted(jobId, 'token', false);
    }
    for (const one of [tree, all]) {
      if (prefix === 'stock') await rig.flow(6, { prefix }).add(one);
      else assert.equal((await rig.drover(['add', '--redis', `unix://${rig.socket}`, '--prefix', prefix, '--flow', '-'], { stdin: JSON.stringify(one) })).code, 0);
    }
    seen[prefix] = await dump(rig, prefix, ['parents', 'kids'], 6);
  }
  assert.deepEqual(seen.ours, seen.stock);
  assert.deepEqual(seen.ours['parents:waiting-children'], ['P']);
  assert.deepEqual(seen.ours['parents:wait'], ['Q']);
});

test('a flow one of whose children belongs to another parent is refused whole by drover; bullmq 6 adds the rest', async (t) => {
  const rig = await Rig.start(t);
  const flow = (root) => ({ name: 'parent', queueName: 'parents', opts: { jobId: root }, children: [
    { name: 'ok', queueName: 'kids', opts: { jobId: 'taken' } }, { name: 'ok', queueName: 'kids', opts: { jobId: `${root}-own` } }] });
  await rig.flow(6).add(flow('P'));
  const before = await dump(rig, 'bull', ['parents', 'kids'], 6);
  const { code, err, out } = await rig.drover(['add', '--redis', `unix://${rig.socket}`, '--json', '--flow', '-'], { stdin: JSON.stringify(flow('Q')) });
  assert.equal(code, 1, err);
  assert.match(err, /children\[0\]: bull:kids:taken is a child of "bull:parents:P"/);
  assert.match(err, /nothing of the flow was added/);
  assert.deepEqual(jsonRows(out).map((row) => row.node), ['children[0]']);
  assert.deepEqual(await dump(rig, 'bull', ['parents', 'kids'], 6), before);
  await rig.flow(6).add(flow('Q'));
  assert.equal(await rig.redis.exists('bull:kids:Q-own'), 1);
});
