import { closeSync, fdatasync, fsync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';

/** What is used of better-sqlite3's Database. */
export interface LoggedConnection {
  /** Path of the database, as it was opened. */
  readonly name: string;
  pragma(statement: string, options?: { simple: boolean }): unknown;
}

/** Levels of `PRAGMA synchronous`: NORMAL leaves the log to be synced by others, FULL waits for the disk in every commit. */
const [normal, full] = [1, 2];

const logs = new WeakMap<LoggedConnection, WriteAheadLog>();

/**
 * Commits of one SQLite connection that wait for the disk on a thread of the pool. SQLite's own wait stands still with the whole
 * event loop, for a millisecond or more with each commit. Here it appends the transaction to its log (WAL) and returns, and the
 * log is synced as SQLite would have done it; commits that come while a sync runs share the next one. Others on this database
 * see a transaction some moments before it is on the disk; whoever waits for it hears of it afterwards.
 */
export class WriteAheadLog {
  /** @returns undefined where commits do not wait for the disk, or there is no such log: in memory, or as their owner has set it up */
  static of(connection: LoggedConnection): WriteAheadLog | undefined {
    let log = logs.get(connection);
    if (log === undefined) {
      if (connection.pragma('journal_mode', { simple: true }) !== 'wal') return undefined;
      const level = Number(connection.pragma('synchronous', { simple: true }));
      if (level < full) return undefined;
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
   * @throws what the transaction throws, or what the disk said: it is then not known what is on it, and nothing more is committed until
   * the database was closed, which brings all of the log into its own file
   */
  async commit<T>(transaction: () => T): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure;
    const result = this.#unsynced(transaction);
    await (this.#next ??= this.#sync());
    return result;
  }

  #unsynced<T>(transaction: () => T): T {
    this.connection.pragma(`synchronous = ${normal}`);
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
    try {
      if (this.#failure !== undefined) throw this.#failure;
      await this.#syncFile();
    } catch (error) {
      this.#failure ??= new Error('a log on the disk, got a sync that failed; close the database', { cause: error });
      throw this.#failure;
    }
  }

  async #syncFile(): Promise<void> {
    const { name } = this.connection;
    await synced(`${name}-wal`, promisify(fdatasync));
    if (!this.#isNameSynced) await synced(dirname(name), promisify(fsync));
    this.#isNameSynced = true;
  }
}

async function synced(path: string, sync: (file: number) => Promise<void>): Promise<void> {
  const file = openSync(path, 'r');
  try {
    await sync(file);
  } finally {
    closeSync(file);
  }
}
