import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What is used of better-sqlite3's Database. */
export interface LoggedConnection {
  /** Path of the database, as it was opened. */
  readonly name: string;
  pragma(statement: string, options?: { simple: boolean }): unknown;
  prepare(text: string): PreparedPragma;
}
interface PreparedPragma {
  run(values: readonly never[]): unknown;
}

/** `PRAGMA synchronous`: NORMAL leaves the log unsynced, from FULL on every commit waits for the disk. */
const levels = { normal: 1, full: 2 } as const;

/** How long the log's file stays open after a sync. */
const idleMilliseconds = 1_000;

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
  #file: FileHandle | undefined;
  #idle: NodeJS.Timeout | undefined;
  // Compiled once: each commit runs both, and to compile them takes as long as to write several rows.
  readonly #relax: PreparedPragma;
  readonly #restore: PreparedPragma;

  private constructor(
    private readonly connection: LoggedConnection,
    level: number,
  ) {
    this.#relax = connection.prepare(`PRAGMA synchronous = ${levels.normal}`);
    this.#restore = connection.prepare(`PRAGMA synchronous = ${level}`);
  }

  /**
   * Runs a transaction.
   * @param transaction  begins and commits; nothing is waited for in between
   * @throws what the transaction throws; or why it is not known to be on the disk. When that is since the disk failed, nothing more is
   * committed: the system takes what it could not write for written, and what follows it in the log would be lost with it
   */
  async commit<T>(transaction: () => T): Promise<T> {
    const result = this.append(transaction);
    await (this.#next ??= this.#sync());
    return result;
  }

  /**
   * Runs a transaction whose owner does not wait for the disk. The log is in order, so it is there as soon as any that is committed
   * after it.
   * @throws what the transaction throws, or that the disk failed before
   */
  append<T>(transaction: () => T): T {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#unsynced(transaction);
  }

  #unsynced<T>(transaction: () => T): T {
    this.#relax.run([]);
    try {
      return transaction();
    } finally {
      this.#restore.run([]);
    }
  }

  async #sync(): Promise<void> {
    // It may have begun before the commit.
    await this.#running?.catch(() => undefined);
    this.#running = this.#next;
    this.#next = undefined;
    if (this.#failure !== undefined) throw this.#failure;
    const { name } = this.connection;
    const log = await this.#open(`${name}-wal`);
    try {
      await log.datasync();
    } catch (error) {
      this.#failure = new Error(`the log of ${name} failed to reach the disk`, { cause: error });
      throw this.#failure;
    }
    if (!this.#isNameSynced) await syncDirectory(dirname(name));
    this.#isNameSynced = true;
  }

  /**
   * SQLite keeps the same file for as long as its connection is open. When it cannot be opened nothing is lost: what is in it is on the
   * disk after the next sync.
   */
  async #open(path: string): Promise<FileHandle> {
    this.#file ??= await open(path, 'r');
    this.#idle ??= setTimeout(() => this.#closeIdle(), idleMilliseconds).unref();
    this.#idle.refresh();
    return this.#file;
  }

  /** Nobody says when the connection ends. A sync that still runs ends first. */
  #closeIdle(): void {
    const file = this.#file;
    this.#file = undefined;
    void file?.close().catch(() => undefined);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
