/** The same as hsm-fleet-survival.e2e-spec.ts for fleets of three. */
import { scenarios } from '../chaos/scenarios.js';
import { survive } from '../chaos/survival.js';

describe.each(scenarios)('a member of three that $what', (scenario) => {
  test.concurrent('costs its callers time and no call, and serves again by itself', async () => {
    const { signed, failed } = await survive(scenario, 3);
    expect(failed).toEqual([]);
    expect(signed).toBeGreaterThan(16);
  });
});
