import type { QueryRunner } from 'typeorm';
import type { Plaintext } from '../../value-encoding.js';
import type { DriverInternals } from '../driver-codec.js';
import type { Installation } from '../installation.js';
import { outsideTransactions } from '../store/application-transaction.js';
import type { CellTable, StoredKey, StoredRow } from './cell-table.js';
import { comparePlaintexts, encodable } from './compared-plaintexts.js';
import { Pace } from './pace.js';
import { activeIndexTexts, encryptOpened, type IndexedRow, type OpenedRow, openRows } from './stored-cells.js';
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
  /** Rows left as they are: a cell does not decrypt, a value is none of the column's type, or what is to be written over has no source. */
  readonly failed: number;
  /** The primary keys of the first hundred of them. */
  readonly failedKeys: readonly StoredKey[];
}

/** What a page of rows came to. */
interface PageResult {
  readonly changed: number;
  /** Rows that somebody else changed meanwhile. */
  readonly missed: number;
  readonly failed: readonly StoredRow[];
}

const pageRows = 200;

/**
 * Work on the plaintext columns of a table, row by row in the order of the primary key, while the application goes on: a row is
 * changed only where it still is what was read. Ended anywhere, it finds what is left when it is called again.
 */
export class PlaintextTable {
  readonly #pace: Pace;

  constructor(
    private readonly installation: Installation,
    private readonly table: CellTable,
    private readonly options: BackfillOptions,
  ) {
    this.#pace = new Pace(options.rowsPerSecond);
  }

  /**
   * Makes what the application only writes equal to what it reads: cells from plaintext in the phase dual-write, plaintext from cells
   * in the phase switched. A value is never replaced by NULL. Of tenants' rows only those get cells whose tenant a column says.
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CLOSED
   * @throws the database's error, or the signal's reason; what was done stays done
   */
  backfill(): Promise<Backfill> {
    return this.#eachPage((rows, session) => this.#backfillPage(rows, session));
  }

  /**
   * Erases plaintext that has an equal cell, in the phase contract. It cannot be undone.
   * @throws as `backfill`
   */
  contract(): Promise<Backfill> {
    return this.#eachPage((rows, session) => this.#erasePage(rows, session));
  }

  async #eachPage(work: (rows: readonly StoredRow[], session: QueryRunner) => Promise<PageResult>): Promise<Backfill> {
    const session = this.installation.dataSource.createQueryRunner('master');
    try {
      let changed = 0;
      for (;;) {
        const pass = await this.#pass(work, session);
        changed += pass.changed;
        const { tableId } = this.table;
        if (pass.missed === 0) return { tableId, changed, failed: pass.failed, failedKeys: pass.failedKeys };
      }
    } finally {
      await session.release();
    }
  }

  async #pass(work: (rows: readonly StoredRow[], session: QueryRunner) => Promise<PageResult>, session: QueryRunner) {
    const { signal, onProgress } = this.options;
    const { tableId } = this.table;
    const ofRows = await this.table.count(session);
    const failedKeys: StoredKey[] = [];
    let [seen, changed, missed, failed] = [0, 0, 0, 0];
    let rows: readonly StoredRow[] = [];
    do {
      signal?.throwIfAborted();
      rows = await this.table.page(session, { after: rows.at(-1)?.key }, pageRows);
      const page = await work(rows, session);
      changed += page.changed;
      missed += page.missed;
      failed += page.failed.length;
      failedKeys.push(...page.failed.slice(0, mostFailedKeys - failedKeys.length).map(({ key }) => key));
      seen += rows.length;
      onProgress?.({ tableId, rows: seen, ofRows });
      await this.#pace.wait(rows.length, signal);
    } while (rows.length === pageRows);
    return { changed, missed, failed, failedKeys };
  }

  async #backfillPage(rows: readonly StoredRow[], session: QueryRunner): Promise<PageResult> {
    const { opened, failed: undecryptable } = await openRows(this.installation, this.table, rows, session);
    const failed = new Set(undecryptable);
    const toEncrypt: OpenedRow[] = [];
    let [changed, missed] = [0, 0];
    for (const each of opened) {
      const compared = comparePlaintexts(this.installation, this.table, each).filter(({ isEqual }) => !isEqual);
      const plaintexts: (Plaintext | null | undefined)[] = [...each.plaintexts];
      for (const { place, plaintext, cipher, value, cellValue } of compared) {
        const { phase } = plaintext.plaintext;
        if (phase === 'dual-write') {
          const encoded = value === null ? undefined : encodable(() => cipher.encode(value));
          if (encoded === undefined) failed.add(each.row);
          else plaintexts[plaintext.source] = encoded;
        } else if (phase === 'switched') {
          if (cellValue === null) failed.add(each.row);
          else if (await this.#setPlaintext(each.row, place, cellValue, session)) changed++;
          else missed++;
        }
      }
      if (plaintexts.every((plaintext, index) => plaintext === each.plaintexts[index])) continue;
      // A row without a cell is whose its column says.
      const tenant = each.tenant === '' ? (each.row.tenant ?? '') : each.tenant;
      if (tenant === '' && this.table.keyScope === 'tenant') failed.add(each.row);
      else toEncrypt.push({ ...each, plaintexts, tenant });
    }
    const replaced = await this.#replace(toEncrypt, session);
    return { changed: changed + replaced, missed: missed + toEncrypt.length - replaced, failed: [...failed] };
  }

  async #replace(rows: readonly OpenedRow[], session: QueryRunner): Promise<number> {
    if (rows.length === 0) return 0;
    const indexed: IndexedRow[] = [];
    for (const each of rows)
      indexed.push({ ...each, indexes: await activeIndexTexts(this.installation, this.table, each) });
    const replaced = await encryptOpened(this.installation, this.table, indexed, session);
    // Rolled back with a transaction of the application, the row would be as it was and the pass would be over.
    await outsideTransactions(this.installation.dataSource);
    return this.table.replace(session, replaced);
  }

  async #setPlaintext(row: StoredRow, place: number, value: unknown, session: QueryRunner): Promise<boolean> {
    const { dataSource } = this.installation;
    const driver = dataSource.driver as unknown as DriverInternals;
    const { column } = this.table.plaintexts[place].plaintext;
    await outsideTransactions(dataSource);
    return this.table.setPlaintext(session, row, place, driver.preparePersistentValue(value, column));
  }

  async #erasePage(rows: readonly StoredRow[], session: QueryRunner): Promise<PageResult> {
    const { opened, failed: undecryptable } = await openRows(this.installation, this.table, rows, session);
    const places = this.table.plaintexts.flatMap(({ plaintext }, place) =>
      plaintext.phase === 'contract' ? [place] : [],
    );
    const failed = [...undecryptable];
    const toErase: StoredRow[] = [];
    for (const each of opened) {
      const left = comparePlaintexts(this.installation, this.table, each).filter(
        ({ place, value }) => places.includes(place) && value !== null,
      );
      if (left.some(({ isEqual }) => !isEqual)) failed.push(each.row);
      else if (left.length > 0) toErase.push(each.row);
    }
    await outsideTransactions(this.installation.dataSource);
    const changed = await this.table.erase(session, toErase, places);
    return { changed, missed: toErase.length - changed, failed };
  }
}
