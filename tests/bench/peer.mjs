// peer.mjs - the stock side of the measurements. One argument: JSON of {mode: "work" | "add", socket, queue,
// concurrency?, count?, payload?}. Prints JSON lines.
import { createRequire } from 'node:module';
import * as path from 'node:path';
import * as url from 'node:url';

const here = path.dirname(url.fileURLToPath(import.meta.url));
const require = createRequire(path.join(here, '..', 'interop', 'package.json'));
const arg = JSON.parse(process.argv[2]);
const lib = require(`bullmq${arg.major ?? 6}`);
const connection = { path: arg.socket, maxRetriesPerRequest: null };
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

if (arg.mode === 'work') {
  const worker = new lib.Worker(arg.queue, async (job) => (job.data.hold && job.attemptsStarted < 2 ? new Promise((resolve) => { setTimeout(resolve, 3600000); }) : null), { connection, concurrency: arg.concurrency, name: 'peer' });
  worker.on('error', (error) => process.stderr.write(`${error.stack}\n`));
  worker.waitUntilReady().then(() => say({ ready: true }));
  process.on('SIGTERM', () => worker.close().then(() => process.exit(0)));
} else {
  const queue = new lib.Queue(arg.queue, { connection });
  await queue.waitUntilReady();
  const jobs = Array.from({ length: arg.chunk }, (_, n) => ({ name: 'ok', data: { n, text: 'x'.repeat(arg.payload) } }));
  await queue.addBulk(jobs); // warm
  const start = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  for (let n = 0; n < arg.count; n += arg.chunk) await queue.addBulk(jobs);
  const used = process.cpuUsage(cpu);
  say({ seconds: Number(process.hrtime.bigint() - start) / 1e9, cpu: (used.user + used.system) / 1e6 });
  await queue.close();
}
