// lock-lost.test.mjs - one drover worker loses Redis for longer than its lock while a stock worker on the same queue
// does not. `on_lock_lost: stop` promises that no job runs in both at once: the handler is ended before the lock can end.
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import test from 'node:test';

import { build, majors, patience, Rig, sleep, violations, readQueue, waitUntil } from './rig.mjs';

const JOBS = 12;
const work = path.join(build, 'tests', 'support', 'work');

/** A way to Redis that can be blocked: nothing passes and nobody is told. */
class Tunnel {
  constructor(rig) {
    this.path = path.join(rig.dir, 'tunnel.sock');
    this.pairs = new Set();
    this.blocked = false;
    this.server = net.createServer((near) => {
      const far = net.connect(rig.socket);
      const pair = [near, far];
      this.pairs.add(pair);
      for (const [from, to] of [[near, far], [far, near]]) {
        from.on('data', (bytes) => to.write(bytes));
        from.on('error', () => {});
        from.on('close', () => { to.destroy(); this.pairs.delete(pair); });
      }
      if (this.blocked) pair.forEach((socket) => socket.pause());
    });
    rig.ends.push(() => new Promise((resolve) => {
      this.pairs.forEach((pair) => pair.forEach((socket) => socket.destroy()));
      this.server.close(resolve);
    }));
  }

  listen() {
    return new Promise((resolve) => this.server.listen(this.path, resolve));
  }

  block(blocked) {
    this.blocked = blocked;
    for (const pair of this.pairs) pair.forEach((socket) => (blocked ? socket.pause() : socket.resume()));
  }
}

function isAlive(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !'ZX'.includes(stat.slice(stat.lastIndexOf(')') + 2)[0]);
  } catch {
    return false;
  }
}

for (const major of majors) {
  test(`a drover worker that loses Redis for longer than its lock shares no job with a stock worker (${major}.x)`, async (t) => {
    const rig = await Rig.start(t);
    const tunnel = new Tunnel(rig);
    await tunnel.listen();
    const log = path.join(rig.dir, 'runs.log');
    const runs = () => (fs.existsSync(log) ? fs.readFileSync(log, 'utf8').trim().split('\n').map((l) => l.split(' ')) : []);
    const daemon = await rig.droverd({
      redis: { default: { url: `unix://${tunnel.path}`, command_timeout: '1s', connect_timeout: '1s' } },
      queues: { q: { concurrency: JOBS, lock: '6s', stalled_interval: '1s', max_stalled: 10, on_lock_lost: 'stop',
        handler: { exec: [work, 'exec', log] } } },
    });
    const queue = rig.queue(major, 'q');
    await queue.addBulk(Array.from({ length: JOBS }, () => ({ name: 'work', data: { ms: 20000 } })));
    await waitUntil(() => runs().length === JOBS, 15000, () => `all run in drover\n${daemon.tail()}`);
    const first = new Map(runs().map(([, id, pid]) => [id, Number(pid)]));

    const overlaps = [];
    const taken = [];
    rig.worker(major, 'q', async (job) => {
      taken.push(job.id);
      if (isAlive(first.get(job.id))) overlaps.push(job.id);
      return 'stock';
    }, { concurrency: JOBS, lockDuration: 6000, stalledInterval: 1000, maxStalledCount: 10 });
    tunnel.block(true);
    await waitUntil(() => taken.length === JOBS, 30000, () => `the stock worker gets all: ${taken.length}\n${daemon.tail()}`);
    tunnel.block(false);

    assert.deepEqual(overlaps, [], 'the handlers had been ended before the stock worker got their jobs');
    assert.equal(runs().filter(([what]) => what === 'end').length, 0, 'none of them came to its end');
    await daemon.waitEvent('locks.unproven');
    await waitUntil(async () => (await queue.getCompletedCount()) === JOBS, 10000, 'all are completed');
    await sleep(1500 * patience); // drover is connected again: what it still believes to own must not be written
    const view = await readQueue(rig.redis, 'q');
    assert.deepEqual(violations(view), []);
    for (const id of first.keys()) assert.equal(view[id].value.returnvalue, '"stock"', 'the result is of the one who owned the job');
    await queue.add('work', { ms: 1 });
    await waitUntil(async () => (await queue.getCompletedCount()) === JOBS + 1, 10000, 'both go on');
  });
}
