// generate.mjs - a seeded random sequence of operations for the differential test. An operation stands on its own: it
// names jobs by a number into a list of those that were met (driver.h), so any subset of a sequence is a sequence.

/** Numbers in [0, 1) that a seed decides (mulberry32). */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const START_MS = 1700000000000;
const STEPS_MS = [0, 0, 0, 0, 1, 3, 20, 500, 1000, 5000, 7000, 60000];
const DELAYS_MS = [1, 20, 500, 500, 1000, 1000, 7000, 60000];
const PRIORITIES = [1, 1, 2, 3, 10, 2097151];
const DEDUP_TTL_MS = 7200000; // never over while a sequence runs; `age` shortens it

class Generator {
  constructor(seed) {
    this.next = random(seed);
    this.now = START_MS;
    this.serial = 0;
  }

  int(below) { return Math.floor(this.next() * below); }
  of(list) { return list[this.int(list.length)]; }
  chance(p) { return this.next() < p; }
  pick(list) { return { of: list, pick: this.int(1000000) }; }

  data() { return this.of([{}, { a: 1 }, { text: 'é/"\\', list: [1, 2, { b: null }] }, 7, 'word', [1, [2]], null]); }

  keep() { return this.of([true, 1, 3, 3, { count: 2, age: 3600 }, { age: 5 }, { age: 5 }, false]); }

  failing(opts) {
    if (this.chance(0.6)) opts.attempts = this.of([1, 2, 3, 5]);
    if (opts.attempts > 1 && this.chance(0.6)) opts.backoff = { type: this.of(['fixed', 'exponential']), delay: this.of([1, 500, 1000]) };
    if (this.chance(0.2)) opts.removeOnComplete = this.keep();
    if (this.chance(0.2)) opts.removeOnFail = this.keep();
    if (this.chance(0.1)) opts.stackTraceLimit = this.of([0, 1, 2]);
    return opts;
  }

  dedup() {
    const id = this.of(['s', 't', 'u', 'v']);
    return this.of([
      { id }, { id, ttl: DEDUP_TTL_MS }, { id, ttl: DEDUP_TTL_MS, extend: true }, { id, replace: true },
      { id, ttl: DEDUP_TTL_MS, extend: true, replace: true }, { id, ttl: DEDUP_TTL_MS, replace: true }, { id, keepLastIfActive: true },
      { id, keepLastIfActive: true, ttl: DEDUP_TTL_MS },
    ]);
  }

  opts({ own = 0.1, dedup = 0.12 } = {}) {
    const opts = this.failing({});
    if (this.chance(own)) opts.jobId = `own-${this.int(12)}`;
    if (this.chance(0.25)) opts.delay = this.of(DELAYS_MS);
    if (this.chance(0.3)) opts.priority = this.of(PRIORITIES);
    if (this.chance(0.12)) opts.lifo = true;
    if (this.chance(dedup)) opts.deduplication = this.dedup();
    return opts;
  }

  job(more) {
    const job = { name: this.of(['mail', 'resize', 'n']), data: this.data(), opts: this.opts(more) };
    if (!job.opts.deduplication && this.chance(0.08)) {
      job.parent = this.pick(this.of(['parents', 'parents', 'all']));
      Object.assign(job.opts, this.policy());
    }
    return job;
  }

  policy() {
    const name = this.of(['failParentOnFailure', 'continueParentOnFailure', 'ignoreDependencyOnFailure', 'removeDependencyOnFailure', null]);
    return name ? { [name]: true } : {};
  }

  node(depth, child) {
    const opts = this.failing({ jobId: `flow-${++this.serial}` });
    if (this.chance(0.2)) opts.delay = this.of(DELAYS_MS);
    if (this.chance(0.3)) opts.priority = this.of(PRIORITIES);
    if (child) Object.assign(opts, this.policy());
    const node = { q: this.of(['q', 'q', 'p']), name: 'flow', data: this.data(), opts };
    if (depth > 0 && (!child || this.chance(0.3))) {
      node.children = Array.from({ length: 1 + this.int(3) }, () => this.node(depth - 1, true));
    }
    return node;
  }

  queue() { return this.of(['q', 'q', 'q', 'p']); }
}

const made = {
  add: (g) => ({ q: g.queue(), ...g.job() }),
  bulk: (g) => ({ q: g.queue(), jobs: Array.from({ length: 1 + g.int(6) }, () => g.job({ own: 0.05 })) }),
  flow: (g) => ({ tree: g.node(2, false) }),
  fetch: (g) => ({ q: g.queue(), w: g.of(['A', 'B']) }),
  complete: (g) => ({ pick: g.int(1000000), value: g.of([null, 1, 'done', { ok: [true] }]), fetch: g.chance(0.6) }),
  fail: (g) => ({ pick: g.int(1000000), reason: g.of(['boom', 'no luck', 'é "q"']), for_good: g.chance(0.15), fetch: g.chance(0.5) }),
  delay: (g) => ({ pick: g.int(1000000), ms: g.of(DELAYS_MS), fetch: g.chance(0.3) }),
  giveBack: (g) => ({ pick: g.int(1000000) }),
  moveToWait: (g) => ({ pick: g.int(1000000), ...(g.chance(0.3) ? { ms: 600000 } : {}), fetch: g.chance(0.3) }),
  waitChildren: (g) => ({ pick: g.int(1000000), fetch: g.chance(0.3) }),
  promote: (g) => g.pick(g.of(['delayed', 'delayed', 'all'])),
  retry: (g) => {
    const from = g.of(['failed', 'failed', 'completed']);
    return { ...g.pick(g.of([from, from, 'all'])), from, resetMade: g.chance(0.3), resetStarted: g.chance(0.2) };
  },
  priority: (g) => ({ ...g.pick(g.of(['waiting', 'prioritized', 'all'])), priority: g.of([0, ...PRIORITIES]), lifo: g.chance(0.3) }),
  changeDelay: (g) => ({ ...g.pick('delayed'), ms: g.of(DELAYS_MS) }),
  data: (g) => ({ ...g.pick('all'), value: g.data() }),
  detach: (g) => g.pick('all'),
  remove: (g) => ({ ...g.pick(g.of(['all', 'parents'])), children: g.chance(0.5) }),
  drain: (g) => ({ q: g.queue(), delayed: g.chance(0.4) }),
  clean: (g) => ({ q: g.queue(), state: g.of(['completed', 'failed', 'wait', 'delayed', 'prioritized', 'active', 'paused']), grace: g.of([0, 0, 1000, 60000]), limit: 1000 }),
  retryJobs: (g) => ({ q: g.queue(), from: g.of(['failed', 'failed', 'completed']) }),
  promoteJobs: (g) => ({ q: g.queue() }),
  concurrency: (g) => ({ q: g.queue(), count: g.of([0, 0, 1, 2, 5]) }),
  rate: (g) => ({ q: g.queue(), max: g.of([0, 0, 2, 5]), ms: 600000 }),
  limitNow: (g) => ({ q: g.queue(), ms: 600000 }),
  scheduler: (g) => ({
    id: g.of(['s1', 's2', 's:3']), name: g.of(['tick', 'tock']), data: g.of([{}, { n: 1 }]), opts: g.of([{}, { priority: 2 }, { attempts: 2, backoff: { type: 'fixed', delay: 500 } }]),
    ...(g.chance(0.6) ? { every: g.of([1000, 5000, 60000]) } : { pattern: g.of(['*/5 * * * * *', '0 * * * *', '*/10 * * * *']), tz: g.of(['UTC', 'Europe/Berlin']) }),
    ...(g.chance(0.2) ? { limit: g.of([1, 3]) } : {}),
  }),
  removeScheduler: (g) => ({ id: g.of(['s1', 's2', 's:3']) }),
  renew: (g) => ({ pick: g.int(1000000) }),
  expireLock: (g) => ({ pick: g.int(1000000) }),
  stalled: (g) => ({ q: g.queue(), max: g.of([0, 1, 1]) }),
  wake: (g) => ({ q: g.queue() }),
  pause: (g) => ({ q: g.queue() }),
  resume: (g) => ({ q: g.queue() }),
  expire: (g) => ({ q: g.queue(), key: g.of(['stalled-check', 'stalled-check', 'limiter', 'de:s', 'de:t']) }),
  age: (g) => ({ q: g.queue(), key: g.of(['de:s', 'de:t', 'de:u']), ms: DEDUP_TTL_MS / 2 }),
  progress: (g) => ({ ...g.pick('all'), value: g.of([0, 55, { at: 'x' }, 'half']) }),
  log: (g) => ({ ...g.pick('all'), row: g.of(['a row', 'another é']), ...(g.chance(0.3) ? { keep: 2 } : {}) }),
};

// What stock clients do otherwise, or not at all: for the model of a job's life only.
const own = {
  recover: (g) => ({ q: g.queue(), w: g.of(['A', 'B']), ...(g.chance(0.6) ? { cause: 'killed' } : {}) }),
  obliterate: (g) => ({ q: g.queue(), force: g.chance(0.5) }),
};
export const ownWeights = { recover: 3, obliterate: 1 };

/** How often each comes. */
export const weights = {
  add: 26, bulk: 6, flow: 5, fetch: 22, complete: 16, fail: 12, delay: 2, giveBack: 2, renew: 2, expireLock: 3, stalled: 4, wake: 3,
  pause: 3, resume: 5, expire: 4, age: 1, progress: 2, log: 2,
  moveToWait: 2, waitChildren: 3, promote: 2, retry: 3, priority: 3, changeDelay: 2, data: 1, detach: 1, remove: 3, drain: 1, clean: 2,
  retryJobs: 1, promoteJobs: 1, concurrency: 2, rate: 2, limitNow: 1, scheduler: 3, removeScheduler: 1,
};

/** `count` operations; `more`: weights of further ones. */
export function generate(seed, count, more = {}) {
  const g = new Generator(seed);
  const bag = Object.entries({ ...weights, ...more }).flatMap(([name, weight]) => Array(weight).fill(name));
  return Array.from({ length: count }, () => {
    const name = g.of(bag);
    g.now += g.of(STEPS_MS);
    return { op: name, now: g.now, ...(made[name] ?? own[name])(g) };
  });
}
