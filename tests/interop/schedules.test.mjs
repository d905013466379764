// Job schedulers at work: stock clients make them, drover's workers run them, alone and beside stock workers of both majors; and
// what becomes of a schedule when a worker dies, when the step that makes its next iteration is refused, and at its end.
// The chain is the point: exactly one pending iteration, none twice, none silently last.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Rig, majors, readQueue, violations, waitUntil } from './rig.mjs';
import { Engine } from './engine.mjs';

const noop = { queues: { q: { concurrency: 3, handler: 'noop' } } };

/** Iterations of a scheduler that exist, by state. */
async function iterations(rig, scheduler, state) {
  const command = state === 'active' || state === 'wait' || state === 'paused' ? 'lrange' : 'zrange';
  return (await rig.redis[command](`bull:q:${state}`, 0, -1)).filter((id) => id.startsWith(`repeat:${scheduler}:`));
}

async function pending(rig, scheduler) {
  const lists = await Promise.all(['delayed', 'wait', 'prioritized', 'paused'].map((state) => iterations(rig, scheduler, state)));
  return lists.flat();
}

const slot = (id) => Number(id.slice(id.lastIndexOf(':') + 1));

/** How often each job became active, by its events. */
async function starts(rig) {
  const counts = {};
  for (const [, fields] of await rig.redis.xrange('bull:q:events', '-', '+')) {
    if (fields[1] === 'active') counts[fields[3]] = (counts[fields[3]] ?? 0) + 1;
  }
  return counts;
}

async function check(rig, scheduler, every) {
  const done = (await iterations(rig, scheduler, 'completed')).map(slot).sort((a, b) => a - b);
  assert.equal(new Set(done).size, done.length);
  for (let at = 1; at < done.length; at++) assert.equal((done[at] - done[at - 1]) % every, 0, `on the grid of ${every}: ${done}`);
  for (const [id, count] of Object.entries(await starts(rig))) assert.equal(count, 1, `${id} ran once`);
  assert.deepEqual(violations(await readQueue(rig.redis, 'q')), []);
  return done;
}

for (const major of majors) {
  test(`a scheduler of bullmq ${major} with an interval goes on with drover's workers alone`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.upsertJobScheduler('tick', { every: 200 }, { name: 'n', data: { a: 1 }, opts: { attempts: 2, priority: 3 } });
    await rig.droverd(noop);
    await waitUntil(async () => {
      assert.ok((await pending(rig, 'tick')).length <= 1, 'one pending job at most');
      return (await iterations(rig, 'tick', 'completed')).length >= 12;
    }, 30000);
    const scheduler = await queue.getJobScheduler('tick');
    assert.ok(scheduler.iterationCount >= 12);
    await check(rig, 'tick', 200);
    const [last] = await queue.getJobs(['completed'], 0, 0);
    assert.deepEqual([last.name, last.data, last.opts.attempts, last.priority, last.repeatJobKey], ['n', { a: 1 }, 2, 3, 'tick']);
    assert.equal(last.opts.repeat.every, 200);
    assert.equal(await queue.removeJobScheduler('tick'), true);
    await waitUntil(async () => (await pending(rig, 'tick')).length + (await iterations(rig, 'tick', 'active')).length === 0, 10000);
  });

  test(`a pattern with a time zone runs on its grid, once each, by drover and bullmq ${major} side by side`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.upsertJobScheduler('cron', { pattern: '* * * * * *', tz: 'Europe/Madrid' }, { name: 'n' });
    let stock = 0;
    const worker = rig.worker(major, 'q', async () => { stock += 1; });
    await worker.waitUntilReady();
    await rig.droverd(noop);
    await waitUntil(async () => (await iterations(rig, 'cron', 'completed')).length >= 6, 40000);
    await worker.close();
    const before = (await iterations(rig, 'cron', 'completed')).length;
    await waitUntil(async () => (await iterations(rig, 'cron', 'completed')).length >= before + 2, 20000, 'drover goes on alone');
    await check(rig, 'cron', 1000);
    assert.ok(stock < (await iterations(rig, 'cron', 'completed')).length);
  });

  test(`limit and end date of bullmq ${major} are kept by drover's workers`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    await queue.upsertJobScheduler('five', { every: 100, limit: 5 }, { name: 'n' });
    await queue.upsertJobScheduler('until', { pattern: '* * * * * *', tz: 'UTC', endDate: Date.now() + 2500 }, { name: 'n' });
    const daemon = await rig.droverd(noop);
    await daemon.waitEvent('schedule.ended', { scheduler: 'five' });
    await daemon.waitEvent('schedule.ended', { scheduler: 'until' });
    await waitUntil(async () => (await iterations(rig, 'five', 'completed')).length === 5, 10000);
    assert.deepEqual(await pending(rig, 'five'), []);
    assert.deepEqual(await pending(rig, 'until'), []);
    assert.ok((await iterations(rig, 'until', 'completed')).length <= 3);
    assert.equal((await queue.getJobScheduler('five')).iterationCount, 5);
  });

  test(`a scheduler that drover makes is run and gone on with by bullmq ${major}`, async (t) => {
    const rig = await Rig.start(t);
    const engine = new Engine(rig, 'bull', 'q');
    const made = await engine.ask({ op: 'upsert', now: Date.now(), id: 'ours', every: 150, name: 'n', data: '{"b":2}', opts: '{"attempts":3,"backoff":50}' });
    assert.equal(made.code, 0, JSON.stringify(made));
    const seen = [];
    const worker = rig.worker(major, 'q', async (job) => { seen.push(job); });
    await worker.waitUntilReady();
    await waitUntil(() => seen.length >= 4, 20000);
    await worker.close();
    assert.deepEqual([seen[3].name, seen[3].data, seen[3].opts.attempts, seen[3].opts.backoff], ['n', { b: 2 }, 3, { type: 'fixed', delay: 50 }]);
    const [shown] = (await engine.ask({ op: 'list', now: Date.now(), start: 0, count: 10, asc: true })).schedulers;
    const stock = await rig.queue(major, 'q').getJobScheduler('ours');
    assert.deepEqual([shown.key, shown.name, shown.next, shown.every, shown.offset, shown.iterationCount],
      [stock.key, stock.name, stock.next, stock.every, stock.offset, stock.iterationCount]);
    await check(rig, 'ours', 150);
  });
}

test('one chain through the hands of drover, bullmq 5 and bullmq 6 in turn', async (t) => {
  const rig = await Rig.start(t);
  const engine = new Engine(rig, 'bull', 'q');
  const queues = { 5: rig.queue(5, 'q'), 6: rig.queue(6, 'q') };
  const workers = { 5: rig.worker(5, 'q', null), 6: rig.worker(6, 'q', null) };
  for (const options of [{ every: 3600000, offset: 1234 }, { pattern: '*/7 2-4 * * *', tz: 'America/New_York' }]) {
    await queues[5].upsertJobScheduler('s', options, { name: 'n', data: { x: 1 }, opts: { attempts: 2 } });
    for (let turn = 0; turn < 12; turn++) {
      const [, score] = await rig.redis.zrange('bull:q:repeat', 0, 0, 'WITHSCORES');
      const id = `repeat:s:${score}`;
      assert.deepEqual(await pending(rig, 's'), [id], `turn ${turn}`);
      await queues[6].getJob(id).then((job) => job.promote());
      const hand = turn % 3;
      if (hand === 2) { // as drover's worker: fetched by a stock one that does not go on
        await rig.redis.lrem('bull:q:wait', 1, id);
        await rig.redis.lpush('bull:q:active', id);
        const answer = await engine.ask({ op: 'continue', now: Date.now(), job: id });
        assert.equal(answer.step, 'continued', JSON.stringify(answer));
        assert.equal((await engine.ask({ op: 'continue', now: Date.now(), job: id })).step, 'already');
        await rig.redis.lrem('bull:q:active', 1, id);
        await rig.redis.del(`bull:q:${id}`);
      } else {
        const job = await workers[5 + hand].getNextJob('token', { block: false });
        assert.equal(job.id, id);
        await job.moveToCompleted(1, 'token', false);
      }
      const next = (await rig.redis.zrange('bull:q:repeat', 0, 0, 'WITHSCORES'))[1];
      assert.ok(Number(next) > Number(score));
      if (options.every) assert.equal(Number(next), Number(score) + options.every);
      const hash = await rig.redis.hgetall(`bull:q:repeat:s:${next}`);
      const opts = JSON.parse(hash.opts);
      assert.deepEqual([opts.attempts, opts.repeat.count, hash.data, hash.rjk], [2, turn + 2, '{"x":1}', 's']);
    }
    await queues[6].removeJobScheduler('s');
  }
});

test('a worker that is killed between the fetch and the next iteration does not end the schedule', async (t) => {
  const rig = await Rig.start(t);
  await rig.queue(6, 'q').upsertJobScheduler('s', { every: 100 }, { name: 'n' });
  await rig.redis.rename('bull:q:repeat', 'aside');
  await rig.redis.set('bull:q:repeat', 'not a sorted set');
  const daemon = await rig.droverd({ queues: { q: { concurrency: 1, handler: 'noop' } } });
  const [held] = await waitUntil(async () => { const ids = await iterations(rig, 's', 'active'); return ids.length && ids; }, 20000);
  for (const pid of daemon.workers()) process.kill(pid, 'SIGKILL');
  await rig.redis.rename('aside', 'bull:q:repeat');
  await waitUntil(async () => (await iterations(rig, 's', 'completed')).length >= 4, 30000);
  const done = await iterations(rig, 's', 'completed');
  assert.ok(done.includes(held), 'the job of the killed worker ran');
  assert.equal((await pending(rig, 's')).length + (await iterations(rig, 's', 'active')).length <= 2, true);
});

test('a next iteration that is refused is tried again, told, and its job put back; repaired, the schedule goes on', async (t) => {
  const rig = await Rig.start(t);
  await rig.queue(6, 'q').upsertJobScheduler('s', { every: 100 }, { name: 'n' });
  await rig.redis.rename('bull:q:repeat', 'aside');
  await rig.redis.set('bull:q:repeat', 'not a sorted set');
  const daemon = await rig.droverd(noop);
  const [said] = await daemon.waitEvent('schedule.failed', { deadline: 30000 });
  assert.equal(said.level, 'error');
  assert.match(said.why, /bull:q:repeat holds a string/);
  const [back] = await waitUntil(async () => { const ids = await iterations(rig, 's', 'delayed'); return ids.length && ids; }, 10000);
  assert.equal(await rig.redis.hget(`bull:q:${back}`, 'atm'), null, 'no attempt is used');
  assert.equal((await iterations(rig, 's', 'completed')).length, 0, 'it does not run before its next one is made');
  await rig.redis.rename('aside', 'bull:q:repeat');
  await (await rig.queue(6, 'q').getJob(back)).promote();
  await waitUntil(async () => (await iterations(rig, 's', 'completed')).length >= 3, 20000);
});

test('a scheduler with a pattern that cannot be read keeps its job, loudly', async (t) => {
  const rig = await Rig.start(t);
  await rig.queue(6, 'q').upsertJobScheduler('s', { pattern: '* * * * * *', tz: 'UTC' }, { name: 'n' });
  const [id] = await pending(rig, 's');
  const opts = JSON.parse(await rig.redis.hget(`bull:q:${id}`, 'opts'));
  opts.repeat.tz = 'Moon/Tranquility';
  await rig.redis.hset(`bull:q:${id}`, 'opts', JSON.stringify(opts));
  const daemon = await rig.droverd(noop);
  const [said] = await daemon.waitEvent('schedule.failed');
  assert.match(said.why, /tz: there is no time zone "Moon\/Tranquility"/);
  await waitUntil(async () => (await iterations(rig, 's', 'delayed')).includes(id), 10000);
});

test('opts of an iteration that cannot be read: the job fails, the schedule goes on from its scheduler', async (t) => {
  const rig = await Rig.start(t);
  for (const [id, options] of Object.entries({ every: { every: 1000 }, cron: { pattern: '* * * * * *', tz: 'UTC' } })) {
    await rig.queue(6, 'q').upsertJobScheduler(id, options, { name: 'n', data: { k: id }, opts: { priority: 7 } });
    const [job] = await pending(rig, id);
    await rig.redis.hset(`bull:q:${job}`, 'opts', '{damaged');
  }
  await rig.droverd(noop);
  for (const id of ['every', 'cron']) {
    await waitUntil(async () => (await iterations(rig, id, 'completed')).length >= 2, 30000, id);
    assert.equal((await iterations(rig, id, 'failed')).length, 1);
    const [job] = await iterations(rig, id, 'completed');
    assert.deepEqual([await rig.redis.hget(`bull:q:${job}`, 'priority'), await rig.redis.hget(`bull:q:${job}`, 'data')], ['7', `{"k":"${id}"}`]);
  }
});

test('retries of an iteration make no second chain', async (t) => {
  const rig = await Rig.start(t);
  await rig.queue(5, 'q').upsertJobScheduler('s', { every: 300 }, { name: 'n', opts: { attempts: 3, backoff: 10 } });
  const script = rig.script('fail.sh', '#!/bin/sh\n[ "$DROVER_ATTEMPT" -ge 3 ] && exit 0\nexit 75\n');
  await rig.droverd({ queues: { q: { concurrency: 2, handler: { exec: [script] } } } });
  await waitUntil(async () => (await iterations(rig, 's', 'completed')).length >= 4, 40000);
  const hash = await rig.redis.hgetall('bull:q:repeat:s');
  const all = new Set((await rig.redis.keys('bull:q:repeat:s:*')).map(slot).filter((n) => n > 1e12));
  assert.equal(Number(hash.ic), all.size, 'as many jobs as iterations were counted');
});

test('repeatable jobs of bullmq 5 go on with drover: keys by md5', async (t) => {
  const rig = await Rig.start(t);
  const queue = rig.queue(5, 'q');
  await queue.add('old', { d: 1 }, { repeat: { every: 200 }, attempts: 2 });
  await queue.add('cron', { d: 2 }, { repeat: { pattern: '* * * * * *', tz: 'UTC', limit: 3 } });
  const keys = (await queue.getRepeatableJobs()).map((job) => job.key);
  assert.ok(keys.every((key) => /^[0-9a-f]{32}$/.test(key)), String(keys));
  await rig.droverd(noop);
  const all = async (name) => (await queue.getJobs(['completed'])).filter((job) => job.name === name);
  await waitUntil(async () => (await all('old')).length >= 4 && (await all('cron')).length >= 3, 30000);
  const old = (await all('old'))[0];
  assert.deepEqual([old.data, old.opts.attempts, old.repeatJobKey], [{ d: 1 }, 2, keys.find((key) => old.id.includes(key))]);
  await queue.removeRepeatable('old', { every: 200 });
  await waitUntil(async () => (await queue.getDelayedCount()) + (await queue.getWaitingCount()) + (await queue.getActiveCount()) === 0, 10000);
  assert.equal((await all('cron')).length, 3, 'the limit is kept');
});

test('repeatable jobs of before bullmq 5 go on with drover: keys that are the rule as text', async (t) => {
  const rig = await Rig.start(t);
  const queue = rig.queue(5, 'q');
  await queue.waitUntilReady();
  const md5 = (text) => createHash('md5').update(text).digest('hex');
  const key = 'old::::300';
  const stem = `repeat:${md5(`old${md5(key)}`)}`;
  const due = Math.floor(Date.now() / 300) * 300 + 300;
  await rig.redis.zadd('bull:q:repeat', due, key);
  const add = (rjk) => rig.redis.multi()
    .hset(`bull:q:${stem}:${due}`, 'name', 'old', 'data', '{"v":3}', 'timestamp', Date.now(), 'delay', 300, 'priority', 0, ...rjk,
      'opts', JSON.stringify({ repeat: { every: 300, count: 1 }, attempts: 2, jobId: `${stem}:${due}`, delay: 300, prevMillis: due }))
    .zadd('bull:q:delayed', due * 4096, `${stem}:${due}`).exec();
  await add([]); // so old that the job does not name its key
  const daemon = await rig.droverd(noop);
  const done = async () => (await queue.getJobs(['completed'])).filter((job) => job.name === 'old');
  await waitUntil(async () => (await done()).length >= 4, 30000, () => daemon.tail());
  for (const job of await done()) assert.ok(job.id.startsWith(`${stem}:`) && job.data.v === 3, job.id);
  assert.equal((await rig.redis.zrange('bull:q:delayed', 0, -1)).length <= 1, true);
  assert.equal(await rig.redis.hget(`bull:q:repeat:${key}`, 'ic'), null, 'it does not become a scheduler');
  await daemon.drain();
  const worker = rig.worker(5, 'q', async () => {});
  await worker.waitUntilReady();
  const before = (await done()).length;
  await waitUntil(async () => (await done()).length >= before + 3, 20000, 'bullmq 5 goes on from there');
});
