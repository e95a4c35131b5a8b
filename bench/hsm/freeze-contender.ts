import { createHash } from 'node:crypto';
import { type CallOptions, Hsm } from '@nest-hsm/hsm';
import { childrenOf } from '../../test/support/processes.js';
import { perform } from '../harness/process.js';
import type { SigningTask } from './task.js';

export interface FreezeResult {
  readonly freezeToNextSuccessMilliseconds: number;
  readonly failed: number;
}

/** Signs with 16 callers, stops the agent as a hung HSM would, and waits for the first signature after that. */
perform<SigningTask, FreezeResult>(async ({ config, algorithm, callers }) => {
  const hsm = await Hsm.open(config);
  const key = await hsm.findKey({ label: algorithm });
  const digest = createHash('sha256').update('to be signed').digest();
  const options: CallOptions = { deadlineMilliseconds: 30_000 };

  let frozenAt = Infinity;
  let recoveredAt = 0;
  let failed = 0;
  const caller = async () => {
    while (recoveredAt === 0) {
      const asked = performance.now();
      try {
        await hsm.sign(key, 'ecdsa-sha256', digest, { ...options, input: 'digest' });
        // A call made before the freeze may have been answered before it too.
        if (performance.now() > frozenAt + 50 || asked > frozenAt) recoveredAt = performance.now();
      } catch {
        failed++;
      }
    }
  };
  const all = Array.from({ length: callers }, caller);
  await new Promise((resolve) => setTimeout(resolve, 500));
  for (const agent of childrenOf(process.pid)) process.kill(agent, 'SIGSTOP');
  frozenAt = performance.now();
  await Promise.all(all);
  await hsm.close();
  return { freezeToNextSuccessMilliseconds: recoveredAt - frozenAt, failed };
});
