// producer.mjs - a stock BullMQ producer for the demo: what an application that knows nothing of drover does.
// Environment: DROVER_DEMO_SOCKET (the Redis' unix socket), DROVER_DEMO_PREFIX, DROVER_DEMO_JOBS (how many jobs).
// Prints `added N jobs …`. Exit code 69: bullmq is not installed here.
//
// bullmq comes from NODE_PATH or the folders above this file, else from the packages of tests/interop.
import { createRequire } from 'node:module';

const EX_UNAVAILABLE = 69;
const BULK = 100;

function findBullmq() {
  const places = [import.meta.url, new URL('../../tests/interop/package.json', import.meta.url),
    `file://${process.cwd()}/tests/interop/package.json`];
  for (const place of places) {
    for (const name of ['bullmq', 'bullmq6']) {
      try {
        const require = createRequire(place);
        return { bullmq: require(name), version: require(`${name}/package.json`).version };
      } catch (error) {
        if (error.code !== 'MODULE_NOT_FOUND') throw error;
      }
    }
  }
  return null;
}

/** The nth job of the sample; every fifth goes to the queue that runs programs. */
function sampleJob(n) {
  const data = { n, from: 'bullmq' };
  const kind = n % 20;
  if (kind === 0) {
    return ['exec', { name: 'flaky', data, opts: { attempts: 3, backoff: { type: 'fixed', delay: 300 } } }];
  }
  if (kind === 5) return ['exec', { name: 'hello', data, opts: { priority: 1 + (n % 7) } }];
  if (kind === 10) return ['exec', { name: 'hello', data, opts: { delay: 5 * n } }];
  if (kind === 15) return ['exec', { name: 'hello', data }];
  if (kind < 4) return ['noop', { name: 'tick', data, opts: { delay: 8 * n } }];
  if (kind < 8) return ['noop', { name: 'tick', data, opts: { priority: 1 + (n % 10) } }];
  return ['noop', { name: 'tick', data }];
}

async function addAll(bullmq, count) {
  const connection = { path: process.env.DROVER_DEMO_SOCKET };
  const prefix = process.env.DROVER_DEMO_PREFIX || 'bull';
  const jobs = { noop: [], exec: [] };
  for (let n = 1; n <= count; n += 1) {
    const [queue, job] = sampleJob(n);
    jobs[queue].push(job);
  }
  for (const [name, list] of Object.entries(jobs)) {
    const queue = new bullmq.Queue(name, { connection, prefix });
    for (let at = 0; at < list.length; at += BULK) await queue.addBulk(list.slice(at, at + BULK));
    await queue.close();
  }
}

const found = findBullmq();
if (!found) {
  console.log('bullmq is not installed here');
  process.exit(EX_UNAVAILABLE);
}
const count = Number(process.env.DROVER_DEMO_JOBS);
await addAll(found.bullmq, count);
console.log(`added ${count} jobs with bullmq ${found.version}`);
