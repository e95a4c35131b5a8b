import { AskerTurns } from './asker-turns.js';

/** Work that goes on until the test ends it, in the order in which it was begun. */
class Work {
  readonly begun: string[] = [];
  readonly #ends: ((failure?: Error) => void)[] = [];

  for(name: string): () => Promise<string> {
    return () =>
      new Promise((resolve, reject) => {
        this.begun.push(name);
        this.#ends.push((failure) => (failure === undefined ? resolve(name) : reject(failure)));
      });
  }

  /** Ends what was begun first, and lets what follows from it happen. */
  async endNext(failure?: Error): Promise<void> {
    this.#ends.shift()?.(failure);
    await new Promise((resolve) => setImmediate(resolve));
  }

  async endAll(): Promise<void> {
    while (this.#ends.length > 0) await this.endNext();
  }
}

describe('turns of askers', () => {
  let sessions: number;
  let now: number;
  let work: Work;
  let turns: AskerTurns;
  beforeEach(() => {
    [sessions, now] = [1, 0];
    work = new Work();
    turns = new AskerTurns(
      () => sessions,
      () => now,
    );
  });

  /** @returns how it ends; a refusal as its message */
  const ask = async (asker: string): Promise<string> => {
    try {
      turns.assertPlaceFor(asker);
      return await turns.take(asker, work.for(asker));
    } catch (error) {
      return (error as Error).message;
    }
  };
  const askOften = (asker: string, times: number): Promise<string>[] => Array.from({ length: times }, () => ask(asker));
  const refusal = /^OCSP: want an asker who leaves more places free than they have, got \d+ free$/;

  test('one that floods has half of the places, and the next asker is served after one of its own', async () => {
    const flood = askOften('flood', 100);
    const other = ask('other');
    expect(work.begun).toEqual(['flood', 'flood']);
    await work.endNext();
    await work.endNext();
    expect(work.begun).toEqual(['flood', 'flood', 'flood', 'other']);
    await work.endAll();
    const ends = await Promise.all(flood);
    expect(ends.filter((end) => end === 'flood')).toHaveLength(2 + 8);
    expect(ends.filter((end) => refusal.test(end))).toHaveLength(90);
    expect(await other).toBe('other');
  });

  test('askers take turns, whatever each asks for', async () => {
    const all = [...askOften('a', 5), ...askOften('b', 3), ...askOften('c', 1)];
    await work.endAll();
    await Promise.all(all);
    expect(work.begun.join('')).toBe('aaabcabab');
  });

  test('however many askers there are, no more wait than there are places for, and afterwards there is room again', async () => {
    const round = async (): Promise<number> => {
      const all = Array.from({ length: 200 }, (_, number) => ask(`asker ${number}`));
      await work.endAll();
      const ends = await Promise.all(all);
      return ends.filter((end) => !refusal.test(end)).length;
    };
    expect([await round(), await round()]).toEqual([2 + 16, 2 + 16]);
  });

  test('as much is under way as the sessions of the HSM want, as they come and go, and never nothing', async () => {
    const underWay = async (of: number): Promise<number> => {
      sessions = of;
      work = new Work();
      const all = askOften('a', 1_000);
      const begun = work.begun.length;
      await work.endAll();
      await Promise.all(all);
      return begun;
    };
    expect([await underWay(1), await underWay(16), await underWay(4), await underWay(0)]).toEqual([2, 32, 8, 2]);
  });

  test('what fails gives its place back as what succeeds does', async () => {
    const failing = [ask('a'), ask('b'), ask('c')];
    for (const each of ['one', 'two', 'three']) await work.endNext(new Error(each));
    expect(await Promise.all(failing)).toEqual(['one', 'two', 'three']);
    const next = [ask('a'), ask('b')];
    expect(work.begun).toHaveLength(5);
    await work.endAll();
    expect(await Promise.all(next)).toEqual(['a', 'b']);
  });

  test('whoever has waited too long is told so when their turn comes, and keeps nobody behind them waiting', async () => {
    const stuck = askOften('a', 4);
    now = 1_500;
    const late = ask('b');
    now = 2_500;
    await work.endNext();
    expect(work.begun).toEqual(['a', 'a', 'b']);
    await work.endAll();
    const given = 'OCSP: want a turn within 2000 ms';
    expect(await Promise.all([...stuck, late])).toEqual(['a', 'a', given, given, 'b']);
  });
});
