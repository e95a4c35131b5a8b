import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';

const patienceMilliseconds = 30_000;
const pauseMilliseconds = 10;
/** What one look counts for at most: while the machine stands still, no patience is used up. */
const longestLookMilliseconds = 500;

/**
 * Waits for what another party will do: the only wait for a state in these tests, so that none of them depends on how fast
 * the machine is.
 * @param holds  a throw is "not yet"
 * @param seen  what to show of the last state, when it gives up
 * @throws after 30 s, with the condition's text, the state and the condition's last throw
 */
export async function eventually(holds: () => boolean | Promise<boolean>, seen?: () => unknown): Promise<void> {
  let thrown: unknown;
  for (let waited = 0; waited < patienceMilliseconds;) {
    const begun = performance.now();
    try {
      if (await holds()) return;
      thrown = undefined;
    } catch (error) {
      thrown = error;
    }
    await pause(pauseMilliseconds);
    waited += Math.min(performance.now() - begun, longestLookMilliseconds);
  }
  const state = seen?.() ?? thrown ?? false;
  const got = typeof state === 'string' ? state : inspect(state);
  throw new Error(`want ${holds.toString()} within ${patienceMilliseconds / 1_000} s, got\n${got}`, { cause: thrown });
}
