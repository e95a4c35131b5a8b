import { respawnDelayMilliseconds } from './respawn-delay.js';

describe('respawnDelayMilliseconds', () => {
  it('is nothing the first time, then doubles up to five seconds', () => {
    const longest = [1, 2, 3, 4, 5, 6, 7, 8, 9, 100].map((failures) => respawnDelayMilliseconds(failures, 1));
    expect(longest).toEqual([0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
  });

  it('is spread over its upper half', () => {
    expect(respawnDelayMilliseconds(5, 0)).toBe(400);
    expect(respawnDelayMilliseconds(5)).toBeGreaterThanOrEqual(400);
  });
});
