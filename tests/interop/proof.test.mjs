// The main proof: stock producers of both majors put 10,000 jobs of every kind into one queue, drover runs them,
// and everything that a stock peer can see afterwards is as if stock workers had run them.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Rig, bullmq, handlerScript, readQueue, shapes, sleep, types, violations, waitUntil } from './rig.mjs';
import { kinds, plan, produce } from './kinds.mjs';
import { behave } from './peer.mjs';

const COUNT = Number(process.env.DROVER_PROOF_JOBS ?? 10000);
const PURE = Math.min(COUNT, 2000);
// The proof itself can be proven: with a stock worker in drover's place it must pass too.
const STOCK_INSTEAD = process.env.DROVER_PROOF_STOCK;
const name = 'proof';
const streams = { streams: { events: { maxLen: 1000000 } } };

function watch(events) {
  const seen = { ends: new Map(), counts: {}, returned: new Map(), errors: [] };
  const end = (id, how) => seen.ends.set(id, [...(seen.ends.get(id) ?? []), how]);
  for (const event of ['added', 'active', 'waiting', 'delayed', 'duplicated', 'retries-exhausted', 'stalled']) {
    events.on(event, () => { seen.counts[event] = (seen.counts[event] ?? 0) + 1; });
  }
  events.on('completed', ({ jobId, returnvalue }) => { end(jobId, 'completed'); seen.returned.set(jobId, returnvalue); });
  events.on('failed', ({ jobId }) => end(jobId, 'failed'));
  events.on('error', (error) => seen.errors.push(error));
  return seen;
}

async function fill(rig, prefix, count, queues) {
  const expected = new Map();
  const rows = { 5: plan(count / 2, 'five'), 6: plan(count / 2, 'six') };
  const seen = (job, row) => expected.set(job.id, { kind: row.kind, data: row.data });
  await Promise.all([5, 6].map((major) => produce(queues[major], rows[major], seen)));
  // Duplicates: each major adds again what the other has added; nothing new may come of it.
  let duplicates = 0;
  for (const [major, other] of [[5, 6], [6, 5]]) {
    const again = rows[other].filter((r) => r.opts.jobId);
    const jobs = await Promise.all(again.map((r) => queues[major].add('other-name', { other: true }, { jobId: r.opts.jobId })));
    jobs.forEach((job, n) => assert.equal(job.id, again[n].opts.jobId));
    duplicates += jobs.length;
  }
  return { expected, duplicates };
}

function stockWorker(rig, prefix) {
  return rig.worker(5, name, (job) => behave(job, bullmq[5]), { prefix, concurrency: 50, name: 'stock' });
}

test(`${COUNT} jobs of all kinds by bullmq 5 and 6 producers, run by drover, as stock peers see it`, { timeout: 300000 }, async (t) => {
  const rig = await Rig.start(t);
  const script = rig.script('handler', handlerScript);
  const queues = { 5: rig.queue(5, name, streams), 6: rig.queue(6, name, streams) };
  await queues[5].waitUntilReady();
  await queues[6].waitUntilReady();
  const watched = { 5: await rig.queueEvents(5, name), 6: await rig.queueEvents(6, name) };
  const seen = { 5: watch(watched[5]), 6: watch(watched[6]) };
  await sleep(200); // XREAD from `$` is under way: an entry written before it would not be delivered

  if (STOCK_INSTEAD) stockWorker(rig, 'bull');
  else {
    await rig.droverd({
      log: { level: 'info', format: 'json' },
      queues: { [name]: { concurrency: 40, processes: 2, handler: 'noop', types: types(script) } },
    });
  }
  const { expected, duplicates } = await fill(rig, 'bull', COUNT, queues);
  assert.equal(expected.size, COUNT, 'every add of its own gave an id of its own');

  await waitUntil(async () => seen[5].ends.size >= COUNT && seen[6].ends.size >= COUNT, 120000,
    async () => `${seen[5].ends.size} and ${seen[6].ends.size} of ${COUNT} ends seen; ${JSON.stringify(await queues[5].getJobCounts())}; ${
      rig.daemons.map((d) => d.tail())}`);
  await waitUntil(async () => (await queues[5].getJobCounts()).active === 0, 10000, 'nothing is active');

  await t.test('QueueEvents of both majors saw exactly one end per job, of the right kind, and no error', () => {
    for (const major of [5, 6]) {
      assert.deepEqual(seen[major].errors, []);
      const wrong = [];
      for (const [id, { kind }] of expected) {
        const ends = seen[major].ends.get(id) ?? [];
        if (ends.length !== 1 || ends[0] !== kinds[kind].end) wrong.push({ id, kind, ends });
      }
      assert.deepEqual(wrong.slice(0, 10), [], `bullmq ${major}: ${wrong.length} jobs`);
      assert.equal(seen[major].ends.size, COUNT, 'and no end of an unknown job');
    }
  });

  await t.test('counts of events add up', () => {
    let attempts = 0;
    let exhausted = 0;
    for (const { kind } of expected.values()) {
      attempts += kinds[kind].atm ?? 1;
      if (kinds[kind].end === 'failed' && kinds[kind].name === 'always') exhausted++;
      if (kind.endsWith('when failed') || kind === 'newest failed' || kind === 'young failed') exhausted++; // one attempt given, one made
    }
    for (const major of [5, 6]) {
      const c = seen[major].counts;
      assert.equal(c.added, COUNT);
      assert.equal(c.duplicated, duplicates);
      assert.equal(c.active, attempts, 'one active event per attempt');
      assert.equal(c['retries-exhausted'], exhausted);
      assert.equal(c.stalled ?? 0, 0);
    }
  });

  await t.test('getJobCounts of both majors adds up', async () => {
    const kept = { completed: 0, failed: 0 };
    for (const { kind } of expected.values()) if (!kinds[kind].gone) kept[kinds[kind].end]++;
    for (const major of [5, 6]) {
      const counts = await queues[major].getJobCounts();
      for (const [state, n] of Object.entries(counts)) assert.equal(n, kept[state] ?? 0, `bullmq ${major}: ${state}`);
    }
  });

  let view;
  await t.test('each kept job carries what a stock worker would have left, and nothing breaks an invariant', async () => {
    view = await readQueue(rig.redis, name);
    assert.deepEqual(violations(view).slice(0, 10), []);
    for (const [id, { kind, data }] of expected) {
      const k = kinds[kind];
      const hash = view[id]?.value;
      assert.equal(Boolean(hash), !k.gone, `${kind} ${id}: hash`);
      if (!hash) continue;
      assert.equal(hash.atm, String(k.atm ?? 1), `${kind} ${id}: atm`);
      assert.equal(hash.ats, String(k.atm ?? 1), `${kind} ${id}: ats`);
      assert.ok(hash.pb, `${kind} ${id}: pb`);
      if ((k.atm ?? 1) > 1 || k.end === 'failed') {
        const stack = JSON.parse(hash.stacktrace);
        const failures = k.end === 'failed' ? k.atm : k.atm - 1;
        assert.equal(stack.length, Math.min(k.stack ?? failures, failures), `${kind} ${id}: stack traces`);
        assert.match(hash.failedReason, /fails|ever work/);
      }
      if (k.echo) assert.deepEqual(JSON.parse(hash.returnvalue), JSON.parse(hash.data), `${kind} ${id}`);
      else if (k.end === 'completed') assert.equal(hash.returnvalue, 'null');
      assert.ok(data !== undefined);
    }
  });

  await t.test('stock readers of both majors understand the jobs', async () => {
    const sample = Object.keys(kinds).map((kind) => [...expected].find(([, e]) => e.kind === kind)).filter(([, e]) => !kinds[e.kind].gone);
    for (const major of [5, 6]) {
      for (const [id, { kind }] of sample) {
        const job = await queues[major].getJob(id);
        assert.equal(await job.getState(), kinds[kind].end, `${kind} ${id}`);
        assert.equal(job.attemptsMade, kinds[kind].atm ?? 1);
        assert.equal((await queues[major].getJobLogs(id)).count, 0);
        if (kinds[kind].end === 'completed') await job.waitUntilFinished(watched[major], 2000);
        else await assert.rejects(job.waitUntilFinished(watched[major], 2000), /fails|ever work/);
      }
      const jobs = await queues[major].getJobs(['completed', 'failed'], 0, 200);
      assert.ok(jobs.length >= 200 && jobs.every((j) => j.finishedOn >= j.processedOn && j.processedOn > 0));
      if (!STOCK_INSTEAD) {
        const workers = await queues[major].getWorkers();
        assert.equal(workers.length, 2, 'both processes are listed');
        for (const w of workers) assert.match(w.rawname, /^bull:cHJvb2Y=:w:[^ ]*proof[^ ]*$/);
      }
    }
  });

  await t.test('no key and no hash field is left that a pure Node run would not leave', async () => {
    const pure = { 5: rig.queue(5, name, { ...streams, prefix: 'pure' }), 6: rig.queue(6, name, { ...streams, prefix: 'pure' }) };
    await pure[5].waitUntilReady();
    await pure[6].waitUntilReady();
    const worker = stockWorker(rig, 'pure');
    const stock = await fill(rig, 'pure', PURE, pure);
    await waitUntil(async () => {
      const c = await pure[5].getJobCounts();
      return c.waiting + c.active + c.delayed + c.prioritized + c.paused === 0;
    }, 120000, 'the stock worker has drained its queue');
    await worker.close();
    const pureView = await readQueue(rig.redis, name, 'pure');
    const kindOf = (map) => (id) => map.get(id)?.kind ?? 'unknown job';
    const ours = shapes(view, kindOf(expected));
    const theirs = shapes(pureView, kindOf(stock.expected));
    // These come and go with the moment of looking, in both systems.
    const passing = ['marker', 'pc', 'stalled', 'stalled-check'];
    for (const key of passing) {
      delete ours[key];
      delete theirs[key];
    }
    assert.deepEqual(ours, theirs);
    const foreign = (await rig.redis.keys('*')).filter((k) => !/^(bull|pure|drover):/.test(k));
    assert.deepEqual(foreign, []);
  });

  await t.test('keeping the newest n trims the whole set, as stock does', async () => {
    for (const major of [5, 6]) {
      for (let n = 0; n < 40; n++) await queues[major].add('ok', { n }, { removeOnComplete: 50 });
      for (let n = 0; n < 20; n++) await queues[major].add('bad', { n }, { removeOnFail: { count: 30 } });
    }
    await waitUntil(async () => {
      const c = await queues[6].getJobCounts();
      return c.waiting + c.active === 0 && c.completed === 50 && c.failed === 30;
    }, 30000, async () => JSON.stringify(await queues[6].getJobCounts()));
    const trimmed = await readQueue(rig.redis, name);
    assert.deepEqual(violations(trimmed).slice(0, 10), []);
    const hashes = Object.keys(trimmed).filter((k) => trimmed[k].type === 'hash' && !['meta'].includes(k));
    assert.equal(hashes.length, 80, 'no orphan hashes');
  });
});
