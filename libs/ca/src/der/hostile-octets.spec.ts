import { caTargets } from '../../../../test/fuzz/ca-targets.js';
import { fuzz } from '../../../../test/fuzz/run.js';

/** The short form of `npm run fuzz`: every parser of the CA, the same inputs each time. */
test.each(caTargets)('$name: hostile octets are refused with an error of its own', async (target) => {
  expect(await fuzz(target, { seed: 20261122, inputs: 400 })).toBeUndefined();
});
