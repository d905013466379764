// BullMQ 5, BullMQ 6 and drover on one queue (wire format 15). Mixed majors lose jobs by themselves: a resume by version 5
// renames `paused` over what version 6 has added to `wait`. Every job is accounted for here, and drover finds those that
// stock peers have lost. DROVER_TEST_SEED repeats a run.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as path from 'node:path';
import { execFileSync } from 'node:child_process';
import { Rig, build, majors, readQueue, sleep, violations, waitUntil } from './rig.mjs';

const MEMORY = 'drover:{bull:q}:orphans';

function ops(rig, ...args) {
  return execFileSync(path.join(build, 'tests/lua/ops/queue-ops'), [rig.socket, 'bull', 'q', ...args.map(String)], { encoding: 'utf8' }).trim();
}

/** found, settled, changed of a look. */
const lookForOrphans = (rig, action) => ops(rig, 'orphans', action).split(' ').map(Number);

/** As if the last look had been a minute earlier: what it remembers is made older, and another look may begin. */
async function passMinute(rig) {
  const memory = await rig.redis.hgetall(MEMORY);
  for (const [id, text] of Object.entries(memory)) {
    const [ms, ...rest] = text.split(' ');
    await rig.redis.hset(MEMORY, id, [Number(ms) - 61000, ...rest].join(' '));
  }
  await rig.redis.del(`${MEMORY}-check`);
}

const LOST = `
  local placed, lost = {}, {}
  for _, name in ipairs({ 'wait', 'paused', 'active' }) do
    for _, id in ipairs(redis.call('LRANGE', 'bull:q:' .. name, 0, -1)) do placed[id] = true end
  end
  for _, name in ipairs({ 'prioritized', 'delayed', 'waiting-children', 'completed', 'failed' }) do
    for _, id in ipairs(redis.call('ZRANGE', 'bull:q:' .. name, 0, -1)) do placed[id] = true end
  end
  for _, key in ipairs(redis.call('KEYS', 'bull:q:*')) do
    local id = string.sub(key, 8)
    if not placed[id] and redis.call('TYPE', key).ok == 'hash' and redis.call('HEXISTS', key, 'timestamp') == 1 then
      lost[#lost + 1] = id
    end
  end
  table.sort(lost)
  return { redis.call('ZCARD', 'bull:q:completed') + redis.call('ZCARD', 'bull:q:failed'), redis.call('LLEN', 'bull:q:active'), lost }`;

/** Asked of Redis in one moment: how many jobs have ended, how many run, and the ids of those that are stored and in no state. */
const takeStock = (rig) => rig.redis.eval(LOST, 0);
const lost = async (rig) => (await takeStock(rig))[2];

function random(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), state | 1) + 0x6d2b79f5) >>> 0;
    return ((state ^ (state >>> 14)) >>> 0) % below;
  };
}

test('stock peers of both majors lose jobs over a pause, and drover puts them back', async (t) => {
  const rig = await Rig.start(t);
  const five = rig.queue(5, 'q');
  const six = rig.queue(6, 'q');
  await five.waitUntilReady();
  await six.waitUntilReady();
  await five.pause();
  await five.add('x', { n: 5 });
  const gone = [];
  for (let n = 0; n < 10; n++) gone.push((await six.add('x', { n }, n % 3 ? {} : { attempts: 3 })).id);
  await five.resume();
  assert.deepEqual(await lost(rig), gone.sort(), 'a resume by version 5 has renamed over them');
  assert.deepEqual(lookForOrphans(rig, 'repair'), [10, 0, 0]);
  assert.deepEqual(lookForOrphans(rig, 'repair'), [10, 0, 0], 'not before a minute has passed');
  assert.equal((await lost(rig)).length, 10);
  await passMinute(rig);
  assert.deepEqual(lookForOrphans(rig, 'repair'), [10, 10, 10]);
  assert.deepEqual(await lost(rig), []);
  const ran = [];
  rig.worker(6, 'q', async (job) => { ran.push(job.id); });
  await waitUntil(() => ran.length === 11, 10000, () => `${ran}`);
  await sleep(200);
  assert.equal(new Set(ran).size, 11, 'each ran once');
  assert.deepEqual(violations(await readQueue(rig.redis, 'q')), []);
});

test('a worker process of drover tells of lost jobs, or puts them back and runs them', async (t) => {
  for (const mode of ['report', 'repair', 'off']) {
    const rig = await Rig.start(t);
    const [five, six] = [rig.queue(5, 'q'), rig.queue(6, 'q')];
    await five.waitUntilReady();
    await six.waitUntilReady();
    await five.pause();
    await five.add('x', {});
    for (let n = 0; n < 5; n++) await six.add('x', { n });
    await five.resume();
    assert.deepEqual(lookForOrphans(rig, 'report'), [5, 0, 0]);
    await passMinute(rig);
    const daemon = await rig.droverd({ queues: { q: { concurrency: 2, processes: 2, handler: 'noop', orphans: mode } } });
    if (mode === 'off') {
      await sleep(7000);
      assert.equal(await rig.redis.exists(`${MEMORY}-check`), 0, 'nobody has looked');
      assert.equal((await lost(rig)).length, 5);
    } else {
      const [event] = await daemon.waitEvent(mode === 'repair' ? 'orphans.repaired' : 'orphans.found');
      assert.equal(event.count, 5);
      assert.equal(event.ids.split(' ').length, 5);
      const want = mode === 'repair' ? 6 : 1;
      await waitUntil(async () => (await rig.redis.zcard('bull:q:completed')) === want, 10000);
      assert.equal((await lost(rig)).length, 6 - want);
      assert.equal(daemon.find('orphans.found').length + daemon.find('orphans.repaired').length, 1, 'one process of the two looks');
    }
    assert.equal(await daemon.drain(), 0);
    await rig.end();
    rig.ends = [];
  }
});

/** Who adds, pauses and resumes, and who works, is drawn; `peers` names who takes part in pausing. */
async function mixed(t, seed, { pausers, resumers, count = 300 }) {
  const rig = await Rig.start(t);
  const draw = random(seed);
  const queues = { 5: rig.queue(5, 'q'), 6: rig.queue(6, 'q') };
  for (const major of majors) await queues[major].waitUntilReady();
  const ran = new Map();
  const note = async (job) => { ran.set(job.id, (ran.get(job.id) ?? 0) + 1); if (job.data.slow) await sleep(5); };
  const workers = majors.map((major) => rig.worker(major, 'q', note, { concurrency: 2, drainDelay: 1 }));
  // drover's worker ends a job without saying so here; its jobs are found in `completed` like those of the others.
  const daemon = await rig.droverd({ queues: { q: { concurrency: 2, handler: 'noop', orphans: 'off' } } });
  const ids = [];
  const who = (from) => from[draw(from.length)];
  const switchTo = async (word, by) => (by === 'drover' ? ops(rig, word) : queues[by][word]());
  let paused = false;
  while (ids.length < count) {
    const turn = draw(20);
    if (turn === 0 && !paused) {
      await switchTo('pause', who(pausers));
      paused = true;
    } else if (turn <= 2 && paused) {
      await switchTo('resume', who(resumers));
      paused = false;
    } else {
      const by = who([5, 6, 'drover']);
      const opts = [{}, {}, {}, { priority: 1 + draw(5) }, { lifo: true }, { delay: 1 + draw(200) }][draw(6)];
      const more = draw(4);
      if (by === 'drover') {
        const args = opts.priority ? ['--priority', opts.priority] : opts.lifo ? ['--lifo'] : opts.delay ? ['--delay', `${opts.delay}ms`] : [];
        ids.push(...await rig.add('q', 'x', [...args, '--lines', '-'], { stdin: Array.from({ length: 1 + more }, () => '{}').join('\n') }));
      } else {
        for (let n = 0; n <= more; n++) ids.push((await queues[by].add('x', { slow: draw(3) === 0 }, opts)).id);
      }
    }
  }
  if (paused) await switchTo('resume', who(resumers));
  return { rig, ids, ran, daemon, workers };
}

/** Everything that was added has ended, or is lost. Returns the lost ones. */
async function accountFor({ rig, ids, daemon }, seed) {
  let [ended, running, gone] = [];
  await waitUntil(async () => {
    [ended, running, gone] = await takeStock(rig);
    return ended + gone.length === ids.length && running === 0;
  }, 40000, async () => `seed ${seed}: ${ids.length} added, ${ended} ended, ${running} running, ${gone.length} lost, ${
    JSON.stringify(Object.fromEntries(await Promise.all(['wait', 'paused'].map(async (k) => [k, await rig.redis.llen(`bull:q:${k}`)]))))}\n${daemon.tail()}`);
  return gone;
}

const given = Number(process.env.DROVER_TEST_SEED);
const seeds = given ? [given] : [1, 2, 3];

for (const seed of seeds) {
  test(`both majors and drover add and work through pauses and resumes by drover: no job is lost (seed ${seed})`, async (t) => {
    const world = await mixed(t, seed, { pausers: [5, 6, 'drover'], resumers: ['drover'] });
    assert.deepEqual(await accountFor(world, seed), []);
    for (const times of world.ran.values()) assert.equal(times, 1, `seed ${seed}`);
    assert.deepEqual(violations(await readQueue(world.rig.redis, 'q')), []);
  });

  test(`both majors pause and resume as well: every job has ended, or is lost by stock peers and found by drover (seed ${seed})`, async (t) => {
    const world = await mixed(t, seed, { pausers: [5, 6, 'drover'], resumers: [5, 6, 'drover'] });
    const { rig, ids, daemon } = world;
    const gone = await accountFor(world, seed);
    t.diagnostic(`seed ${seed}: ${ids.length} added, ${gone.length} lost by stock peers`);
    assert.deepEqual(lookForOrphans(rig, 'repair'), [gone.length, 0, 0]);
    await passMinute(rig);
    assert.deepEqual(lookForOrphans(rig, 'repair'), [gone.length, gone.length, gone.length], `seed ${seed}`);
    assert.deepEqual(await accountFor(world, seed), []);
    assert.equal((await takeStock(rig))[0], ids.length);
    for (const times of world.ran.values()) assert.equal(times, 1, `seed ${seed}: no job ran twice`);
    assert.equal(await daemon.drain(), 0);
    assert.deepEqual(violations(await readQueue(rig.redis, 'q')), []);
  });
}
