import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, QueryRunner } from 'typeorm';
import type { CellTable, StoredKey, StoredRow } from './cell-table.js';
import { Pace } from './pace.js';
import { mostFailedKeys } from './verification.js';

export interface BackfillProgress {
  readonly tableId: string;
  /** Rows looked at so far. */
  readonly rows: number;
  /** Of so many when it began. */
  readonly ofRows: number;
}

export interface BackfillOptions {
  /** Rows looked at in a second. Default: as fast as it goes. */
  readonly rowsPerSecond?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: BackfillProgress) => void;
}

export interface Backfill {
  readonly tableId: string;
  /** Rows that were changed: given cells or plaintexts, or rid of plaintexts. */
  readonly changed: number;
  /**
   * Rows left as they are: a cell does not decrypt, a value is none of the column's type, one has no source, the database refuses what it
   * would become, or somebody holds the row.
   */
  readonly failed: number;
  /** The primary keys of the first hundred of them. */
  readonly failedKeys: readonly StoredKey[];
}

/** What a page of rows came to. */
export interface PageResult {
  readonly changed: number;
  /** Rows that somebody else may have changed meanwhile. */
  readonly missed: readonly StoredRow[];
  readonly failed: readonly StoredRow[];
}

/** @param isSingly  rows are to be changed one by one, so that those that cannot be are known */
export type PageWork = (rows: readonly StoredRow[], session: QueryRunner, isSingly: boolean) => Promise<PageResult>;

const pageRows = 200;
/** Passes in a row that miss rows and change none: what they miss is not somebody's write. */
const mostFruitlessPasses = 3;
const fruitlessPauseMilliseconds = 1_000;

/** Goes over a table in the order of its primary key, until a pass misses no row. */
export class PlaintextPasses {
  readonly #pace: Pace;

  constructor(
    private readonly dataSource: DataSource,
    private readonly table: CellTable,
    private readonly options: BackfillOptions,
  ) {
    this.#pace = new Pace(options.rowsPerSecond);
  }

  async run(work: PageWork): Promise<Backfill> {
    const session = this.dataSource.createQueryRunner('master');
    const { tableId } = this.table;
    try {
      let [changed, fruitless] = [0, 0];
      for (;;) {
        const pass = await this.#pass(work, session, fruitless > 0);
        changed += pass.changed;
        fruitless = pass.changed === 0 ? fruitless + 1 : 0;
        if (pass.missed.count === 0 || fruitless === mostFruitlessPasses) {
          const failedKeys = [...pass.failed.keys, ...pass.missed.keys].slice(0, mostFailedKeys);
          return { tableId, changed, failed: pass.failed.count + pass.missed.count, failedKeys };
        }
        if (fruitless > 0) await delay(fruitlessPauseMilliseconds, undefined, { signal: this.options.signal });
      }
    } finally {
      await session.release();
    }
  }

  async #pass(work: PageWork, session: QueryRunner, isSingly: boolean) {
    const { signal, onProgress } = this.options;
    const { tableId } = this.table;
    const ofRows = await this.table.count(session);
    const [missed, failed] = [new NamedRows(), new NamedRows()];
    let [seen, changed] = [0, 0];
    let rows: readonly StoredRow[] = [];
    do {
      signal?.throwIfAborted();
      rows = await this.table.page(session, { after: rows.at(-1)?.key }, pageRows);
      const page = await work(rows, session, isSingly);
      changed += page.changed;
      missed.add(page.missed);
      failed.add(page.failed);
      seen += rows.length;
      onProgress?.({ tableId, rows: seen, ofRows });
      await this.#pace.wait(rows.length, signal);
    } while (rows.length === pageRows);
    return { changed, missed, failed };
  }
}

/** How many rows, and the keys of the first of them. */
class NamedRows {
  readonly keys: StoredKey[] = [];
  count = 0;

  add(rows: readonly StoredRow[]): void {
    this.count += rows.length;
    this.keys.push(...rows.slice(0, mostFailedKeys - this.keys.length).map(({ key }) => key));
  }
}
