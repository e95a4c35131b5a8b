import { GroupCommit } from './group-commit.js';

test('writes of one turn share a commit, those that come meanwhile the next, each with its own result', async () => {
  const groups: number[][] = [];
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const commits = new GroupCommit<number, string>(async (items) => {
    groups.push([...items]);
    if (groups.length === 1) await held;
    return items.map((item) => `wrote ${item}`);
  });
  const first = [1, 2, 3].map((item) => commits.write(item));
  while (groups.length === 0) await new Promise(setImmediate);
  const later = [4, 5].map((item) => commits.write(item));
  release();
  expect(await Promise.all([...first, ...later])).toEqual([1, 2, 3, 4, 5].map((item) => `wrote ${item}`));
  expect(groups).toEqual([
    [1, 2, 3],
    [4, 5],
  ]);
});

test('a commit that fails fails for all of its group, and for nobody else', async () => {
  let fails = true;
  const commits = new GroupCommit<number, number>((items) =>
    fails ? Promise.reject(new Error('disk full')) : Promise.resolve(items),
  );
  const failed = await Promise.allSettled([commits.write(1), commits.write(2)]);
  expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  fails = false;
  expect(await commits.write(3)).toBe(3);
});

test('one that cannot be written fails alone', async () => {
  const commits = new GroupCommit<number, number>(
    (items) => (items.includes(2) ? Promise.reject(new RangeError('of one')) : Promise.resolve(items)),
    (error) => error instanceof RangeError,
  );
  const settled = await Promise.allSettled([1, 2, 3].map((item) => commits.write(item)));
  expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});

test('a group is bounded', async () => {
  const sizes: number[] = [];
  const commits = new GroupCommit<number, number>((items) => {
    sizes.push(items.length);
    return Promise.resolve(items);
  });
  await Promise.all(Array.from({ length: 600 }, (_, item) => commits.write(item)));
  expect(sizes).toEqual([256, 256, 88]);
});

test('as many commits are under way as may be, and what comes then waits for the first that ends', async () => {
  const groups: number[][] = [];
  const releases: (() => void)[] = [];
  const commits = new GroupCommit<number, number>(
    async (items) => {
      groups.push([...items]);
      await new Promise<void>((resolve) => releases.push(resolve));
      return items;
    },
    undefined,
    2,
  );
  const written: Promise<number>[] = [];
  for (const [item, underWay] of [
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 2],
  ]) {
    written.push(commits.write(item));
    while (groups.length < underWay) await new Promise(setImmediate);
  }
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
  expect(groups).toEqual([[1], [2]]);
  releases[1]();
  expect(await written[1]).toBe(2);
  while (groups.length < 3) await new Promise(setImmediate);
  expect(groups[2]).toEqual([3, 4]);
  for (const release of releases) release();
  expect(await Promise.all(written)).toEqual([1, 2, 3, 4]);
});
