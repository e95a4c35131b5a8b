import { setImmediate as nextTurn } from 'node:timers/promises';

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** Most items of one transaction. */
const maximumItems = 256;

/**
 * Commits what several callers write in one transaction. A commit waits for the disk, so what arrives during one turn of the event
 * loop, or while as many commits wait as may, shares the next. An item's promise settles after its commit, never before.
 */
export class GroupCommit<Item, Result> {
  #waiting: Waiting<Item, Result>[] = [];
  #isRunning = false;
  readonly #underWay = new Set<Promise<void>>();

  /**
   * @param commit  one transaction; its results in the order of the items. When it throws, none of them is written.
   * @param mayBeOfOne  whether a failure may be the fault of one item: they are then committed one by one
   * @param atOnce  commits under way: more than one where what they wait for is the disk alone
   */
  constructor(
    private readonly commit: (items: readonly Item[]) => Promise<readonly Result[]>,
    private readonly mayBeOfOne: (error: unknown) => boolean = () => false,
    private readonly atOnce = 1,
  ) {}

  write(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#isRunning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      await nextTurn();
      const commit = this.#settle(this.#waiting.splice(0, maximumItems)).finally(() => this.#underWay.delete(commit));
      this.#underWay.add(commit);
      if (this.#underWay.size >= this.atOnce) await Promise.race(this.#underWay);
    }
    this.#isRunning = false;
  }

  async #settle(group: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.commit(group.map(({ item }) => item));
      group.forEach(({ resolve }, index) => resolve(results[index]));
    } catch (error) {
      if (group.length > 1 && this.mayBeOfOne(error)) for (const each of group) await this.#settle([each]);
      else for (const { reject } of group) reject(error);
    }
  }
}
