import { setTimeout as delay } from 'node:timers/promises';
import type { QueryRunner } from 'typeorm';
import type { Installation } from '../installation.js';
import { outsideTransactions } from '../store/application-transaction.js';
import { type HeldRange, type Pass, type PassCounts, RangeStore } from '../store/range.store.js';
import type { CellTable, KeyRange, ReplacedRow, StoredKey } from './cell-table.js';
import { Pace } from './pace.js';
import {
  activeIndexTexts,
  encryptOpened,
  type IndexedRow,
  type OpenedRow,
  openRows,
  reserveKeys,
} from './stored-cells.js';
import { mostFailedKeys } from './verification.js';

export interface ReencryptionProgress extends Pass {
  readonly tableId: string;
}

export interface ReencryptOptions {
  /** How many at a time, each with a connection; one on SQLite, which has no more. Default 1. */
  readonly workers?: number;
  /** Rows at a time. Default 200. */
  readonly pageRows?: number;
  /** Rows looked at in a second by all workers of this process. Default: as fast as it goes. */
  readonly rowsPerSecond?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ReencryptionProgress) => void;
}

export interface Reencryption {
  readonly tableId: string;
  /** Passes over the table until one found nothing to do. */
  readonly passes: number;
  /** Cells encrypted anew by this process. */
  readonly replaced: number;
  /** Rows with a cell that does not decrypt; they were left as they are. */
  readonly failed: number;
  /** The primary keys of the first hundred of them that this process met. */
  readonly failedKeys: readonly StoredKey[];
}

/** Of one reservation, see `DataKeyLeases.reserve`. */
const mostMessages = 65_535;
/** Rows of a range, which is what a worker takes at a time. */
const rangeRows = 20_000;
const mostRanges = 1_000;

/**
 * Encrypts every cell of a table with its active data key, and makes the texts of its blind indexes that are missing or of
 * another key, while the application goes on reading and writing.
 *
 * Cells are replaced row by row only where they still are what was read. How far it has come is in the database: after a
 * kill, or on another host beside this one, `run` goes on where the table has been left. A pass that was begun when no
 * process wrote with an older key any more, and that found nothing to do, is the last.
 */
export class TableReencryption {
  readonly #pace: Pace;
  readonly #failedKeys: StoredKey[] = [];
  #replaced = 0;

  constructor(
    private readonly installation: Installation,
    private readonly table: CellTable,
    private readonly options: ReencryptOptions,
  ) {
    this.#pace = new Pace(options.rowsPerSecond);
  }

  /**
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CLOSED
   * @throws the database's error, or the signal's reason; what was done stays done
   */
  async run(): Promise<Reencryption> {
    const { tableId } = this.table;
    const settled = performance.now() + this.installation.leases.settleMilliseconds;
    let wasBegunSettled = false;
    for (;;) {
      const pass = await this.#ensurePass();
      if (pass.isNew) wasBegunSettled = performance.now() >= settled;
      await this.#work(pass.number);
      const done = await RangeStore.latest(this.installation.dataSource, tableId);
      // Another process has found the table done and has said so.
      const isClean = done === undefined || (done.replaced === 0 && done.missed === 0);
      if (done === undefined || (isClean && wasBegunSettled)) {
        await this.#withSession((session) => new RangeStore(session, tableId).end());
        const failed = done?.failed ?? 0;
        return { tableId, passes: pass.number, replaced: this.#replaced, failed, failedKeys: this.#failedKeys };
      }
      const { signal } = this.options;
      if (isClean) await delay(Math.max(0, settled - performance.now()), undefined, { signal });
    }
  }

  /** The pass that is under way; the next one when it has been finished. */
  async #ensurePass(): Promise<{ number: number; isNew: boolean }> {
    const { dataSource } = this.installation;
    const { tableId } = this.table;
    const latest = await RangeStore.latest(dataSource, tableId);
    if (latest !== undefined && !latest.isFinished) return { number: latest.pass, isNew: false };
    const number = (latest?.pass ?? 0) + 1;
    await this.#withSession(async (session) =>
      new RangeStore(session, tableId).begin(number, await this.#split(session)),
    );
    this.#failedKeys.length = 0;
    return { number, isNew: true };
  }

  async #split(session: QueryRunner): Promise<readonly (KeyRange & { readonly ofRows: number })[]> {
    const rows = await this.table.count(session);
    const size = Math.max(rangeRows, Math.ceil(rows / mostRanges));
    const ends = rows <= size ? [] : await this.table.ends(session, size);
    return [...ends, undefined].map((upTo, index) => ({
      after: ends[index - 1],
      upTo,
      ofRows: Math.min(size, Math.max(0, rows - index * size)),
    }));
  }

  /** Takes part in a pass until all of its ranges are finished. */
  async #work(pass: number): Promise<void> {
    const { workers = 1 } = this.options;
    const isSingle = this.installation.databaseType === 'better-sqlite3';
    const tasks = Array.from({ length: isSingle ? 1 : workers }, () =>
      this.#withSession((session) => this.#workOnRanges(pass, session)),
    );
    await Promise.all(tasks);
  }

  async #workOnRanges(pass: number, session: QueryRunner): Promise<void> {
    const { tableId } = this.table;
    const ranges = new RangeStore(session, tableId);
    for (;;) {
      const range = await ranges.take(pass);
      if (range !== undefined) {
        try {
          await this.#workOnRange(ranges, range, session);
        } catch (error) {
          // Where the database is what fails, the range is free when it is held no more.
          await ranges.release(range).catch(() => undefined);
          throw error;
        }
        continue;
      }
      const latest = await RangeStore.latest(this.installation.dataSource, tableId);
      if (latest === undefined || latest.pass !== pass || latest.isFinished) return;
      // Others are at the rest. One of them may die.
      await delay(1_000, undefined, { signal: this.options.signal });
    }
  }

  async #workOnRange(ranges: RangeStore, range: HeldRange, session: QueryRunner): Promise<void> {
    const { signal, onProgress } = this.options;
    const pageRows = Math.min(this.options.pageRows ?? 200, Math.floor(mostMessages / this.table.columns.length));
    let { after } = range;
    for (;;) {
      signal?.throwIfAborted();
      const rows = await this.table.page(session, { after, upTo: range.upTo }, pageRows);
      const done = await this.#replacePage(rows, session);
      after = rows.length === pageRows ? rows.at(-1)?.key : undefined;
      if (!(await ranges.advance(range, after, done))) return;
      const { dataSource } = this.installation;
      const { tableId } = this.table;
      const progress = onProgress && (await RangeStore.latest(dataSource, tableId));
      if (progress !== undefined) onProgress?.({ tableId, ...progress });
      if (after === undefined) return;
      await this.#pace.wait(rows.length, signal);
    }
  }

  async #replacePage(rows: Awaited<ReturnType<CellTable['page']>>, session: QueryRunner): Promise<PassCounts> {
    const { opened, failed } = await openRows(this.installation, this.table, rows, session);
    this.#failedKeys.push(...failed.slice(0, mostFailedKeys - this.#failedKeys.length).map(({ key }) => key));
    const replaced = await this.#encryptAnew(opened, session);
    // Rolled back with a transaction of the application, the cells would be as they were and the pass would be over.
    await outsideTransactions(this.installation.dataSource);
    const affected = await this.table.replace(session, replaced);
    const cells = affected * this.table.columns.length;
    this.#replaced += cells;
    return { rows: rows.length, replaced: cells, missed: replaced.length - affected, failed: failed.length };
  }

  /** The rows that have a cell, or a text of an index, of another key than the active one. */
  async #encryptAnew(rows: readonly OpenedRow[], session: QueryRunner): Promise<readonly ReplacedRow[]> {
    // One costs nothing until it encrypts.
    const active = await reserveKeys(this.installation, this.table, rows, 0, session);
    const old: IndexedRow[] = [];
    for (const opened of rows) {
      const indexes = await activeIndexTexts(this.installation, this.table, opened);
      const isCurrent =
        opened.row.cells.every(
          (cell, column) =>
            typeof cell !== 'string' || cell.startsWith(active.of(this.table.columns[column], opened.tenant).header),
        ) && indexes.every((text, index) => text === opened.row.indexes[index]);
      if (!isCurrent) old.push({ ...opened, indexes });
    }
    return old.length === 0 ? [] : encryptOpened(this.installation, this.table, old, session);
  }

  async #withSession<T>(work: (session: QueryRunner) => Promise<T>): Promise<T> {
    const session = this.installation.dataSource.createQueryRunner('master');
    try {
      return await work(session);
    } finally {
      await session.release();
    }
  }
}
