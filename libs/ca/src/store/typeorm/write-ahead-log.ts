import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What is used of better-sqlite3's Database. */
export interface LoggedConnection {
  /** Path of the database, as it was opened. */
  readonly name: string;
  pragma(statement: string, options?: { simple: boolean }): unknown;
}

/** `PRAGMA synchronous`: NORMAL leaves the log unsynced, from FULL on every commit waits for the disk. */
const levels = { normal: 1, full: 2 } as const;

const logs = new WeakMap<LoggedConnection, WriteAheadLog>();

/**
 * Commits of one SQLite connection that wait for the disk on a thread of the pool. SQLite's own wait is the whole event loop's: a
 * millisecond or more for each commit. Here it appends the transaction to its log (WAL) and returns, and the log is synced then as
 * SQLite would have done it; commits that come while a sync runs share the next one. Others on this database see a transaction some
 * moments before it is on the disk, and whoever made it hears of it afterwards.
 */
export class WriteAheadLog {
  /** @returns undefined where there is no such log, or its owner does not want commits to wait for the disk */
  static of(connection: LoggedConnection): WriteAheadLog | undefined {
    let log = logs.get(connection);
    if (log === undefined) {
      if (connection.pragma('journal_mode', { simple: true }) !== 'wal') return undefined;
      const level = Number(connection.pragma('synchronous', { simple: true }));
      if (level < levels.full) return undefined;
      log = new WriteAheadLog(connection, level);
      logs.set(connection, log);
    }
    return log;
  }

  #isNameSynced = false;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #failure: Error | undefined;

  private constructor(
    private readonly connection: LoggedConnection,
    private readonly level: number,
  ) {}

  /**
   * Runs a transaction.
   * @param transaction  begins and commits; nothing is waited for in between
   * @throws what the transaction throws; or why it is not known to be on the disk. When that is since the disk failed, nothing more is
   * committed: the system takes what it could not write for written, and what follows it in the log would be lost with it
   */
  async commit<T>(transaction: () => T): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure;
    const result = this.#unsynced(transaction);
    await (this.#next ??= this.#sync());
    return result;
  }

  #unsynced<T>(transaction: () => T): T {
    this.connection.pragma(`synchronous = ${levels.normal}`);
    try {
      return transaction();
    } finally {
      this.connection.pragma(`synchronous = ${this.level}`);
    }
  }

  async #sync(): Promise<void> {
    // It may have begun before the commit.
    await this.#running?.catch(() => undefined);
    this.#running = this.#next;
    this.#next = undefined;
    if (this.#failure !== undefined) throw this.#failure;
    const { name } = this.connection;
    await onFile(`${name}-wal`, async (log) => {
      try {
        await log.datasync();
      } catch (error) {
        this.#failure = new Error(`the log of ${name} failed to reach the disk`, { cause: error });
        throw this.#failure;
      }
    });
    if (!this.#isNameSynced) await onFile(dirname(name), (directory) => directory.sync());
    this.#isNameSynced = true;
  }
}

/** When it cannot be opened nothing is lost: what is in it is on the disk after the next sync. */
async function onFile(path: string, work: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, 'r');
  try {
    await work(file);
  } finally {
    await file.close();
  }
}
