// clicks.mjs - bull-board, as people use it with BullMQ, on queues that drover serves: it shows what drover did, and each of its
// buttons does to drover what it does to a stock worker. Clicked in a real browser, for queues of both majors.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Rig, sleep, waitUntil } from '../interop/rig.mjs';
import { Board, waitIn } from './board.mjs';

const handler = (dir) => `#!/bin/sh
case "$DROVER_JOB_NAME" in
fail) [ -e ${dir}/lucky ] && exit 0; echo "no luck today" >&2; exit 65 ;;
slow) exec sleep 0.5 ;;
*)    exec cat ;;
esac
`;

async function start(t, major, { queues = ['mail'], concurrency = 2 } = {}) {
  const rig = await Rig.start(t);
  const script = rig.script('handler', handler(rig.dir));
  const stock = queues.map((name) => rig.queue(major, name));
  const board = await Board.open(rig, stock);
  const run = () => rig.droverd({
    queues: Object.fromEntries(queues.map((name) => [name, { concurrency, handler: { exec: [script] } }])),
  });
  return { rig, board, run, queue: stock[0], stock, lucky: () => fs.writeFileSync(path.join(rig.dir, 'lucky'), '') };
}

/** The tests for queues whose Queue objects are of this major. */
export function clicks(major) {
  test(`bullmq ${major}: the dashboard shows what drover ran: counts, value, error, times, who, options, log`, async (t) => {
    const { board, run, queue } = await start(t, major);
    const echo = await queue.add('echo', { colour: 'green' });
    const fail = await queue.add('fail', { b: 1 }, { attempts: 4 });
    const later = await queue.add('echo', {}, { delay: 3600000 });
    await queue.add('echo', {}, { priority: 7, delay: 3600000 });
    await run();
    await waitIn(queue, 'completed', [echo.id]);
    await waitIn(queue, 'failed', [fail.id]);
    await (await queue.getJob(fail.id)).log('a line that somebody wrote');

    await board.go('mail', 'completed');
    const counts = async () => (await Promise.all(['COMPLETED', 'FAILED', 'DELAYED', 'ACTIVE'].map((tab) => board.count(tab)))).join(' ');
    await waitUntil(async () => (await counts()) === '1 1 2 0', 15000, counts);
    const done = await board.card(echo.id);
    await done.shows('Data', /jobData[\s\S]*colour:\s*"?green[\s\S]*returnValue[\s\S]*colour:\s*"?green/);
    await done.shows('Data', /Process started at[\s\S]*by \S+-mail-0[\s\S]*Finished at/);

    await board.go('mail', 'failed');
    const card = await board.card(fail.id);
    await card.shows('Error', /UnrecoverableError: no luck today/);
    await card.shows('Options', /attempts:\s*4/);
    await card.shows('Logs', /a line that somebody wrote/);

    const page = await board.job('mail', later.id);
    await page.shows('Options', /delay:\s*3600000/);
    assert.deepEqual(board.errors, []);
  });

  test(`bullmq ${major}: a flow that drover ran is drawn with its children`, async (t) => {
    const { rig, board, run, stock } = await start(t, major, { queues: ['mail', 'kids'] });
    const flow = await rig.flow(major).add({
      name: 'parent', queueName: 'mail', data: {},
      children: [{ name: 'echo', queueName: 'kids', data: { k: 1 } }, { name: 'echo', queueName: 'kids', data: { k: 2 } }],
    });
    await run();
    await waitIn(stock[0], 'completed', [flow.job.id]);
    await board.job('mail', flow.job.id);
    const graph = board.page.locator('.react-flow');
    await graph.waitFor();
    await waitUntil(async () => (await graph.getByText('echo', { exact: true }).count()) === 2, 15000, 'two children');
    await waitUntil(async () => (await graph.innerText()).match(/COMPLETED/g)?.length === 3, 15000, () => graph.innerText());
    assert.match(await graph.innerText(), /2 done/);
    assert.deepEqual(board.errors, []);
  });

  test(`bullmq ${major}: Retry, Retry all, and a retry of what completed: drover runs them again`, async (t) => {
    const { board, run, queue, lucky } = await start(t, major);
    const failed = [];
    for (let i = 0; i < 4; i++) failed.push((await queue.add('fail', { i })).id);
    const done = await queue.add('echo', {});
    await run();
    await waitIn(queue, 'failed', failed);
    await waitIn(queue, 'completed', [done.id]);

    await board.go('mail', 'failed');
    await (await board.card(failed[0])).press('retry');
    await board.confirm();
    await waitUntil(async () => (await queue.getJob(failed[0])).attemptsMade === 2, 15000, 'it failed once more');
    await waitIn(queue, 'failed', failed);

    lucky();
    await board.go('mail', 'failed');
    await board.press('Retry all');
    await board.confirm();
    await waitIn(queue, 'completed', [done.id, ...failed]);
    await waitIn(queue, 'failed', []);
    assert.deepEqual((await Promise.all(failed.map((id) => queue.getJob(id)))).map((job) => [job.attemptsMade, job.failedReason ?? null]),
      [[3, null], [2, null], [2, null], [2, null]]);

    await board.go('mail', 'completed');
    await (await board.card(done.id)).press('retry');
    await board.confirm();
    await waitUntil(async () => (await queue.getJob(done.id)).attemptsMade === 2 && (await queue.getJob(done.id)).finishedOn, 15000, 'it ran twice');
    assert.deepEqual(board.errors, []);
  });

  test(`bullmq ${major}: Promote, Promote all, and new data for a job that waits`, async (t) => {
    const { board, run, queue } = await start(t, major);
    const jobs = [];
    for (let i = 0; i < 4; i++) jobs.push((await queue.add('echo', { old: i }, { delay: 3600000 })).id);
    await run();
    await board.go('mail', 'delayed');
    await (await board.card(jobs[0])).press('edit');
    await board.type('{"new": "data"}');
    await board.submit('Update');
    await waitUntil(async () => (await queue.getJob(jobs[0])).data.new === 'data', 15000, 'the data is the new one');
    await board.go('mail', 'delayed');
    await (await board.card(jobs[0])).press('promote');
    await board.confirm();
    await waitIn(queue, 'completed', [jobs[0]]);
    assert.deepEqual((await queue.getJob(jobs[0])).returnvalue, { new: 'data' });

    await board.go('mail', 'delayed');
    await board.press('Promote all');
    await board.confirm();
    await waitIn(queue, 'completed', jobs);
    assert.deepEqual((await queue.getJobCounts()).delayed, 0);
    assert.deepEqual(board.errors, []);
  });

  test(`bullmq ${major}: Pause keeps drover from fetching, Resume lets it go on; a job added and one duplicated there run`, async (t) => {
    const { rig, board, run, queue } = await start(t, major);
    const daemon = await run();
    await board.go('mail');
    await board.menu('Pause');
    await board.confirm();
    await waitUntil(() => queue.isPaused(), 15000, 'the queue is paused');
    await board.go('mail');
    await board.menu('Add job');
    await board.dialog.locator('#job-name').fill('echo');
    await board.type('{"from": "the page"}', 0);
    await board.submit('Add');
    await waitUntil(async () => (await queue.getJobCounts('waiting', 'paused')).waiting + ((await queue.getJobCounts('paused')).paused ?? 0) > 0, 15000, 'it waits');
    await sleep(300);
    assert.equal((await queue.getJobCounts()).completed, 0, 'nothing runs while it is paused');
    assert.equal(daemon.workers().length, 1);
    await board.go('mail');
    await board.menu('Resume');
    await board.confirm();
    await waitIn(queue, 'completed', ['1']);
    assert.deepEqual((await queue.getJob('1')).returnvalue, { from: 'the page' });

    await board.go('mail', 'completed');
    await (await board.card('1')).press('duplicate');
    await board.submit('Duplicate');
    await waitIn(queue, 'completed', ['1', '2']);
    assert.deepEqual((await queue.getJob('2')).returnvalue, { from: 'the page' });
    assert.deepEqual([await rig.redis.llen('bull:mail:wait'), await rig.redis.llen('bull:mail:paused')], [0, 0]);
    assert.deepEqual(board.errors, []);
  });

  test(`bullmq ${major}: Set concurrency and Set rate limit bind drover`, async (t) => {
    const { rig, board, run, queue } = await start(t, major, { concurrency: 8 });
    await board.go('mail');
    await board.menu('Set concurrency');
    await board.save(2);
    await waitUntil(async () => (await queue.getGlobalConcurrency()) === 2, 15000, 'it is stored');
    for (let i = 0; i < 8; i++) await queue.add('slow', {});
    let most = 0;
    await run();
    await waitUntil(async () => {
      most = Math.max(most, await rig.redis.llen('bull:mail:active'));
      return (await queue.getJobCounts()).completed === 8;
    }, 20000, 'all ran');
    assert.equal(most, 2, 'two at once, as the page said, though drover has eight places');

    await board.go('mail');
    await board.menu('Set rate limit');
    await board.save(3, 1000);
    await waitUntil(async () => (await rig.redis.hget('bull:mail:meta', 'max')) === '3', 15000, 'it is stored');
    const last = (await rig.redis.xrevrange('bull:mail:events', '+', '-', 'COUNT', 1))[0][0];
    for (let i = 0; i < 7; i++) await queue.add('echo', {});
    await waitUntil(async () => (await queue.getJobCounts()).completed === 15, 20000, 'all ran');
    const starts = (await rig.redis.xrange('bull:mail:events', `(${last}`, '+')).filter(([, fields]) => fields[1] === 'active')
      .map(([id]) => Number(id.split('-')[0]));
    assert.equal(starts.length, 7);
    // Redis forgets the first of a window after a second of its own clock, which ticks in whole milliseconds.
    assert.ok(starts[3] - starts[0] >= 998 && starts[6] - starts[3] >= 998, starts.map((at) => at - starts[0]).join(' '));
    assert.deepEqual(board.errors, []);
  });

  test(`bullmq ${major}: Remove, Clean all, Empty and Obliterate leave nothing of drover's jobs behind`, async (t) => {
    const { rig, board, run, queue } = await start(t, major);
    const jobs = [];
    for (let i = 0; i < 5; i++) jobs.push((await queue.add('echo', { i })).id);
    const daemon = await run();
    await waitIn(queue, 'completed', jobs);
    await board.go('mail', 'completed');
    await (await board.card(jobs[2])).press('remove');
    await board.confirm();
    await waitIn(queue, 'completed', jobs.filter((id) => id !== jobs[2]));
    assert.equal(await rig.redis.exists(`bull:mail:${jobs[2]}`), 0);

    // The page cleans only what ended more than 5 s ago.
    for (const id of jobs) if (id !== jobs[2]) await rig.redis.zincrby('bull:mail:completed', -6000, id);
    await board.go('mail', 'completed');
    await board.press('Clean all');
    await board.confirm();
    await waitIn(queue, 'completed', []);
    assert.deepEqual((await rig.redis.keys('bull:mail:[0-9]*')), []);

    assert.equal(await daemon.drain(), 0);
    await queue.add('echo', {});
    await queue.add('echo', {}, { delay: 3600000 });
    await board.go('mail');
    await board.menu('Empty');
    await board.confirm();
    await waitUntil(async () => (await rig.redis.llen('bull:mail:wait')) === 0, 15000, 'nothing waits');
    await queue.add('echo', {});
    await queue.pause();
    await board.go('mail');
    await board.menu('Obliterate');
    await board.confirm();
    await waitUntil(async () => (await rig.redis.keys('bull:mail:*')).every((key) => key === 'bull:mail:meta'), 15000,
      async () => (await rig.redis.keys('bull:mail:*')).join(' '));
    assert.deepEqual(board.errors, []);
  });
}
