// Stock peers and drover on a cluster, and on a master with Sentinels (wire format 13.2, idea 40).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Rig, bullmq, jsonRows, majors, waitUntil } from './rig.mjs';
import { startCluster, startSentinels } from './sets.mjs';

/** `drover add` by an endpoint's URL; the ids. */
async function add(rig, url, prefix, ...args) {
  const r = await rig.drover(['add', '--redis', url, '--prefix', prefix, '--json', ...args]);
  assert.equal(r.code, 0, `${r.out}\n${r.err}`);
  return jsonRows(r.out).map((row) => row.id);
}

for (const major of majors) {
  test(`a cluster: bullmq ${major} and drover run each other's jobs, while the slot moves, too`, async (t) => {
    const rig = new Rig(t);
    const set = await startCluster(rig);
    const options = { prefix: '{bull}' };
    const daemon = await rig.droverd({
      redis: { default: { url: set.url, prefix: '{bull}' } },
      queues: { theirs: { concurrency: 4, processes: 2, attempts: 3, handler: { exec: ['/bin/cat'] } } },
    });
    const queue = rig.track(new bullmq[major].Queue('theirs', { connection: set.connect(), ...options }));
    const events = rig.track(new bullmq[major].QueueEvents('theirs', { connection: set.connect(), ...options }));
    await events.waitUntilReady();
    const got = [];
    const worker = rig.track(new bullmq[major].Worker('ours', async (job) => { got.push(job.id); return job.data; },
      { connection: set.connect(), ...options, concurrency: 2, drainDelay: 1 }));
    await worker.waitUntilReady();

    const job = await queue.add('echo', { n: 1 });
    assert.deepEqual(await job.waitUntilFinished(events, 10000), { n: 1 });
    const late = await queue.add('echo', { n: 2 }, { delay: 300, priority: 5 });
    assert.deepEqual(await late.waitUntilFinished(events, 10000), { n: 2 });
    const first = await add(rig, set.url, '{bull}', '--count', 5, 'ours', 'x');
    await waitUntil(() => first.every((id) => got.includes(id)), 10000, () => JSON.stringify(got));
    await queue.pause();
    const held = await queue.add('echo', { n: 3 });
    await queue.resume();
    assert.deepEqual(await held.waitUntilFinished(events, 10000), { n: 3 });

    for (let round = 0; round < 3; round++) {
      const jobs = [];
      const adding = (async () => {
        for (let n = 0; n < 40; n++) jobs.push(await queue.add('echo', { n }));
      })();
      const mine = add(rig, set.url, '{bull}', '--count', 20, 'ours', 'x');
      await set.move('{bull}');
      await adding;
      const ids = await mine;
      await waitUntil(async () => (await queue.getJobCounts('completed')).completed === 3 + 40 * (round + 1), 20000, () => daemon.tail());
      await waitUntil(() => ids.every((id) => got.includes(id)), 20000, () => `${got.length} of ${ids}`);
      for (const one of jobs) assert.equal((await queue.getJob(one.id)).attemptsMade, 1);
    }
    assert.equal(got.length, new Set(got).size, 'the stock worker ran each of drover\'s jobs once');
    assert.ok(daemon.find('redis.moved').length > 0);
    assert.deepEqual(daemon.find('redis.lost'), []);
    assert.equal((await queue.getWorkers()).length, 2, 'drover\'s processes are seen as workers');

    const seen = await rig.drover(['status', '--redis', set.url, '--prefix', '{bull}', '--json']);
    assert.equal(seen.code, 0, seen.err);
    assert.match(seen.out, /theirs/);
    assert.match(seen.out, /ours/);
  });

  test(`Sentinels: bullmq ${major} and drover follow a failover together`, async (t) => {
    const rig = new Rig(t);
    const set = await startSentinels(rig);
    const daemon = await rig.droverd({
      redis: { default: { url: set.url } },
      queues: { theirs: { concurrency: 4, processes: 2, wait_replicas: 1, handler: { exec: ['/bin/cat'] } } },
    });
    const queue = rig.track(new bullmq[major].Queue('theirs', { connection: set.connection }));
    const got = [];
    const worker = rig.track(new bullmq[major].Worker('ours', async (job) => { got.push(job.id); }, { connection: set.connection, drainDelay: 1 }));
    await worker.waitUntilReady();
    const job = await queue.add('echo', { n: 1 });
    await waitUntil(async () => (await queue.getJob(job.id)).finishedOn, 10000, () => daemon.tail());
    const [first] = await add(rig, set.url, 'bull', 'ours', 'x');
    await waitUntil(() => got.includes(first), 10000);

    await set.failOver();
    const after = await queue.add('echo', { n: 2 });
    await waitUntil(async () => (await queue.getJob(after.id))?.finishedOn, 20000, () => daemon.tail());
    const [second] = await add(rig, set.url, 'bull', 'ours', 'x');
    await waitUntil(() => got.includes(second), 20000);
    assert.equal((await queue.getJob(job.id)).finishedOn > 0, true, 'what was done before is done');
    assert.equal((await queue.getJobCounts('failed')).failed, 0);
  });
}
