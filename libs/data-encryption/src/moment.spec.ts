import { earlier, elapsedSince, hasCome, later, longAgo, type Moment, never } from './moment.js';

const at = (monotonic: number, day: number): Moment => ({ monotonic, day });

describe('a moment', () => {
  it.each<[string, Moment, boolean]>([
    ['on neither clock', at(1_999, 9_999), false],
    ['on both', at(2_000, 10_000), true],
    ['while the machine was suspended', at(1_000, 10_000), true],
    ['though the day was set back', at(2_000, 0), true],
  ])('has come %s: %s', (_, now, expected) => {
    expect(hasCome(later(at(1_000, 9_000), 1_000), now)).toBe(expected);
  });

  it('is as long ago as the clock says that has gone on further', () => {
    expect(elapsedSince(at(1_000, 9_000), at(1_100, 9_900))).toBe(900);
    expect(elapsedSince(at(1_000, 9_000), at(1_100, 8_000))).toBe(100);
    expect(elapsedSince(longAgo)).toBe(Infinity);
  });

  it('may be the earlier by each clock', () => {
    expect(earlier(at(1, 4), at(2, 3))).toEqual(at(1, 3));
    expect([hasCome(longAgo), hasCome(never)]).toEqual([true, false]);
  });
});
