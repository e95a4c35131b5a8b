import { Hedging } from './hedging.js';

describe('Hedging', () => {
  it('waits for twice what all but a hundredth take, once there are calls to tell from', () => {
    const hedging = new Hedging();
    expect(hedging.delayMilliseconds).toBe(50);
    for (let call = 0; call < 1_000; call++) hedging.answered(10);
    expect(hedging.delayMilliseconds).toBeGreaterThanOrEqual(20);
    expect(hedging.delayMilliseconds).toBeLessThan(24);
  });

  it('waits no less than 5 ms and no more than half a second', () => {
    const fast = new Hedging();
    const slow = new Hedging();
    for (let call = 0; call < 1_000; call++) {
      fast.answered(0.2);
      slow.answered(3_000);
    }
    expect([fast.delayMilliseconds, slow.delayMilliseconds]).toEqual([5, 500]);
  });

  it('makes a burst of second attempts when a member freezes, and then one for twenty calls', () => {
    const hedging = new Hedging();
    const hedged = (): number => {
      let count = 0;
      while (hedging.mayHedge()) count++;
      return count;
    };
    expect(hedged()).toBe(64);
    for (let call = 0; call < 210; call++) hedging.answered(1);
    expect(hedged()).toBe(10);
  });
});
