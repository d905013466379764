// The differential test (wire format 13.2, idea 36): a random script of operations, decided by a seed, goes through stock
// BullMQ and through drover at a fixed clock; both answer the same and leave the same in Redis, but for the differences
// that differential/differences.mjs names.
//
//   DROVER_DIFF_SEEDS=5000 node --test tests/interop/differential.test.mjs     more seeds
//   DROVER_DIFF_SEED=17    …                                                  one, to look at it again
//   DROVER_DIFF_MUTATIONS=1 …                                             rules broken on purpose are noticed (mutations.mjs)
//   DROVER_DIFF_REPLAY=ops.json …                                             a shrunk sequence, as a failure prints it
import assert from 'node:assert';
import { test } from 'node:test';
import * as fs from 'node:fs';
import { majors, Rig } from './rig.mjs';
import { Differ } from './differential/differ.mjs';
import { generate } from './differential/generate.mjs';
import { mutations } from './differential/mutations.mjs';

const seeds = process.env.DROVER_DIFF_SEED ? [Number(process.env.DROVER_DIFF_SEED)]
  : Array.from({ length: Number(process.env.DROVER_DIFF_SEEDS ?? 40) }, (_, at) => at + 1);
const length = Number(process.env.DROVER_DIFF_OPERATIONS ?? 500);

function report(major, what, shrunk) {
  const ops = shrunk.ops.map((op) => JSON.stringify(op)).join('\n');
  return `bullmq ${major}, ${what}: ${shrunk.lines.join('\n  ')}\nthe shortest sequence that shows it, to be put into a file for DROVER_DIFF_REPLAY:\n${ops}`;
}

const mutationsWanted = process.env.DROVER_DIFF_MUTATIONS;

async function compareAll(t, major) {
  const rig = await Rig.start(t);
  const differ = new Differ(rig, major);
  if (process.env.DROVER_DIFF_REPLAY) {
    const ops = fs.readFileSync(process.env.DROVER_DIFF_REPLAY, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
    const seen = await differ.run(ops, 1);
    if (seen) throw new Error(report(major, 'replay', { ops, ...seen }));
    return;
  }
  for (const seed of seeds) {
    const ops = differ.comparable(generate(seed, length));
    const seen = await differ.run(ops);
    if (seen) throw new Error(report(major, `seed ${seed}`, await differ.shrink(ops, seen)));
  }
}

// Both majors at once, for a machine has more than one core.
if (!mutationsWanted) {
  test('drover leaves what stock BullMQ leaves', { concurrency: majors.length }, (t) => Promise.all(majors.map((major) => (
    t.test(`${seeds.length} random scripts of ${length} operations, beside bullmq ${major}`, (one) => compareAll(one, major))))));
}

/** The first seed that notices it, beside either major; 0: none. */
async function noticedBy(rig, mutation) {
  for (const major of [6, 5]) {
    const differ = new Differ(rig, major);
    try {
      await differ.patch(mutation);
      for (const seed of seeds) {
        if (await differ.run(differ.comparable(generate(seed, length)))) return seed;
      }
    } catch (error) {
      if (!/^drover ended/.test(error.message)) throw error;
      return 1; // the driver gave up: that was noticed, too
    } finally {
      await differ.end();
    }
  }
  return 0;
}

if (mutationsWanted) {
  test('broken rules are noticed', async (t) => {
    const rig = await Rig.start(t);
    const unseen = [];
    for (const mutation of mutations.filter(({ by }) => !by)) {
      const seed = await noticedBy(rig, mutation);
      console.log(`${mutation.name}: ${seed ? `seed ${seed}` : 'not noticed'}`);
      if (!seed) unseen.push(mutation.name);
    }
    assert.deepStrictEqual(unseen, []);
  });
}
