// The rig itself: what its clean-up does must never be the failure of a test.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Rig, majors, sleep } from './rig.mjs';

for (const major of majors) {
  test(`bullmq ${major}: a stock worker that is closed as soon as it was made leaves no rejection behind`, async (t) => {
    const rig = await Rig.start(t);
    const queue = rig.queue(major, 'q');
    for (let round = 0; round < 30; round++) {
      await queue.add('x', {});
      const worker = rig.worker(major, 'q', async () => null);
      await sleep(round / 6);
      await worker.close();
      assert.equal(worker.isRunning(), false);
    }
  });
}
