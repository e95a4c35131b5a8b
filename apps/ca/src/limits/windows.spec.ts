import { Windows } from './windows.js';

test('counts each key in windows of its own, which begin with their first hit', () => {
  let now = 1_000;
  const windows = new Windows(10, () => now);
  expect(windows.hit('a', 100)).toEqual({ hits: 1, endsIn: 100 });
  now += 60;
  expect(windows.hit('a', 100, 5)).toEqual({ hits: 6, endsIn: 40 });
  expect(windows.hit('b', 100)).toEqual({ hits: 1, endsIn: 100 });
  now += 40;
  expect(windows.hit('a', 100)).toEqual({ hits: 1, endsIn: 100 });
});

test('never holds more keys than its bound, and forgets those that began first', () => {
  const windows = new Windows(3, () => 0);
  for (const key of ['a', 'b', 'c', 'a', 'd']) windows.hit(key, 100);
  expect(['d', 'c', 'b'].map((key) => windows.hit(key, 100).hits)).toEqual([2, 2, 2]);
  expect(windows.hit('a', 100).hits).toBe(1);
});
