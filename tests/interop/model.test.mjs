// The life of a job: random interleavings of two workers, a producer, a pauser, a stalled checker, dying workers and people,
// decided by a seed; after every operation the invariants of wire format 13.1 hold, and each job has moved only as
// docs/states.md allows ("A job").
//
//   DROVER_MODEL_SEEDS=2000 node --test tests/interop/model.test.mjs     more seeds
//   DROVER_MODEL_SEED=17    …                                           one, to look at it again
import { test } from 'node:test';
import { Rig } from './rig.mjs';
import { generate, ownWeights } from './differential/generate.mjs';
import { mutations } from './differential/mutations.mjs';
import { Model } from './differential/model.mjs';

const seeds = process.env.DROVER_MODEL_SEED ? [Number(process.env.DROVER_MODEL_SEED)]
  : Array.from({ length: Number(process.env.DROVER_MODEL_SEEDS ?? 10) }, (_, at) => at + 1);
const length = 250;

test(`${seeds.length} random lives of ${length} operations make only the moves of docs/states.md, and nothing else is ever broken`, async (t) => {
  const rig = await Rig.start(t);
  const model = new Model(rig);
  for (const seed of seeds) {
    const ops = generate(seed, length, ownWeights);
    const seen = await model.run(ops);
    if (!seen) continue;
    const shrunk = await model.shrink(ops, seen);
    throw new Error(`seed ${seed}: ${shrunk.lines.join('\n  ')}\nthe shortest sequence that shows it:\n${shrunk.ops.map((op) => JSON.stringify(op)).join('\n')}`);
  }
});

// Broken rules that leave a job in a wrong place, or nobody to fetch it: the model notices them.
for (const name of ['no marker for new work', 'the adds of a paused queue go to wait', 'the lock stays after completion', 'pause leaves the marker',
  'global concurrency is not obeyed']) {
  test(`the model notices: ${name}`, async (t) => {
    const rig = await Rig.start(t);
    const model = new Model(rig);
    await model.patch(mutations.find((mutation) => mutation.name === name));
    for (let seed = 1; seed <= 40; seed++) {
      if (await model.run(generate(seed, length, ownWeights))) return;
    }
    throw new Error('40 random lives have shown nothing');
  });
}
