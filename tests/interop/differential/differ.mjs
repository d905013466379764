// differ.mjs - runs a sequence of operations through stock BullMQ and through drover, compares what both answer and what
// both leave in Redis, and shrinks a sequence that shows a difference.
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as readline from 'node:readline';
import { build, here } from '../rig.mjs';
import { leftOut, normalise } from './differences.mjs';

export const QUEUES = ['q', 'p'];
export const PREFIXES = { stock: 'dfs', drover: 'dfd' };
const COMPARE_EACH = 20;

/** A program that answers a line for each line. */
export class Side {
  constructor(name, argv) {
    this.child = spawn(argv[0], argv.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
    this.name = name;
    this.waiting = [];
    this.said = '';
    this.child.stderr.setEncoding('utf8').on('data', (text) => { this.said += text; });
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => this.waiting.shift().resolve(JSON.parse(line)));
    this.child.stdin.on('error', () => {});
    this.child.on('close', (code) => {
      this.ended = true;
      for (const { reject } of this.waiting) reject(new Error(`${name} ended (${code}): ${this.said}`));
    });
  }

  /** The answers to these operations. */
  async run(ops) {
    if (this.ended) throw new Error(`${this.name} has ended: ${this.said}`);
    const answers = ops.map(() => new Promise((resolve, reject) => { this.waiting.push({ resolve, reject }); }));
    this.child.stdin.write(ops.map((op) => `${JSON.stringify(op)}\n`).join(''));
    return Promise.all(answers);
  }

  async end() {
    if (this.ended) return;
    const ended = new Promise((resolve) => { this.child.once('close', resolve); });
    this.child.stdin.end();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await ended;
    clearTimeout(timer);
  }
}

// All keys under a prefix. The streams are emptied: each dump shows what was told since the last one.
const DUMP = `
local out = {}
local read = {
    string = function(key) return redis.call('GET', key) end,
    list = function(key) return redis.call('LRANGE', key, 0, -1) end,
    set = function(key) return redis.call('SMEMBERS', key) end,
    hash = function(key) return redis.call('HGETALL', key) end,
    zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
    stream = function(key)
        local entries = redis.call('XRANGE', key, '-', '+')
        redis.call('XTRIM', key, 'MAXLEN', '=', '0')
        return entries
    end,
}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. ':*')) do
    local type = redis.call('TYPE', key).ok
    out[#out + 1] = { key, type, redis.call('PTTL', key), read[type](key) }
end
return out`;

const JSON_FIELDS = new Set(['data', 'opts', 'parent', 'returnvalue', 'stacktrace', 'progress', 'pd']);

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

/** JSON as a value, whoever has printed it; other text as it is. */
function field(name, text) {
  if (!JSON_FIELDS.has(name)) return text;
  try {
    return { json: sorted(JSON.parse(text)) };
  } catch {
    return text;
  }
}

function pairs(flat) {
  return Array.from({ length: flat.length / 2 }, (_, at) => [flat[2 * at], flat[2 * at + 1]]);
}

function readValue(type, value) {
  switch (type) {
    case 'set': return [...value].sort();
    case 'hash': return Object.fromEntries(pairs(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, text]) => [name, field(name, text)]));
    case 'zset': return pairs(value).map(([member, score]) => [member, Number(score)]);
    case 'stream': return value.map(([, fields]) => {
      const named = pairs(fields).map(([name, text]) => [name, field(name, text)]);
      return [named[0][1], named.slice(1)];
    });
    default: return value;
  }
}

/** The time to live in half minutes: sequences are over long before that makes a difference. */
const ttlClass = (ms) => (ms < 0 ? null : Math.round(ms / 30000));

export async function dump(redis, side) {
  const prefix = PREFIXES[side];
  const plain = (text) => (typeof text === 'string' ? text.replaceAll(`${prefix}:`, 'df:') : Array.isArray(text) ? text.map(plain) : text);
  const out = {};
  for (const [key, type, ttl, value] of await redis.eval(DUMP, 0, prefix)) {
    out[key.slice(prefix.length + 1)] = { type, ttl: ttlClass(ttl), value: readValue(type, plain(value)) };
  }
  return out;
}

const show = (value) => (value === undefined ? '(not there)' : JSON.stringify(value));

/** What differs between two dumps: lines for people, [] when nothing. */
export function compare(stock, drover) {
  const lines = [];
  for (const key of [...new Set([...Object.keys(stock), ...Object.keys(drover)])].sort()) {
    const [a, b] = [stock[key], drover[key]];
    if (JSON.stringify(a) === JSON.stringify(b)) continue;
    if (a?.type === 'hash' && b?.type === 'hash') {
      for (const name of new Set([...Object.keys(a.value), ...Object.keys(b.value)])) {
        if (JSON.stringify(a.value[name]) !== JSON.stringify(b.value[name])) {
          lines.push(`${key} ${name}: stock ${show(a.value[name])}, drover ${show(b.value[name])}`);
        }
      }
    } else if (a?.type === 'stream' && b?.type === 'stream') {
      const at = a.value.findIndex((entry, index) => JSON.stringify(entry) !== JSON.stringify(b.value[index]));
      const first = at < 0 ? a.value.length : at;
      lines.push(`${key} from entry ${first}: stock ${show(a.value.slice(first, first + 4))}, drover ${show(b.value.slice(first, first + 4))}`);
    } else {
      lines.push(`${key}: stock ${show(a)}, drover ${show(b)}`);
    }
  }
  return lines;
}

/** The shortest sequence found that still shows something wrong, and what: run(ops) gives null or {at, lines}. */
export async function shrink(run, ops, seen) {
  let [best, found] = [ops.slice(0, seen.at), seen];
  for (let piece = Math.ceil(best.length / 2); ; piece = Math.ceil(piece / 2)) {
    for (let at = 0; at < best.length;) {
      const less = [...best.slice(0, at), ...best.slice(at + piece)];
      const result = less.length ? await run(less) : null;
      if (result) [best, found] = [less.slice(0, result.at), result];
      else at += piece;
    }
    if (piece === 1) break;
  }
  const early = await run(best, 1); // a dump may show it before an answer does
  return { ops: best, ...(early ?? found) };
}

/** Where the build has drover's side. */
export function driverOf() {
  const driver = path.join(build, 'tests', 'interop', 'driver', 'queue-driver');
  if (!fs.existsSync(driver)) throw new Error(`queue-driver is not built in ${build}`);
  return driver;
}

/** Both sides of one major on one Redis. */
export class Differ {
  constructor(rig, major) {
    const stock = path.join(here, 'differential', 'stock.mjs');
    Object.assign(this, { rig, major });
    this.stock = new Side('stock', [process.execPath, stock, major, rig.socket, PREFIXES.stock, ...QUEUES].map(String));
    this.drover = new Side('drover', [driverOf(), rig.socket, PREFIXES.drover, ...QUEUES]);
    rig.ends.push(() => this.end());
  }

  async end() {
    await Promise.all([this.stock.end(), this.drover.end()]);
  }

  /** Breaks a rule of drover's on purpose. */
  async patch(mutation) {
    await this.drover.run([{ op: 'patch', ...mutation }]);
  }

  /** The operations of a sequence that are compared with this major. */
  comparable(ops) {
    const without = leftOut(this.major);
    return ops.filter((op) => !without(op));
  }

  /** null, or what differs: {at: operations done, lines}. */
  async run(ops, each = COMPARE_EACH) {
    await this.rig.redis.eval("redis.call('FLUSHDB')", 0);
    for (const prefix of Object.values(PREFIXES)) { // what every Queue of stock clients begins with
      for (const q of QUEUES) await this.rig.redis.hset(`${prefix}:${q}:meta`, 'opts.maxLenEvents', '10000');
    }
    const both = [this.stock, this.drover];
    await Promise.all(both.map((side) => side.run([{ op: 'reset', major: this.major }])));
    for (let at = 0; at < ops.length; at += each) {
      const batch = ops.slice(at, at + each);
      const [a, b] = await Promise.all(both.map((side) => side.run(batch)));
      const wrong = batch.findIndex((_, i) => JSON.stringify(sorted(a[i])) !== JSON.stringify(sorted(b[i])));
      if (wrong >= 0) {
        return { at: at + wrong + 1, lines: [`${JSON.stringify(batch[wrong])}: stock answers ${show(a[wrong])}, drover ${show(b[wrong])}`] };
      }
      const [x, y] = [await dump(this.rig.redis, 'stock'), await dump(this.rig.redis, 'drover')];
      const lines = [...normalise(x, y, this.major), ...compare(x, y)];
      if (lines.length) return { at: at + batch.length, lines };
    }
    return null;
  }

  shrink(ops, seen) {
    return shrink((less, each) => this.run(less, each), ops, seen);
  }
}
