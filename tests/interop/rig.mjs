// rig.mjs - what every interop test stands on: a private redis-server, droverd, stock BullMQ of both majors.
// Invariant: all that a test starts ends with it, by pid; a droverd that does not drain or a process that
// outlives its test is a failure. Works with Node 18's node:test.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as url from 'node:url';

const require = createRequire(import.meta.url);
export const here = path.dirname(url.fileURLToPath(import.meta.url));
export const root = path.resolve(here, '..', '..');
export const build = path.resolve(process.env.DROVER_BUILD_DIR ?? path.join(root, 'build', 'gcc'));
export const patience = Number(process.env.DROVER_TEST_PATIENCE ?? 1);

export const bullmq = { 5: require('bullmq5'), 6: require('bullmq6') };
export const IORedis = require('ioredis');
export const majors = [5, 6];

const places = {
  droverd: 'supervisor/master/droverd',
  drover: 'supervisor/cli/drover',
};

export function program(name) {
  const file = path.join(build, places[name]);
  if (!fs.existsSync(file)) throw new Error(`${name} is not built in ${build}; set DROVER_BUILD_DIR`);
  return file;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for a promise to settle either way, `ms` at most. Its timer does not keep the process alive. */
async function atMost(promise, ms) {
  let timer;
  await Promise.race([promise.catch(() => {}), new Promise((resolve) => { timer = setTimeout(resolve, ms); })]);
  clearTimeout(timer);
}

/** Polls until condition() is truthy; throws after `deadline` ms. Returns the value. */
export async function waitUntil(condition, deadline = 20000, what = condition) {
  const end = Date.now() + deadline * patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() >= end) {
      const text = typeof what === 'function' && what !== condition ? await what() : what;
      throw new Error(`not within ${deadline * patience} ms: ${text}`);
    }
    await sleep(15);
  }
}

function pipeLines(stream, onLine) {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    lines.forEach(onLine);
  });
}

function ended(child) {
  return child.exitCode !== null || child.signalCode !== null;
}

async function waitEnd(child, ms) {
  if (ended(child)) return true;
  await atMost(new Promise((resolve) => { child.once('exit', resolve); }), ms * patience);
  return ended(child);
}

/** Scratch folder, servers and clients of one test; everything ends in reverse order after it. */
export class Rig {
  constructor(t) {
    this.dir = fs.mkdtempSync('/var/tmp/drover-');
    this.ends = [];
    this.daemons = [];
    t.after(() => this.end());
  }

  static async start(t, options = {}) {
    const rig = new Rig(t);
    await rig.startRedis(options.redis ?? []);
    return rig;
  }

  async startRedis(options) {
    this.socket = path.join(this.dir, 'redis.sock');
    this.server = spawn('redis-server', ['--port', '0', '--unixsocket', this.socket, '--save', '', '--dir', this.dir,
      '--logfile', path.join(this.dir, 'redis.log'), '--daemonize', 'no', '--maxmemory-policy', 'noeviction', ...options],
    { stdio: 'ignore' });
    const server = this.server;
    this.ends.push(async () => { server.kill('SIGKILL'); await waitEnd(server, 5000); });
    await waitUntil(() => fs.existsSync(this.socket), 10000, 'redis-server listens');
    this.redis = this.client();
    await this.redis.ping();
  }

  client(options = {}) {
    const client = new IORedis(this.socket, { maxRetriesPerRequest: null, ...options });
    client.on('error', () => {});
    this.ends.push(async () => client.disconnect());
    return client;
  }

  /** Connection options for stock classes. */
  get connection() {
    return { path: this.socket, maxRetriesPerRequest: null };
  }

  track(thing) {
    thing.on?.('error', (error) => (thing.seenErrors ??= []).push(error));
    this.ends.push(async () => {
      await atMost(thing.close(true), 3000);
    });
    return thing;
  }

  queue(major, name, options = {}) {
    return this.track(new bullmq[major].Queue(name, { connection: this.connection, ...options }));
  }

  flow(major, options = {}) {
    return this.track(new bullmq[major].FlowProducer({ connection: this.connection, ...options }));
  }

  /** A stock worker in this process. It is closed only once both its connections stand: close() cuts the blocking one
   *  under its first INFO, and the class leaves that rejection unhandled (seen with 5.81). */
  worker(major, name, processor, options = {}) {
    const worker = new bullmq[major].Worker(name, processor, { connection: this.connection, ...options });
    const close = worker.close.bind(worker);
    worker.close = async (force) => {
      await atMost(worker.waitUntilReady(), 3000);
      return close(force);
    };
    return this.track(worker);
  }

  async queueEvents(major, name, options = {}) {
    const events = this.track(new bullmq[major].QueueEvents(name, { connection: this.connection, ...options }));
    await events.waitUntilReady();
    return events;
  }

  /** A stock worker in a process of its own, so that it can be killed. See peer.mjs. */
  async peer(major, name, options = {}) {
    const child = spawn(process.execPath, [path.join(here, 'peer.mjs'), JSON.stringify({ major, name, socket: this.socket, ...options })],
      { stdio: ['ignore', 'pipe', 'inherit'] });
    this.ends.push(async () => { child.kill('SIGKILL'); await waitEnd(child, 5000); });
    const peer = { child, lines: [] };
    pipeLines(child.stdout, (line) => peer.lines.push(JSON.parse(line)));
    peer.find = (what, match = () => true) => peer.lines.filter((l) => l.what === what && match(l));
    peer.kill = async () => { child.kill('SIGKILL'); await waitEnd(child, 5000); };
    await waitUntil(() => peer.find('ready').length, 15000, 'stock worker is ready');
    return peer;
  }

  /** droverd with a configuration object (JSON is YAML). Waits until every worker said ready. */
  async droverd(config, { wait = true, name = `droverd${this.daemons.length}`, env = {} } = {}) {
    const full = { redis: { default: { url: `unix://${this.socket}` } }, log: { level: 'debug', format: 'json', burst: 1000000 }, ...config };
    const file = path.join(this.dir, `${name}.yaml`);
    fs.writeFileSync(file, JSON.stringify(full, null, 1));
    const control = path.join(this.dir, `${name}.control`);
    const child = spawn(program('droverd'), ['-c', file, '--set', `control=${control}`], {
      stdio: ['ignore', 'ignore', 'pipe'], cwd: '/',
      env: { ...process.env, ...env },
    });
    const daemon = new Droverd(child, full, file);
    this.daemons.push(daemon);
    this.ends.push(() => daemon.end());
    if (wait) await daemon.ready();
    return daemon;
  }

  /** `drover …`; resolves to {code, out, err}. */
  async drover(args, { stdin = '', env = {} } = {}) {
    const child = spawn(program('drover'), args.map(String), { cwd: '/', env: { ...process.env, ...env } });
    const result = { out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (t) => { result.out += t; });
    child.stderr.setEncoding('utf8').on('data', (t) => { result.err += t; });
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
    result.code = await new Promise((resolve) => child.on('close', resolve));
    return result;
  }

  /** `drover add` that must succeed; returns the ids. args follow QUEUE NAME. */
  async add(queue, name, args = [], options = {}) {
    const prefix = options.prefix ? ['--prefix', options.prefix] : [];
    const r = await this.drover(['add', '--redis', `unix://${this.socket}`, ...prefix, '--json', ...args, queue, name], options);
    if (r.code !== 0) throw new Error(`drover add: exit ${r.code}\n${r.out}\n${r.err}`);
    return jsonRows(r.out).flatMap((row) => row.ids ?? row.jobs?.map((j) => j.id) ?? [row.id]);
  }

  /** An executable file. */
  script(name, text) {
    const file = path.join(this.dir, name);
    fs.writeFileSync(file, text, { mode: 0o755 });
    return file;
  }

  async end() {
    const problems = [];
    for (const end of this.ends.reverse()) {
      try {
        await end();
      } catch (error) {
        problems.push(error);
      }
    }
    if (!process.env.DROVER_TEST_KEEP) fs.rmSync(this.dir, { recursive: true, force: true });
    if (problems.length) throw problems[0];
  }
}

/** One JSON document, or one per line. */
export function jsonRows(text) {
  try {
    const all = JSON.parse(text);
    return Array.isArray(all) ? all : [all];
  } catch {
    return text.split('\n').filter((l) => l.trim()).map((l) => JSON.parse(l));
  }
}

class Droverd {
  constructor(child, config, file) {
    Object.assign(this, { child, config, file, lines: [], events: [] });
    pipeLines(child.stderr, (line) => {
      this.lines.push(line);
      try {
        this.events.push(JSON.parse(line));
      } catch {
        // a line that is no event: kept in `lines` for the failure text
      }
    });
  }

  tail(count = 25) {
    return this.lines.slice(-count).join('\n');
  }

  find(event, fields = {}) {
    return this.events.filter((e) => e.event === event && Object.entries(fields).every(([k, v]) => e[k] === v));
  }

  async waitEvent(event, { count = 1, deadline = 20000, ...fields } = {}) {
    return waitUntil(() => {
      const found = this.find(event, fields);
      if (found.length >= count) return found;
      if (ended(this.child)) throw new Error(`droverd ended (${this.child.exitCode}) before ${event}\n${this.tail()}`);
      return null;
    }, deadline, () => `log event ${event} ×${count}\n${this.tail()}`);
  }

  async ready() {
    const wanted = Object.values(this.config.queues).reduce((sum, q) => sum + (q?.processes ?? 1), 0);
    await this.waitEvent('worker.ready', { count: wanted, role: 'droverd' });
  }

  /** pids of its worker processes, from /proc. */
  workers() {
    return fs.readdirSync('/proc').filter((n) => /^\d+$/.test(n)).map(Number).filter((pid) => {
      try {
        const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
        const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return Number(rest[1]) === this.child.pid && !'ZX'.includes(rest[0]) && stat.includes('(drover-worker');
      } catch {
        return false;
      }
    });
  }

  kill(signal = 'SIGTERM') {
    return this.child.kill(signal);
  }

  /** SIGTERM; resolves to the exit code. */
  async drain(deadline = 20000) {
    this.child.kill('SIGTERM');
    if (!(await waitEnd(this.child, deadline))) throw new Error(`droverd did not drain\n${this.tail()}`);
    return this.child.exitCode;
  }

  async end() {
    if (ended(this.child)) return;
    const workers = this.workers();
    this.child.kill('SIGTERM');
    let bad = null;
    if (!(await waitEnd(this.child, 10000))) {
      bad = new Error(`droverd did not drain at the end of the test\n${this.tail()}`);
      this.child.kill('SIGKILL');
      await waitEnd(this.child, 5000);
    }
    for (const pid of workers) {
      if (fs.existsSync(`/proc/${pid}`)) {
        try {
          const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
          if (stat.includes('(drover-worker')) process.kill(pid, 'SIGKILL');
        } catch {
          // it has just ended
        }
      }
    }
    if (bad) throw bad;
  }
}

/** The behaviours that jobs of these tests have, by job name: as an exec handler … */
export const handlerScript = `#!/bin/sh
# What a job does is said by its name; the same table as behave() in peer.mjs.
case "$DROVER_JOB_NAME" in
echo)    exec cat ;;
flaky)   [ "$DROVER_ATTEMPT" -ge 3 ] && exit 0; echo "attempt $DROVER_ATTEMPT fails" >&2; exit 75 ;;
always)  echo "always fails" >&2; exit 75 ;;
bad)     echo "cannot ever work" >&2; exit 65 ;;
slow)    exec sleep 600 ;;
*)       exit 0 ;;
esac
`;

/** … and the types of a queue that knows them. */
export function types(script) {
  const exec = { handler: { exec: [script] } };
  return { echo: exec, flaky: exec, always: exec, bad: exec, slow: { ...exec, kill_grace: '1s' } };
}

/** Everything under a queue's prefix: {suffix: {type, value}}. */
export async function readQueue(redis, name, prefix = 'bull') {
  const p = `${prefix}:${name}:`;
  const glob = p.replace(/[*?[\]\\]/g, '\\$&');
  const keys = [];
  let cursor = '0';
  do {
    const [next, part] = await redis.scan(cursor, 'MATCH', `${glob}*`, 'COUNT', 5000);
    keys.push(...part);
    cursor = next;
  } while (cursor !== '0');
  const readers = {
    string: (k) => redis.get(k), list: (k) => redis.lrange(k, 0, -1), set: (k) => redis.smembers(k),
    hash: (k) => redis.hgetall(k), zset: (k) => redis.zrange(k, 0, -1, 'WITHSCORES'), stream: (k) => redis.xrange(k, '-', '+'),
  };
  const out = {};
  await Promise.all([...new Set(keys)].map(async (key) => {
    const type = await redis.type(key);
    if (type === 'none') return;
    out[key.slice(p.length)] = { type, value: await readers[type](key) };
  }));
  return out;
}

const lists = ['wait', 'paused', 'active'];
const zsets = ['prioritized', 'delayed', 'waiting-children', 'completed', 'failed'];
const others = ['marker', 'id', 'pc', 'meta', 'events', 'stalled', 'stalled-check', 'limiter', 'repeat'];
const subs = ['lock', 'logs', 'dependencies', 'processed', 'failed', 'unsuccessful'];
const fieldsKnown = new Set(['name', 'data', 'opts', 'timestamp', 'delay', 'priority', 'parentKey', 'parent', 'rjk', 'deid', 'processedOn', 'pb', 'ats',
  'atm', 'progress', 'returnvalue', 'failedReason', 'stacktrace', 'finishedOn', 'stc', 'defa', 'nrjid', 'tm', 'gbc', 'gbh']);

/** [job id, sub key or null] when a suffix belongs to a job, else null. */
export function jobKey(suffix) {
  if (lists.includes(suffix) || zsets.includes(suffix) || others.includes(suffix) || /^(de|dn|metrics|repeat):/.test(suffix)) return null;
  const cut = suffix.lastIndexOf(':');
  if (cut > 0 && subs.includes(suffix.slice(cut + 1))) return [suffix.slice(0, cut), suffix.slice(cut + 1)];
  return [suffix, null];
}

/** What is wrong with an idle queue by the invariants of wire format 13.1; [] when nothing. */
export function violations(view) {
  const bad = [];
  const where = new Map();
  for (const state of [...lists, ...zsets]) {
    if (!view[state]) continue;
    const value = view[state].value;
    const ids = zsets.includes(state) ? value.filter((_, i) => i % 2 === 0) : value;
    for (const id of ids) {
      if (where.has(id)) bad.push(`job ${id} is in ${where.get(id)} and ${state}`);
      where.set(id, state);
      if (view[id]?.type !== 'hash') bad.push(`job ${id} in ${state} has no hash`);
    }
  }
  for (const [suffix, { type, value }] of Object.entries(view)) {
    const owner = jobKey(suffix);
    if (!owner) continue;
    const [id, sub] = owner;
    if (sub === 'lock') bad.push(`lock of ${id} is held in an idle queue`);
    else if (sub) {
      if (!view[id]) bad.push(`${suffix}: its job does not exist`);
    } else if (type !== 'hash') bad.push(`unknown key ${suffix} (${type})`);
    else {
      if (!where.has(id)) bad.push(`job hash ${id} is in no set: ${Object.keys(value)}`);
      for (const field of Object.keys(value)) if (!fieldsKnown.has(field)) bad.push(`job ${id} has field ${field}`);
    }
  }
  if (view.active) bad.push(`idle, but active holds ${view.active.value.slice(0, 5)}`);
  return bad;
}

/** {key pattern: type, or the sorted fields of its hashes by kind(id, hash)}. */
export function shapes(view, kindOf) {
  const out = {};
  for (const [suffix, { type, value }] of Object.entries(view)) {
    const owner = jobKey(suffix);
    const pattern = owner ? `<${owner[1] ? 'job' : kindOf(suffix, value)}>${owner[1] ? `:${owner[1]}` : ''}` : suffix;
    if (type === 'hash') out[pattern] = [...new Set([...(out[pattern] ?? []), ...Object.keys(value)])].sort();
    else out[pattern] = type;
  }
  return out;
}
