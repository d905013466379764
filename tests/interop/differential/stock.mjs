// stock.mjs MAJOR SOCKET PREFIX QUEUE… - the stock side of the differential test: reads the operations that
// queue-driver (tests/interop/driver) reads, does them with stock BullMQ, and answers the same JSON.
//
// Time stands still: `new Date()` and Date.now() are what the operation says.
import { createRequire } from 'node:module';
import * as readline from 'node:readline';

let now = 1700000000000;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(now);
    else super(...args);
  }
  static now() { return now; }
};

const require = createRequire(import.meta.url);
const [major, socket, prefix, ...names] = process.argv.slice(2);
const { Queue, Worker, FlowProducer, UnrecoverableError } = require(`bullmq${major}`);
const IORedis = require('ioredis');
const redis = new IORedis(socket, { maxRetriesPerRequest: null });
const LOCK_MS = 600000;
const WORKERS = ['A', 'B'];

// ---- the world ----

const queues = new Map();
const workers = new Map();
const flows = new FlowProducer({ connection: redis, prefix });
const quiet = (thing) => thing.on('error', () => {});
quiet(flows);
for (const name of names) {
  queues.set(name, new Queue(name, { connection: redis, prefix, skipMetasUpdate: true }));
  quiet(queues.get(name));
  for (const letter of WORKERS) {
    const worker = new Worker(name, null, {
      connection: redis, prefix, autorun: false, lockDuration: LOCK_MS, maxStalledCount: 1,
      metrics: { maxDataPoints: 5 }, ...(letter === 'A' ? { name: 'A' } : major === '6' ? { limiter: { max: 3, duration: 600000 } } : {}),
    });
    quiet(worker);
    workers.set(`${name}/${letter}`, worker);
  }
}

let lists = {};
let held = [];
let calls = 0;

const none = { none: true };
const queueOf = (op) => op.q ?? names[0];
const meet = (list, q, id) => (lists[list] ??= []).push({ q, id });
const pickOf = (op) => (lists[op.of]?.length ? lists[op.of][op.pick % lists[op.of].length] : null);
const pickHeld = (op) => (held.length ? held[op.pick % held.length] : null);
const listFor = (opts) => (opts.delay > 0 ? 'delayed' : opts.priority > 0 ? 'prioritized' : 'waiting');
const keyOf = (q, rest) => `${prefix}:${q}:${rest}`;

const REFUSALS = [
  [/Missing key for job/, -1], [/Missing lock for job/, -2], [/is not in the .* state/, -3], [/has pending dependencies/, -4],
  [/Missing key for parent job/, -5], [/Lock mismatch for job/, -6], [/cannot be replaced/, -7], [/belongs to a job scheduler/, -8],
  [/at least one failed child/, -9],
];

function codeOf(error) {
  const row = REFUSALS.find(([pattern]) => pattern.test(error.message));
  if (!row) throw error;
  return row[1];
}

/** The result, or the code of wire format 5.7 that refused it. */
async function coded(promise) {
  try {
    return [0, await promise];
  } catch (error) {
    return [codeOf(error)];
  }
}

// ---- adding ----

function optsOf(job) {
  const opts = { ...(job.opts ?? {}) };
  if (job.parent) {
    const parent = pickOf(job.parent);
    if (!parent) return null;
    opts.parent = { id: parent.id, queue: `${prefix}:${parent.q}` };
  }
  return opts;
}

async function add(op) {
  const q = queueOf(op);
  const opts = optsOf(op);
  if (!opts) return none;
  const [code, job] = await coded(queues.get(q).add(op.name, op.data, opts));
  if (code) return { ids: [code] };
  meet('all', q, job.id);
  meet(listFor(op.opts ?? {}), q, job.id);
  return { ids: [job.id] };
}

async function bulk(op) {
  const q = queueOf(op);
  const jobs = op.jobs.map((job) => ({ name: job.name, data: job.data, opts: optsOf(job) }));
  if (jobs.some((job) => !job.opts)) return none;
  const added = await queues.get(q).addBulk(jobs);
  added.forEach((job, at) => {
    if (typeof job.id === 'number') return; // a code: addBulk takes it for an id
    meet('all', q, job.id);
    meet(listFor(jobs[at].opts), q, job.id);
  });
  return { ids: added.map((job) => job.id) };
}

function treeOf(node) {
  return { name: node.name, queueName: node.q, data: node.data, opts: node.opts, prefix, children: node.children?.map(treeOf) };
}

async function flow(op) {
  const tree = await flows.add(treeOf(op.tree));
  const ids = [];
  const visit = (node, made) => {
    ids.push(made.job.id);
    meet('all', node.q, made.job.id);
    meet(node.children?.length ? 'parents' : listFor(node.opts ?? {}), node.q, made.job.id);
    (node.children ?? []).forEach((child, at) => visit(child, made.children[at]));
  };
  visit(op.tree, tree);
  return { ids };
}

// ---- workers ----

/** Takes what a worker has fetched. */
function hold(answer, q, worker, job, token) {
  if (job?.id) {
    held.push({ q, worker, job, token });
    answer.ids = [job.id];
  }
  worker.limitUntil = 0;
  return answer;
}

/** What the worker's own loop fetches with. (5's getNextJob is for people, and fails jobs with `defa` itself.) */
function fetchOne(worker, token) {
  return worker.getTracedNextJob ? worker.getTracedNextJob(token, { block: false }) : worker.getNextJob(token, { block: false });
}

async function fetch(op) {
  const q = queueOf(op);
  const letter = op.w ?? 'A';
  const worker = workers.get(`${q}/${letter}`);
  const answer = {};
  for (let at = 0; at < (op.count ?? 1); at++) {
    const token = `worker-${letter}:${++calls}`;
    const job = await fetchOne(worker, token);
    const one = hold({}, q, worker, job, token);
    if (one.ids) (answer.ids ??= []).push(...one.ids);
    else if (!answer.ids) Object.assign(answer, one);
    if (!job) break;
  }
  return answer;
}

/** What a finish with fetch-next has brought: [job, id, limit, due], or nothing. */
async function next(result, q, worker, token) {
  if (!Array.isArray(result)) return null;
  const [data, id, limit, due] = result;
  worker.updateDelays(limit, due);
  return worker.nextJobFromJobData(data, id, token);
}

async function settle(op, run, metIn, codeFrom = () => 0) {
  const one = pickHeld(op);
  if (!one) return none;
  const { q, worker, job, token } = one;
  const [refusal, result] = await coded(run(job, token));
  const code = refusal || codeFrom(result);
  const answer = { code };
  if (metIn) meet(metIn(job, code), q, job.id);
  if (code !== -4 && code !== -9 && code !== 1) held.splice(held.indexOf(one), 1);
  if (op.ms && op.op === 'moveToWait') return answer; // limited: it sleeps
  // Where stock has no fetch with this move, its worker fetches next; so it does when the move was refused.
  if (op.fetch) {
    const fetched = code === 0 && Array.isArray(result) ? await next(result, q, worker, token)
      : code === 0 && settle.fetches ? null : await fetchOne(worker, token);
    hold(answer, q, worker, fetched, token);
  }
  return answer;
}

async function complete(op) {
  settle.fetches = true;
  return settle(op, (job, token) => job.moveToCompleted(op.value, token, Boolean(op.fetch)), () => 'completed');
}

async function fail(op) {
  const one = pickHeld(op);
  if (!one) return none;
  const error = op.for_good || one.job.deferredFailure ? new UnrecoverableError(op.reason) : new Error(op.reason);
  error.stack = `Error: ${op.reason}\n    at a line`;
  const [retry, delay] = await one.job.shouldRetryJob(error);
  const kind = !retry ? 'failed' : delay > 0 ? 'later' : 'retried';
  settle.fetches = kind !== 'retried';
  if (kind === 'retried' && !(await redis.exists(keyOf(one.q, `${one.job.id}:lock`)))) return none;
  const answer = await settle(op, (job, token) => job.moveToFailed(error, token, Boolean(op.fetch)), kind === 'failed' ? () => 'failed' : null);
  return { ...answer, kind };
}

async function delay(op) {
  settle.fetches = false;
  return settle(op, (job, token) => job.moveToDelayed(now + op.ms, token), () => 'delayed');
}

async function giveBack(op) {
  settle.fetches = false;
  return settle(op, (job, token) => job.moveToWait(token));
}

async function moveToWait(op) {
  settle.fetches = false;
  return settle(op, async (job, token) => {
    if (op.ms && (await redis.get(keyOf(job.queue.name, `${job.id}:lock`))) === token) await queues.get(job.queue.name).rateLimit(op.ms);
    return job.moveToWait(token);
  });
}

async function waitChildren(op) {
  settle.fetches = false;
  return settle(op, async (job, token) => ((await job.moveToWaitingChildren(token)) ? 0 : 1), null, (result) => result);
}

async function renew(op) {
  const one = pickHeld(op);
  if (!one || !(await redis.exists(keyOf(one.q, `${one.job.id}:lock`)))) return none;
  return { lost: [(await one.job.extendLock(one.token, LOCK_MS)) !== 1] };
}

async function expireLock(op) {
  const one = pickHeld(op);
  if (!one) return none;
  await redis.del(keyOf(one.q, `${one.job.id}:lock`));
  return {};
}

async function stalled(op) {
  const worker = workers.get(`${queueOf(op)}/B`);
  const ran = (await redis.exists(keyOf(queueOf(op), 'stalled-check'))) === 0;
  let count = 0;
  const listen = () => { count++; };
  worker.on('stalled', listen);
  worker.opts.maxStalledCount = op.max;
  await worker.moveStalledJobsToWait();
  worker.off('stalled', listen);
  return { code: ran ? count : -1 };
}

async function wake(op) {
  await redis.del(keyOf(queueOf(op), 'marker'));
  return {};
}

// ---- queues, and jobs that nobody holds ----

const jobOf = async (picked) => queues.get(picked.q).getJob(picked.id);

/** What the method says of a job that was met; -1 when it is gone. */
async function ofJob(op, run) {
  const picked = pickOf(op);
  if (!picked) return none;
  const job = await jobOf(picked);
  if (!job) return { id: picked.id, code: -1 };
  const [code, result] = await coded(run(job));
  return { id: picked.id, code: code || (typeof result === 'number' ? result : 0) };
}

async function hasKeys(pattern) {
  for (const q of names) {
    if ((await redis.keys(keyOf(q, pattern))).length) return true;
  }
  return false;
}

async function clean(op) {
  if (await hasKeys('*:dependencies')) return none;
  await queues.get(queueOf(op)).clean(op.grace, op.limit, op.state);
  return {};
}

async function remove(op) {
  const picked = pickOf(op);
  if (!picked) return none;
  const [code, result] = await coded(queues.get(picked.q).remove(picked.id, { removeChildren: Boolean(op.children) }));
  return { id: picked.id, code: code || result };
}

async function scheduler(op) {
  if (major === '6' && (await redis.hexists(keyOf(names[0], 'meta'), 'paused'))) return none;
  const { id, every, pattern, tz, limit, name, data, opts } = op;
  const repeat = { ...(every ? { every } : { pattern, tz }), ...(limit === undefined ? {} : { limit }) };
  try {
    const job = await queues.get(names[0]).upsertJobScheduler(id, repeat, { name, data, opts });
    if (!job) return {};
    meet('all', names[0], job.id);
    return { job: job.id };
  } catch (error) {
    if (/job ID already exists/.test(error.message)) return { code: -10 };
    if (/time slots already have jobs/.test(error.message)) return { code: -11 };
    throw error;
  }
}

const operations = {
  moveToWait, waitChildren, clean, remove, scheduler,
  promote: (op) => ofJob(op, async (job) => { await job.promote(); return 0; }),
  retry: (op) => ofJob(op, async (job) => {
    await job.retry(op.from, { resetAttemptsMade: Boolean(op.resetMade), resetAttemptsStarted: Boolean(op.resetStarted) });
    return 0;
  }),
  priority: (op) => ofJob(op, async (job) => { await job.changePriority({ priority: op.priority, lifo: Boolean(op.lifo) }); return 0; }),
  changeDelay: (op) => ofJob(op, async (job) => { await job.changeDelay(op.ms); return 0; }),
  data: (op) => ofJob(op, async (job) => { await job.updateData(op.value); return 0; }),
  // -5 is for a parent that is gone, or that never was.
  async detach(op) {
    const answer = await ofJob(op, async (job) => ((await job.removeChildDependency()) ? 0 : -3));
    return answer.code === -5 ? { ...answer, code: -3 } : answer;
  },
  async drain(op) {
    if ((await hasKeys('repeat')) || (await hasKeys('*:dependencies'))) return none;
    await queues.get(queueOf(op)).drain(Boolean(op.delayed));
    return {};
  },
  async retryJobs(op) { await queues.get(queueOf(op)).retryJobs({ state: op.from, timestamp: now }); return {}; },
  async promoteJobs(op) { await queues.get(queueOf(op)).promoteJobs(); return {}; },
  async concurrency(op) {
    const queue = queues.get(queueOf(op));
    await (op.count ? queue.setGlobalConcurrency(op.count) : queue.removeGlobalConcurrency());
    return { code: 0 };
  },
  async rate(op) {
    const queue = queues.get(queueOf(op));
    await (op.max ? queue.setGlobalRateLimit(op.max, op.ms) : queue.removeGlobalRateLimit());
    return { code: 0 };
  },
  async limitNow(op) { await queues.get(queueOf(op)).rateLimit(op.ms); return { code: 0 }; },
  async removeScheduler(op) { return { code: (await queues.get(names[0]).removeJobScheduler(op.id)) ? 1 : 0 }; },
  add, bulk, flow, fetch, complete, fail, delay, giveBack, renew, expireLock, stalled, wake,
  async reset() {
    lists = {};
    held = [];
    calls = 0;
    for (const worker of workers.values()) Object.assign(worker, { limitUntil: 0, blockUntil: 0, drained: false });
    return {};
  },
  async pause(op) { await queues.get(queueOf(op)).pause(); return { code: 0 }; },
  async resume(op) { await queues.get(queueOf(op)).resume(); return { code: 0 }; },
  async expire(op) { await redis.del(keyOf(queueOf(op), op.key)); return {}; },
  async age(op) { await redis.pexpire(keyOf(queueOf(op), op.key), op.ms, 'XX'); return {}; },
  progress: (op) => ofJob(op, async (job) => { await job.updateProgress(op.value); return 0; }),
  async log(op) {
    const picked = pickOf(op);
    if (!picked) return none;
    const [code, rows] = await coded(queues.get(picked.q).addJobLog(picked.id, op.row, op.keep));
    return { id: picked.id, code: code || rows };
  },
};

await Promise.all([...queues.values(), ...workers.values()].map((thing) => thing.waitUntilReady()));
const input = readline.createInterface({ input: process.stdin });
for await (const line of input) {
  const op = JSON.parse(line);
  if (op.now) now = op.now;
  if (!operations[op.op]) throw new Error(`no operation is called ${op.op}`);
  let answer;
  try {
    answer = await operations[op.op](op);
  } catch (error) {
    error.message += `\nin ${line}`;
    throw error;
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
