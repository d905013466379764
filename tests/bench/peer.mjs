// peer.mjs - the stock side of the measurements. One argument: JSON of {mode, socket, queue, ...}. Prints JSON lines.
//   work    concurrency?, starts?   a worker whose jobs do nothing; starts: a file that gets "ID MICROSECONDS" when one starts
//                                   hold: a job whose data says so never ends at its first attempt; duration?: ms a job takes
//   fleet   queues                  a worker for each of these
//   bulk    count, payload          addBulk in pieces of 500, two in flight
//   single  count, payload          add, a hundred in flight
import { createRequire } from 'node:module';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as url from 'node:url';

const here = path.dirname(url.fileURLToPath(import.meta.url));
const require = createRequire(path.join(here, '..', 'interop', 'package.json'));
const arg = JSON.parse(process.argv[2]);
const lib = require(`bullmq${arg.major ?? 6}`);
const connection = { path: arg.socket, maxRetriesPerRequest: null };
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const starts = arg.starts ? fs.openSync(arg.starts, 'a') : null;

async function run(job) {
  if (starts !== null) {
    const now = performance.timeOrigin + performance.now();
    fs.writeSync(starts, `${job.id} ${Math.round(now * 1000)}\n`);
  }
  if (job.data.hold && job.attemptsStarted < 2) await sleep(3600000);
  if (arg.duration) await sleep(arg.duration);
  return null;
}

function start(queue) {
  const worker = new lib.Worker(queue, run, { connection, concurrency: arg.concurrency ?? 1, name: arg.name ?? 'peer' });
  worker.on('error', (error) => process.stderr.write(`${error.stack}\n`));
  return worker;
}

async function work(queues) {
  const workers = queues.map(start);
  process.on('SIGTERM', () => Promise.all(workers.map((w) => w.close())).then(() => process.exit(0)));
  await Promise.all(workers.map((w) => w.waitUntilReady()));
  say({ ready: true });
}

async function add(flights, size, one) {
  const queue = new lib.Queue(arg.queue, { connection });
  await queue.waitUntilReady();
  await one(queue); // what is loaded once is loaded
  let left = arg.count;
  const begun = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  const lane = async () => {
    while (left > 0) {
      left -= size;
      await one(queue);
    }
  };
  await Promise.all(Array.from({ length: flights }, lane));
  const used = process.cpuUsage(cpu);
  say({ seconds: Number(process.hrtime.bigint() - begun) / 1e9, cpu: (used.user + used.system) / 1e6, more: size });
  await queue.close();
}

const data = (n) => ({ n, text: 'x'.repeat(arg.payload) });
const jobs = Array.from({ length: 500 }, (_, n) => ({ name: 'ok', data: data(n) }));

if (arg.mode === 'work') await work([arg.queue]);
else if (arg.mode === 'fleet') await work(arg.queues);
else if (arg.mode === 'bulk') await add(2, 500, (queue) => queue.addBulk(jobs));
else await add(100, 1, (queue) => queue.add('ok', data(0)));
