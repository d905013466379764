// model.mjs - the life of a job: the moves that docs/states.md allows, and what must hold after every script (wire format
// 13.1). Random operations of two workers, a producer, a pauser, a stalled checker and people go through drover; after each
// one all keys are looked at.
import * as fs from 'node:fs';
import * as path from 'node:path';
import { jobKey, root } from '../rig.mjs';
import { PREFIXES, QUEUES, Side, driverOf, dump, shrink } from './differ.mjs';

const PLACES = { wait: 'waiting', paused: 'waiting', active: 'active', prioritized: 'prioritized', delayed: 'delayed',
  'waiting-children': 'waiting-children', completed: 'completed', failed: 'failed' };
const NOWHERE = 'none';

/** Rows "| from | to | by |" of the section "A job" of docs/states.md: {operation: {from: Set of to}}. */
export function readMoves() {
  const text = fs.readFileSync(path.join(root, 'docs', 'states.md'), 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith('A job'));
  const moves = {};
  for (const line of section.split('\n')) {
    const cells = line.split('|').slice(1, -1).map((cell) => cell.trim());
    if (cells.length !== 3 || cells[0] === 'from' || cells[0].startsWith('-')) continue;
    for (const operation of cells[2].split(',').map((word) => word.trim().replaceAll('`', ''))) {
      for (const from of cells[0].replace(/\(.*\)/, '').split(',').map((word) => word.trim())) {
        for (const to of cells[1].split(',').map((word) => word.trim())) ((moves[operation] ??= {})[from] ??= new Set()).add(to);
      }
    }
  }
  return moves;
}

/** Whether one operation may bring a job there, in one or more of its moves. */
export function isAllowed(moves, operation, from, to) {
  const seen = new Set([from]);
  for (const state of seen) {
    for (const next of moves[operation]?.[state] ?? []) {
      if (next === to) return true;
      seen.add(next);
    }
  }
  return false;
}

/** {"<queue>:<id>": {places, hash, lock}} of a dump. */
function jobsOf(dumped) {
  const jobs = {};
  const job = (key) => (jobs[key] ??= { places: [], hash: null, lock: false });
  for (const [key, { type, value }] of Object.entries(dumped)) {
    const q = key.slice(0, key.indexOf(':'));
    const rest = key.slice(q.length + 1);
    if (PLACES[rest]) {
      for (const id of type === 'zset' ? value.map(([member]) => member) : value) job(`${q}:${id}`).places.push(rest);
      continue;
    }
    const owner = /^repeat:.+:\d{13}(:lock|:logs)?$/.test(rest) ? [rest.replace(/:(lock|logs)$/, ''), /:(lock|logs)$/.exec(rest)?.[1] ?? null] : jobKey(rest);
    if (!owner) continue;
    if (owner[1] === 'lock') job(`${q}:${owner[0]}`).lock = true;
    else if (owner[1] === null && type === 'hash') job(`${q}:${owner[0]}`).hash = value;
  }
  return jobs;
}

const stateOf = (job) => (job?.places.length ? PLACES[job.places[0]] : NOWHERE);

/** What is wrong with the keys as they are. */
function wrongNow(dumped, jobs) {
  const lines = [];
  for (const [key, job] of Object.entries(jobs)) {
    if (job.places.length > 1) lines.push(`${key} is in ${job.places.join(' and ')}`);
    if (job.places.length && !job.hash) lines.push(`${key} is in ${job.places[0]} and has no hash`);
    if (job.hash && !job.places.length) lines.push(`${key} has a hash and is in no state`);
    if (job.lock && job.places[0] !== 'active') lines.push(`${key} has a lock and is ${stateOf(job)}`);
    if (!job.hash || !job.places.length) continue;
    const state = stateOf(job);
    if (state === 'active' && (!job.hash.processedOn || !(Number(job.hash.ats) > 0))) lines.push(`${key} is active and was not started`);
    if ((state === 'completed' || state === 'failed') && !job.hash.finishedOn) lines.push(`${key} is ${state} without finishedOn`);
    if (state === 'completed' && job.hash.returnvalue === undefined) lines.push(`${key} is completed without a value`);
    if (state === 'failed' && (job.hash.failedReason === undefined || job.hash.defa !== undefined)) lines.push(`${key} failed without a reason, or with defa`);
  }
  for (const q of QUEUES) {
    const paused = dumped[`${q}:meta`]?.value.paused !== undefined;
    if (paused && dumped[`${q}:wait`]) lines.push(`${q} is paused, and wait holds jobs`);
    if (!paused && dumped[`${q}:paused`]) lines.push(`${q} runs, and paused holds jobs`);
    if (paused && dumped[`${q}:marker`]?.value.some(([member]) => member === '0')) lines.push(`${q} is paused, and its marker tells of work`);
    for (const [id, score] of dumped[`${q}:prioritized`]?.value ?? []) {
      const priority = Number(jobs[`${q}:${id}`].hash?.priority);
      if (Math.floor(score / 4294967296) !== priority || priority === 0) lines.push(`${q}:${id} has priority ${priority} and score ${score}`);
    }
    for (const [id] of dumped[`${q}:waiting-children`]?.value ?? []) {
      const children = dumped[`${q}:${id}:dependencies`]?.value ?? [];
      if (!children.length) lines.push(`${q}:${id} waits for children and has none`);
      for (const child of children) {
        if (!jobs[child.slice('df:'.length)]?.hash) lines.push(`${q}:${id} waits for ${child}, which is gone`);
      }
    }
  }
  return lines;
}

const fetchable = (dumped, q) => new Set([...(dumped[`${q}:wait`]?.value ?? []), ...(dumped[`${q}:prioritized`]?.value ?? []).map(([id]) => id)]);

function isMaxed(dumped, q) {
  const most = Number(dumped[`${q}:meta`]?.value.concurrency ?? Infinity);
  return (dumped[`${q}:active`]?.value.length ?? 0) >= most;
}

/** What is wrong with the step from one dump to the next. */
function wrongStep(moves, op, before, after, dumpedBefore, dumped) {
  const lines = [];
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [from, to] = [stateOf(before[key]), stateOf(after[key])];
    if (from !== to && !isAllowed(moves, op.op, from, to)) lines.push(`${key} went from ${from} to ${to} by ${op.op}`);
    const [old, now] = [before[key]?.hash, after[key]?.hash];
    if (!old || !now || old.timestamp !== now.timestamp || to === NOWHERE) continue;
    for (const field of ['atm', 'ats', 'stc', 'gbc']) {
      if (Number(now[field] ?? 0) < Number(old[field] ?? 0) && !op.op.startsWith('retry')) lines.push(`${key} ${field} went from ${old[field]} to ${now[field]} by ${op.op}`);
    }
    if (to === 'active' && from !== 'active' && !after[key].lock) lines.push(`${key} became active without a lock`);
  }
  for (const q of QUEUES) {
    const told = new Map(dumped[`${q}:marker`]?.value ?? []);
    const was = fetchable(dumpedBefore, q);
    const gained = [...fetchable(dumped, q)].filter((id) => !was.has(id));
    const paused = dumped[`${q}:meta`]?.value.paused !== undefined;
    if (gained.length && !paused && !isMaxed(dumped, q) && !told.has('0')) lines.push(`${q}: ${gained[0]} waits by ${op.op}, and nobody is woken`);
    const [head, headBefore] = [dumped, dumpedBefore].map((one) => one[`${q}:delayed`]?.value[0]?.[1] ?? Infinity);
    if (head < headBefore && !told.has('0') && !(told.get('1') <= head / 4096)) lines.push(`${q}: a job is due earlier by ${op.op}, and nobody is told`);
    const grown = (dumped[`${q}:active`]?.value ?? []).filter((id) => !(dumpedBefore[`${q}:active`]?.value ?? []).includes(id));
    const most = Number(dumped[`${q}:meta`]?.value.concurrency ?? Infinity);
    if (grown.length && dumped[`${q}:active`].value.length > most) lines.push(`${q}: more active than ${most} by ${op.op}`);
  }
  return lines;
}

export class Model {
  constructor(rig) {
    Object.assign(this, { rig, moves: readMoves() });
    this.side = new Side('drover', [driverOf(), rig.socket, PREFIXES.drover, ...QUEUES]);
    rig.ends.push(() => this.side.end());
    this.seen = new Set(); // moves that happened: "operation from to"
  }

  async patch(mutation) {
    await this.side.run([{ op: 'patch', ...mutation }]);
  }

  async run(ops) {
    await this.rig.redis.eval("redis.call('FLUSHDB')", 0);
    await this.side.run([{ op: 'reset', major: 6 }]);
    let dumped = await dump(this.rig.redis, 'drover');
    let jobs = jobsOf(dumped);
    for (const [at, op] of ops.entries()) {
      await this.side.run([op]);
      const next = await dump(this.rig.redis, 'drover');
      const nextJobs = jobsOf(next);
      const lines = [...wrongNow(next, nextJobs), ...wrongStep(this.moves, op, jobs, nextJobs, dumped, next)];
      if (lines.length) return { at: at + 1, lines };
      for (const key of new Set([...Object.keys(jobs), ...Object.keys(nextJobs)])) {
        const [from, to] = [stateOf(jobs[key]), stateOf(nextJobs[key])];
        if (from !== to) this.seen.add(`${op.op}: ${from} → ${to}`);
      }
      [dumped, jobs] = [next, nextJobs];
    }
    return null;
  }

  shrink(ops, seen) {
    return shrink((less) => this.run(less), ops, seen);
  }
}
