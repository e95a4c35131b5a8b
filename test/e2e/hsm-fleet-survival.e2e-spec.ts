/**
 * A fleet of two whose first member misbehaves while 16 callers sign. The promise under test: no retry-safe call fails, no wrong
 * signature is released, and the member serves again by itself. Fleets of three are in the long tier.
 */
import { scenarios } from '../chaos/scenarios.js';
import { survive } from '../chaos/survival.js';

// Each has devices of its own and waits for most of its time.
describe.each(scenarios)('a member of two that $what', (scenario) => {
  test.concurrent('costs its callers time and no call, and serves again by itself', async () => {
    const { signed, failed } = await survive(scenario, 2);
    expect(failed).toEqual([]);
    expect(signed).toBeGreaterThan(16);
  });
});
