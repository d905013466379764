// The differential test (wire format 13.2, idea 36): a random script of operations, decided by a seed, goes through stock
// BullMQ and through drover at a fixed clock; both answer the same and leave the same in Redis, but for the differences
// that differential/differences.mjs names.
//
//   DROVER_DIFF_SEEDS=5000 node --test tests/interop/differential.test.mjs     more seeds
//   DROVER_DIFF_SEED=17    …                                                  one, to look at it again
//   DROVER_DIFF_REPLAY=ops.json …                                             a shrunk sequence, as a failure prints it
import { test } from 'node:test';
import * as fs from 'node:fs';
import { majors, Rig } from './rig.mjs';
import { Differ } from './differential/differ.mjs';
import { generate } from './differential/generate.mjs';

const seeds = process.env.DROVER_DIFF_SEED ? [Number(process.env.DROVER_DIFF_SEED)]
  : Array.from({ length: Number(process.env.DROVER_DIFF_SEEDS ?? 40) }, (_, at) => at + 1);
const length = Number(process.env.DROVER_DIFF_OPERATIONS ?? 500);

function report(major, what, shrunk) {
  const ops = shrunk.ops.map((op) => JSON.stringify(op)).join('\n');
  return `bullmq ${major}, ${what}: ${shrunk.lines.join('\n  ')}\nthe shortest sequence that shows it, to be put into a file for DROVER_DIFF_REPLAY:\n${ops}`;
}

for (const major of majors) {
  test(`${seeds.length} random scripts of ${length} operations leave the same as stock bullmq ${major}`, async (t) => {
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
  });
}
