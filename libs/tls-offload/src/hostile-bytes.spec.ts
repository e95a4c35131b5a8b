import { fuzz } from '../../../test/fuzz/run.js';
import { makeTlsTargets } from '../../../test/fuzz/tls-targets.js';

/** The short form of `npm run fuzz`: what a stranger may send first, the same inputs each time. */
it('bytes of strangers are refused or understood, and leave nothing behind', async () => {
  for (const target of await makeTlsTargets()) {
    expect(await fuzz(target, { seed: 20261122, inputs: 300 })).toBeUndefined();
  }
});
