import fc from 'fast-check';
import type { FuzzTarget } from './ca-targets.js';
import { mutationsOf } from './mutation.js';

export interface FuzzBudget {
  /** The same seed makes the same inputs. */
  readonly seed: number;
  readonly inputs: number;
  /** Ends earlier without a fault. */
  readonly milliseconds?: number;
}

/** Longest an input of some hundred octets may take on a machine that is busy with other things. */
const slowMilliseconds = 2_000;

/** Rejects with the smallest input that a target misbehaves for, and the seed */
export async function fuzz({ seeds, judge }: FuzzTarget, { seed, inputs, milliseconds }: FuzzBudget): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      mutationsOf(seeds).map((input) => input.toString('base64')),
      async (base64) => {
        const started = process.cpuUsage();
        await judge(Buffer.from(base64, 'base64'));
        const { user, system } = process.cpuUsage(started);
        if (user + system > slowMilliseconds * 1000) throw new Error('want an answer at once, got none for long');
      },
    ),
    { seed, numRuns: inputs, ...(milliseconds !== undefined && { interruptAfterTimeLimit: milliseconds }) },
  );
}
