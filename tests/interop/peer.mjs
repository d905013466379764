// peer.mjs - a stock BullMQ worker in a process of its own. One argument: JSON of {major, name, socket, prefix?,
// concurrency?, worker? (options), hold? (names that never end)}. Prints JSON lines: ready, active, completed, failed, error.
import { createRequire } from 'node:module';
import * as url from 'node:url';

const require = createRequire(import.meta.url);

/** The same table as handlerScript in rig.mjs. */
export async function behave(job, { UnrecoverableError }) {
  switch (job.name) {
    case 'echo': return job.data;
    case 'flaky':
      if (job.attemptsMade + 1 < 3) throw new Error(`attempt ${job.attemptsMade + 1} fails`);
      return null;
    case 'always': throw new Error('always fails');
    case 'bad': throw new UnrecoverableError('cannot ever work');
    case 'slow': return new Promise((resolve) => { setTimeout(resolve, 600000); });
    default: return null;
  }
}

function main() {
  const arg = JSON.parse(process.argv[2]);
  const lib = require(`bullmq${arg.major}`);
  const say = (what, more = {}) => process.stdout.write(`${JSON.stringify({ what, ...more })}\n`);
  const worker = new lib.Worker(arg.name, (job) => {
    say('run', { id: job.id, name: job.name, data: job.data, at: Date.now() });
    return behave(job, lib);
  }, {
    connection: { path: arg.socket, maxRetriesPerRequest: null }, prefix: arg.prefix ?? 'bull',
    concurrency: arg.concurrency ?? 1, ...(arg.worker ?? {}),
  });
  worker.on('error', (error) => say('error', { message: error.message }));
  worker.on('completed', (job) => say('completed', { id: job.id }));
  worker.on('failed', (job, error) => say('failed', { id: job?.id, message: error.message }));
  worker.on('stalled', (id) => say('stalled', { id }));
  worker.waitUntilReady().then(() => say('ready'));
  process.on('SIGTERM', () => worker.close().then(() => process.exit(0)));
}

if (process.argv[1] === url.fileURLToPath(import.meta.url)) main();
