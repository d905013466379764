// Job schedulers: the same operations at the same times through stock clients and through drover's engine, on two prefixes of
// one Redis; what then lies there must be the same. SCHED_SEED, SCHED_ROUNDS: other and more sequences.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Rig, majors, readQueue } from './rig.mjs';
import { Engine } from './engine.mjs';
import { Random } from './cron-peers.mjs';

const rounds = Number(process.env.SCHED_ROUNDS ?? 1);
const firstSeed = Number(process.env.SCHED_SEED ?? 1);

/** Date.now() stands at `at` while fn runs; a stock client takes all its times from there. */
async function atTime(at, fn) {
  const RealDate = globalThis.Date;
  globalThis.Date = class extends RealDate {
    constructor(...args) {
      if (args.length === 0) super(at);
      else super(...args);
    }

    static now() { return at; }
  };
  try {
    return await fn();
  } finally {
    globalThis.Date = RealDate;
  }
}

/** All of a queue, comparable between prefixes and majors. */
async function dump(rig, prefix, major) {
  const out = {};
  for (const [suffix, { type, value }] of Object.entries(await readQueue(rig.redis, 'q', prefix))) {
    let view = value;
    if (suffix === 'meta') view = Object.keys(value).filter((name) => name !== 'version').sort();
    else if (suffix === 'events') view = value.map(([, fields]) => fields);
    else if (type === 'hash') {
      view = Object.fromEntries(Object.entries(value).map(([name, text]) => [name, name === 'opts' ? JSON.parse(text) : text]));
      if (major === 6) delete view.nrjid; // drover writes it as 5 does
    }
    out[suffix] = view;
  }
  return out;
}

/** A stock client's side. */
class Stock {
  constructor(rig, major) {
    Object.assign(this, { rig, major });
    this.queue = rig.queue(major, 'q', { prefix: 'stock' });
  }

  async upsert(now, { id, name, data, opts, ...repeat }) {
    try {
      const template = { name, data: data === undefined ? undefined : JSON.parse(data), opts: opts === undefined ? undefined : JSON.parse(opts) };
      const job = await atTime(now, () => this.queue.upsertJobScheduler(id, repeat, JSON.parse(JSON.stringify(template))));
      return job ? { code: 0, job: job.id, delay: job.opts.delay } : 'none';
    } catch (error) {
      if (/job ID already exists/.test(error.message)) return { code: -10 };
      if (/already have jobs/.test(error.message)) return { code: -11 };
      return 'none';
    }
  }

  /** As its worker does with a job it has fetched. */
  async goOn(now, id) {
    const job = await this.queue.getJob(id);
    const scheduler = await this.queue.jobScheduler;
    const next = await atTime(now, () => scheduler.upsertJobScheduler(job.repeatJobKey, job.opts.repeat, job.name, job.data, job.opts,
      { override: false, producerId: job.id }));
    return next?.id ?? null;
  }
}

const ours = (answer) => {
  if (answer.refused) return 'none';
  return answer.code === 0 ? { code: 0, job: answer.job, delay: answer.delay } : { code: answer.code };
};

/** Moves a pending job to active, or an active one to completed, by the same commands on both prefixes. */
async function start(rig, prefix, id) {
  const P = `${prefix}:q:`;
  for (const zset of ['delayed', 'prioritized']) await rig.redis.zrem(P + zset, id);
  for (const list of ['wait', 'paused']) await rig.redis.lrem(P + list, 0, id);
  await rig.redis.lpush(`${P}active`, id);
  await rig.redis.set(`${P}${id}:lock`, 'token');
}

async function finish(rig, prefix, id, now) {
  const P = `${prefix}:q:`;
  if (await rig.redis.lrem(`${P}active`, 1, id) === 0) return;
  await rig.redis.del(`${P}${id}:lock`);
  await rig.redis.zadd(`${P}completed`, now, id);
  await rig.redis.hset(`${P}${id}`, 'finishedOn', now);
}

const templates = [undefined, '{}', '{"attempts":3,"backoff":500}', '{"priority":4}', '{"lifo":true,"removeOnComplete":true}',
  '{"attempts":2,"backoff":{"type":"exponential","delay":100},"keepLogs":3}', '{"deduplication":{"id":"d","ttl":1000}}'];
/** Options that a scheduler stores under another name. */
const stored = (opts) => (opts === undefined ? undefined : opts.replace('keepLogs', 'kl').replace('deduplication', 'de'));
const patterns = ['*/10 * * * * *', '0 * * * *', '30 2 * * *', '0 0 1,15 * 5', '*/7 * * * *', '0 0 31 2 *'];
const zones = ['UTC', 'Europe/Madrid', 'America/New_York', 'Australia/Lord_Howe'];

function randomSpec(random, now) {
  const spec = { id: random.of(['a', 'b', 'c:d']) };
  if (random.between(0, 1)) spec.name = random.of(['n1', 'n2']);
  if (random.between(0, 2) > 0) spec.data = random.of(['{"a":1}', '{}', '[]', '"text"', '{"b":{"c":[1,2]}}']);
  const opts = random.of(templates);
  if (opts !== undefined) spec.opts = opts;
  if (random.between(0, 4) === 0) spec.limit = random.between(1, 4);
  if (random.between(0, 4) === 0) spec.startDate = now + random.between(-5000, 20000);
  if (random.between(0, 5) === 0) spec.endDate = now + random.between(1, 40000);
  if (random.between(0, 2) > 0) {
    spec.every = random.of([1000, 5000, 7000, 60000]);
    if (random.between(0, 3) === 0) spec.offset = random.between(1, 999);
  } else {
    spec.pattern = random.of(patterns);
    spec.tz = random.of(zones);
    if (random.between(0, 3) === 0 && spec.startDate === undefined) spec.immediately = true;
  }
  return spec;
}

for (const major of majors) {
  test(`random operations on schedulers leave the same by drover and by bullmq ${major}`, { timeout: 120000 }, async (t) => {
    const rig = await Rig.start(t);
    const engine = new Engine(rig, 'ours', 'q');
    const stock = new Stock(rig, major);
    await stock.queue.waitUntilReady();
    await rig.redis.hset('ours:q:meta', 'opts.maxLenEvents', 10000);
    let continued = 0;
    for (let seed = firstSeed; seed < firstSeed + 25 * rounds; seed++) {
      const random = new Random(seed);
      const steps = [];
      for (const prefix of ['stock', 'ours']) for (const key of await rig.redis.keys(`${prefix}:q:*`)) if (key !== `${prefix}:q:meta`) await rig.redis.del(key);
      for (const prefix of ['stock', 'ours']) { // 6 puts jobs of a paused queue where 5 would lose them
        await rig.redis.hdel(`${prefix}:q:meta`, 'paused');
        if (major === 5 && seed % 4 === 0) await rig.redis.hset(`${prefix}:q:meta`, 'paused', 1);
      }
      let now = 1795301012476 + random.between(0, 100000000);
      const active = [];
      for (let step = 0; step < 40; step++) {
        now += random.of([0, 1, 400, 3000, 9000, 70000, 4000000]);
        const kind = random.between(0, 9);
        let a;
        let b;
        if (kind <= 2) {
          const spec = randomSpec(random, now);
          steps.push({ now, ...spec });
          a = await stock.upsert(now, spec);
          b = ours(await engine.ask({ op: 'upsert', now, ...spec, opts: stored(spec.opts) }));
        } else if (kind === 3 && random.between(0, 2) === 0) {
          const id = random.of(['a', 'b', 'c:d']);
          steps.push({ now, remove: id });
          a = Number(await stock.queue.removeJobScheduler(id));
          b = (await engine.ask({ op: 'remove', now, id })).value;
        } else if (kind <= 7) {
          const pending = (await rig.redis.zrange('stock:q:repeat', 0, -1, 'WITHSCORES'));
          if (pending.length === 0) continue;
          const at = 2 * random.between(0, pending.length / 2 - 1);
          const id = `repeat:${pending[at]}:${pending[at + 1]}`;
          if (!(await rig.redis.exists(`stock:q:${id}`)) || active.includes(id) || await rig.redis.hexists(`stock:q:${id}`, 'finishedOn')) continue;
          now = Math.max(now, Number(pending[at + 1]));
          steps.push({ now, run: id });
          for (const prefix of ['stock', 'ours']) await start(rig, prefix, id);
          active.push(id);
          a = await stock.goOn(now, id);
          const answer = await engine.ask({ op: 'continue', now, job: id });
          b = answer.next ?? null;
          if (b) continued += 1;
          steps.push({ answer });
        } else if (active.length > 0) {
          const id = active.splice(random.between(0, active.length - 1), 1)[0];
          if (random.between(0, 3) === 0) { // a second run: no second chain
            steps.push({ now, again: id });
            a = await stock.goOn(now, id);
            b = (await engine.ask({ op: 'continue', now, job: id })).next ?? null;
          }
          steps.push({ now, finish: id });
          for (const prefix of ['stock', 'ours']) await finish(rig, prefix, id, now);
        }
        assert.deepEqual(b, a, `seed ${seed}: ${JSON.stringify(steps, null, 1)}`);
        assert.deepEqual(await dump(rig, 'ours', major), await dump(rig, 'stock', major), `seed ${seed}: ${JSON.stringify(steps, null, 1)}`);
      }
    }
    assert.ok(continued > 50, String(continued));
  });
}
