import fc from 'fast-check';
import { LatencyWindow } from './latency.js';

describe('LatencyWindow', () => {
  it('knows nothing without samples', () => {
    const latency = new LatencyWindow(100);
    expect([latency.median, latency.quick, latency.percentile(0.99)]).toEqual([undefined, undefined, undefined]);
  });

  it('is right to a fifth about every percentile', () => {
    const sample = fc.double({ min: 0.1, max: 3_000, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(sample, { minLength: 1, maxLength: 200 }),
        fc.constantFrom(0.5, 0.9, 0.99),
        (all, fraction) => {
          const latency = new LatencyWindow(1_000);
          for (const each of all) latency.add(each);
          const exact = all.toSorted((a, b) => a - b)[Math.ceil(all.length * fraction) - 1];
          const found = latency.percentile(fraction) as number;
          expect(found).toBeGreaterThanOrEqual(exact * 0.999);
          expect(found).toBeLessThanOrEqual(exact * 1.2);
        },
      ),
    );
  });

  it('says what hardly any call is quicker than', () => {
    const latency = new LatencyWindow(1_000);
    for (let sample = 0; sample < 160; sample++) latency.add(sample % 8 === 0 ? 4 : 100);
    expect(latency.quick).toBeLessThanOrEqual(4);
    expect(latency.quick).toBeGreaterThan(4 / 1.2);
  });

  it('takes what is out of its range for the edge of it', () => {
    const latency = new LatencyWindow(100);
    latency.add(0);
    expect(latency.percentile(1)).toBeLessThan(0.1);
    latency.add(1e9);
    expect(latency.percentile(1)).toBe(4_096);
  });

  it('forgets the past in favour of the present, and everything when told to', () => {
    const latency = new LatencyWindow(128);
    for (let sample = 0; sample < 1_000; sample++) latency.add(2);
    for (let sample = 0; sample < 200; sample++) latency.add(100);
    expect(latency.median).toBeGreaterThan(90);
    latency.clear();
    expect(latency.median).toBeUndefined();
    latency.add(2);
    expect(latency.median).toBeLessThan(3);
  });
});
