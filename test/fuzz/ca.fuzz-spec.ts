import { caTargets } from './ca-targets.js';
import { fuzz } from './run.js';

/** `npm run fuzz`: minutes for all targets together, and the seed of a run that is to be repeated. */
const minutes = Number(process.env.NEST_HSM_FUZZ_MINUTES ?? 10);
const seed = Number(process.env.NEST_HSM_FUZZ_SEED ?? Date.now() & 0x7fffffff);
const milliseconds = (minutes * 60_000) / caTargets.length;

test.each(caTargets)(
  `$name, seed ${seed}`,
  async (target) => expect(await fuzz(target, { seed, inputs: 1_000_000_000, milliseconds })).toBeUndefined(),
  milliseconds + 60_000,
);
