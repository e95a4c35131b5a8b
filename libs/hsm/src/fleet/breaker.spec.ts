import { Breaker } from './breaker.js';

describe('Breaker', () => {
  it('opens after five failures in a row, and not for fewer', () => {
    const breaker = new Breaker();
    for (let failure = 0; failure < 4; failure++) breaker.failed(0, false);
    breaker.succeeded();
    for (let failure = 0; failure < 4; failure++) breaker.failed(0, false);
    expect(breaker.isOpen).toBe(false);
    breaker.failed(0, false);
    expect(breaker.isOpen).toBe(true);
  });

  it('opens at once for a grave one', () => {
    const breaker = new Breaker();
    breaker.failed(0, true);
    expect(breaker.isOpen).toBe(true);
  });

  it('wants its probes after pauses that double up to half a minute, and forgets them when it closes', () => {
    const breaker = new Breaker();
    let now = 1_000;
    const pauses = Array.from({ length: 9 }, () => {
      breaker.failed(now, true);
      const from = now;
      while (!breaker.wantsProbe(now)) now += 100;
      return now - from;
    });
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    breaker.close();
    expect(breaker.isOpen).toBe(false);
    breaker.failed(now, true);
    expect(breaker.wantsProbe(now + 500)).toBe(true);
  });

  it('does not count the calls that were under way when it opened', () => {
    const breaker = new Breaker();
    for (let failure = 0; failure < 16; failure++) breaker.failed(0, true);
    expect(breaker.wantsProbe(500)).toBe(true);
  });
});
