import { Admission } from './admission.js';

test('so many run, so many wait in turn, and the next is refused', async () => {
  const admission = new Admission(2, 2);
  const ends: (() => void)[] = [];
  const begun: number[] = [];
  const run = (number: number): Promise<number> =>
    admission.run(async () => {
      begun.push(number);
      await new Promise<void>((resolve) => ends.push(resolve));
      return number;
    });
  const accepted = [1, 2, 3, 4].map(run);
  await expect(run(5)).rejects.toMatchObject({ code: 'ERR_CA_OVERLOADED' });
  expect(begun).toEqual([1, 2]);
  for (const begins of [3, 4, 4, 4]) {
    ends.shift()?.();
    await new Promise(setImmediate);
    expect(begun.at(-1)).toBe(begins);
  }
  expect(await Promise.all(accepted)).toEqual([1, 2, 3, 4]);
});

test('work that fails gives its turn back', async () => {
  const admission = new Admission(1, 0);
  await expect(admission.run(() => Promise.reject(new Error('token away')))).rejects.toThrow('token away');
  expect(await admission.run(() => Promise.resolve('served'))).toBe('served');
});
