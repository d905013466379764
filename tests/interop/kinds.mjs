// kinds.mjs - every kind of job that a stock producer can put into a queue without flows, schedulers and
// deduplication, and how each must end. Used by the main proof, the chaos run and the demo of differences.

const odd = [
  'text', 0, -1.5, true, null, [], [1, [2, []]], { a: { b: [] } }, 'zeichen: äöü € 漢字 🚀', { s: 'line\nbreak\ttab"quote\\' },
  { big: 12345678901234567890, small: 1e-9 }, { empty: '' }, 'x'.repeat(5000), { lone: '\ud800' },
];

/** name: behaviour (see behave()); end: completed | failed; keep: whether its hash stays; atm: attempts made at the end. */
export const kinds = {
  plain: { share: 300, name: 'ok', end: 'completed' },
  bulk: { share: 120, name: 'ok', end: 'completed', bulk: true },
  delayed: { share: 60, name: 'ok', end: 'completed', opts: (n) => ({ delay: 1 + (n * 37) % 2000 }) },
  'prioritised': { share: 100, name: 'ok', end: 'completed', opts: (n) => ({ priority: 1 + n % 10 }) },
  'delayed and prioritised': { share: 30, name: 'ok', end: 'completed', opts: (n) => ({ delay: 100 + n % 900, priority: 1 + n % 3 }) },
  lifo: { share: 60, name: 'ok', end: 'completed', opts: () => ({ lifo: true }) },
  'custom id': { share: 60, name: 'ok', end: 'completed', opts: (n, tag) => ({ jobId: `${tag}-own-${n}` }) },
  'id with three parts': { share: 10, name: 'ok', end: 'completed', opts: (n, tag) => ({ jobId: `${tag}:x:${n}` }) },
  echo: { share: 40, name: 'echo', end: 'completed', data: (n) => odd[n % odd.length], echo: true },
  'retry at once': { share: 15, name: 'flaky', end: 'completed', atm: 3, opts: () => ({ attempts: 3 }) },
  'retry fixed': { share: 15, name: 'flaky', end: 'completed', atm: 3, opts: () => ({ attempts: 3, backoff: { type: 'fixed', delay: 60 } }) },
  'retry number': { share: 5, name: 'flaky', end: 'completed', atm: 3, opts: () => ({ attempts: 4, backoff: 30 }) },
  'retry exponential': { share: 15, name: 'flaky', end: 'completed', atm: 3, opts: () => ({ attempts: 5, backoff: { type: 'exponential', delay: 40 } }) },
  'retry with jitter': { share: 10, name: 'flaky', end: 'completed', atm: 3, opts: () => ({ attempts: 3, backoff: { type: 'exponential', delay: 40, jitter: 0.5 } }) },
  'retry prioritised': { share: 10, name: 'flaky', end: 'completed', atm: 3, opts: () => ({ attempts: 3, priority: 4 }) },
  'retry lifo': { share: 5, name: 'flaky', end: 'completed', atm: 3, opts: () => ({ attempts: 3, lifo: true }) },
  'short stack': { share: 5, name: 'flaky', end: 'completed', atm: 3, stack: 1, opts: () => ({ attempts: 3, stackTraceLimit: 1 }) },
  'no stack': { share: 5, name: 'flaky', end: 'completed', atm: 3, stack: 0, opts: () => ({ attempts: 3, stackTraceLimit: 0 }) },
  exhausted: { share: 10, name: 'always', end: 'failed', atm: 2, opts: () => ({ attempts: 2, backoff: { type: 'fixed', delay: 20 } }) },
  'one attempt': { share: 10, name: 'always', end: 'failed', atm: 1 },
  unrecoverable: { share: 10, name: 'bad', end: 'failed', atm: 1, opts: () => ({ attempts: 5, backoff: 1000 }) },
  'removed when completed': { share: 40, name: 'ok', end: 'completed', gone: true, opts: () => ({ removeOnComplete: true }) },
  'kept when completed': { share: 20, name: 'ok', end: 'completed', opts: () => ({ removeOnComplete: false }) },
  'newest completed': { share: 20, name: 'ok', end: 'completed', opts: () => ({ removeOnComplete: 100000 }) },
  'young completed': { share: 10, name: 'ok', end: 'completed', opts: () => ({ removeOnComplete: { age: 3600, count: 100000 } }) },
  'removed when failed': { share: 5, name: 'bad', end: 'failed', gone: true, atm: 1, opts: () => ({ removeOnFail: true }) },
  'kept when failed': { share: 5, name: 'bad', end: 'failed', atm: 1, opts: () => ({ removeOnFail: false }) },
  'newest failed': { share: 5, name: 'bad', end: 'failed', atm: 1, opts: () => ({ removeOnFail: 100000 }) },
  'young failed': { share: 5, name: 'bad', end: 'failed', atm: 1, opts: () => ({ removeOnFail: { age: 3600, limit: 10 } }) },
};

/** The list of jobs to add, `count` in all, mixed evenly. tag keeps custom ids of several producers apart. */
export function plan(count, tag) {
  const total = Object.values(kinds).reduce((sum, k) => sum + k.share, 0);
  const jobs = [];
  for (const [kind, k] of Object.entries(kinds)) {
    const share = Math.max(2, Math.round((count * k.share) / total));
    for (let n = 0; n < share; n++) {
      const data = k.data ? k.data(n) : { kind, n };
      jobs.push({ kind, name: k.name, data, opts: k.opts ? k.opts(n, tag) : {}, order: (n + 0.5) / share });
    }
  }
  jobs.sort((a, b) => a.order - b.order);
  if (jobs.length > count) jobs.length = count;
  while (jobs.length < count) jobs.push({ kind: 'plain', name: 'ok', data: { kind: 'plain', n: jobs.length }, opts: {} });
  return jobs;
}

/** Adds a plan through a stock Queue, some by add, some by addBulk; calls seen(job, plan row) for each answer. */
export async function produce(queue, rows, seen) {
  const single = rows.filter((r) => !kinds[r.kind].bulk);
  const bulk = rows.filter((r) => kinds[r.kind].bulk);
  for (let i = 0; i < single.length; i += 200) {
    const part = single.slice(i, i + 200);
    const jobs = await Promise.all(part.map((r) => queue.add(r.name, r.data, r.opts)));
    jobs.forEach((job, n) => seen(job, part[n]));
    const some = bulk.splice(0, 100);
    if (some.length) (await queue.addBulk(some.map((r) => ({ name: r.name, data: r.data, opts: r.opts })))).forEach((job, n) => seen(job, some[n]));
  }
  for (let i = 0; i < bulk.length; i += 100) {
    const some = bulk.slice(i, i + 100);
    (await queue.addBulk(some.map((r) => ({ name: r.name, data: r.data, opts: r.opts })))).forEach((job, n) => seen(job, some[n]));
  }
}
