import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** Most items of one transaction. */
const maximumItems = 256;
/** From so many items in one group on, more are on their way, and the next group waits for them. */
const siblings = 5;
const gatheringMilliseconds = 4;

/**
 * Commits what several callers write in one transaction. A commit waits for the disk, so what arrives during one turn of the event
 * loop, or while a commit runs, shares the next; under load, what arrives in a few milliseconds (as commit_delay and commit_siblings
 * of PostgreSQL). An item's promise settles after its commit, never before.
 */
export class GroupCommit<Item, Result> {
  #waiting: Waiting<Item, Result>[] = [];
  #isRunning = false;
  #lastGroup = 0;

  /**
   * @param commit  one transaction; its results in the order of the items. When it throws, none of them is written.
   * @param mayBeOfOne  whether a failure may be the fault of one item: they are then committed one by one
   */
  constructor(
    private readonly commit: (items: readonly Item[]) => Promise<readonly Result[]>,
    private readonly mayBeOfOne: (error: unknown) => boolean = () => false,
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
      await (this.#lastGroup < siblings ? nextTurn() : delay(gatheringMilliseconds));
      const group = this.#waiting.splice(0, maximumItems);
      this.#lastGroup = group.length;
      await this.#settle(group);
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
