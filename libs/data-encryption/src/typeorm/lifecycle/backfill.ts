import type { QueryRunner } from 'typeorm';
import { DataEncryptionError } from '../../errors.js';
import type { Plaintext } from '../../value-encoding.js';
import type { DriverInternals } from '../driver-codec.js';
import type { Installation } from '../installation.js';
import { outsideTransactions } from '../store/application-transaction.js';
import type { CellTable, StoredRow } from './cell-table.js';
import { type ComparedPlaintext, comparePlaintexts, encodable } from './compared-plaintexts.js';
import { type Backfill, type BackfillOptions, type PageResult, PlaintextPasses } from './plaintext-passes.js';
import { activeIndexTexts, encryptOpened, type IndexedRow, type OpenedRow, openRows } from './stored-cells.js';

/**
 * Work on the plaintext columns of a table, row by row in the order of the primary key, while the application goes on: a row is
 * changed only where it still is what was read. Ended anywhere, it finds what is left when it is called again.
 */
export class PlaintextTable {
  readonly #passes: PlaintextPasses;

  constructor(
    private readonly installation: Installation,
    private readonly table: CellTable,
    options: BackfillOptions,
  ) {
    this.#passes = new PlaintextPasses(installation.dataSource, table, options);
  }

  /**
   * In the phase dual-write: makes cells of plaintexts that have none, or another one; never nothing of a cell. In the phase switched: gives
   * cells that have none a plaintext, and leaves every plaintext as it is: which of two values is older is not known. Of tenants' rows only
   * those get cells whose tenant a column says.
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CLOSED
   * @throws the database's error, or the signal's reason; what was done stays done
   */
  backfill(): Promise<Backfill> {
    return this.#passes.run((rows, session, isSingly) => this.#backfillPage(rows, session, isSingly));
  }

  /**
   * Erases plaintext whose cell holds all of it, and what is left of tenants that were shredded, in the phase contract. It cannot be undone.
   * @throws as `backfill`
   */
  contract(): Promise<Backfill> {
    return this.#passes.run((rows, session) => this.#erasePage(rows, session));
  }

  async #backfillPage(rows: readonly StoredRow[], session: QueryRunner, isSingly: boolean): Promise<PageResult> {
    const { opened, failed: undecryptable } = await openRows(this.installation, this.table, rows, session);
    const failed = new Set(undecryptable);
    const missed: StoredRow[] = [];
    const toEncrypt: OpenedRow[] = [];
    let changed = 0;
    for (const each of opened) {
      const differing = comparePlaintexts(this.installation, this.table, each).filter(({ isEqual }) => !isEqual);
      const plaintexts: (Plaintext | null | undefined)[] = [...each.plaintexts];
      for (const compared of differing) {
        const { place, plaintext, cipher, value, cellValue } = compared;
        const { phase } = plaintext.plaintext;
        if (phase === 'dual-write') {
          const isLost = value === null && cellValue !== null;
          const encoded = isLost ? undefined : encodable(() => cipher.encode(value));
          if (encoded === undefined) failed.add(each.row);
          else plaintexts[plaintext.source] = encoded;
        } else if (phase === 'switched') {
          if (value !== null) failed.add(each.row);
          else {
            const set = () => this.#setPlaintext(each.row, place, cellValue, session);
            const isSet = await unlessRefused(set);
            if (isSet === undefined) failed.add(each.row);
            else if (isSet) changed++;
            else missed.push(each.row);
          }
        }
      }
      if (plaintexts.every((plaintext, index) => plaintext === each.plaintexts[index])) continue;
      // A row without a cell is whose its column says.
      const tenant = each.tenant === '' ? (each.row.tenant ?? '') : each.tenant;
      if (tenant === '' && this.table.keyScope === 'tenant') failed.add(each.row);
      else toEncrypt.push({ ...each, plaintexts, tenant });
    }
    const replaced = await this.#replace(toEncrypt, session, isSingly);
    return {
      changed: changed + replaced.changed,
      missed: [...missed, ...replaced.missed],
      failed: [...new Set([...failed, ...replaced.failed])],
    };
  }

  /** In one statement; one by one where that is asked for, or where the database refuses a row of them. */
  async #replace(rows: readonly OpenedRow[], session: QueryRunner, isSingly: boolean): Promise<PageResult> {
    const together = isSingly ? undefined : await unlessRefused(() => this.#replaceTogether(rows, session));
    if (together !== undefined) {
      const missed = together === rows.length ? [] : rows.map(({ row }) => row);
      return { changed: together, missed, failed: [] };
    }
    const [missed, failed]: StoredRow[][] = [[], []];
    let changed = 0;
    for (const each of rows) {
      const replaced = await unlessRefused(() => this.#replaceTogether([each], session));
      if (replaced === undefined) failed.push(each.row);
      else if (replaced === 0) missed.push(each.row);
      else changed++;
    }
    return { changed, missed, failed };
  }

  async #replaceTogether(rows: readonly OpenedRow[], session: QueryRunner): Promise<number> {
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
    const isErased = ({ isEqual, isExact }: ComparedPlaintext) => isEqual && isExact;
    // Neither decrypted nor failed: of a tenant that was shredded.
    const seen = new Set([...undecryptable, ...opened.map(({ row }) => row)]);
    const toErase = rows.filter((row) => !seen.has(row) && places.some((place) => row.plaintexts[place].text !== null));
    for (const each of opened) {
      const left = comparePlaintexts(this.installation, this.table, each).filter(
        ({ place, value }) => places.includes(place) && value !== null,
      );
      if (!left.every(isErased)) failed.push(each.row);
      else if (left.length > 0) toErase.push(each.row);
    }
    await outsideTransactions(this.installation.dataSource);
    const changed = await this.table.erase(session, toErase, places);
    return { changed, missed: changed === toErase.length ? [] : toErase, failed };
  }
}

/** @returns undefined where the database does not take a row as it would become, or a row is of a tenant that was shredded */
async function unlessRefused<T>(change: () => Promise<T>): Promise<T | undefined> {
  try {
    return await change();
  } catch (error) {
    const { driverError } = error as { driverError?: { code?: unknown; sqlState?: unknown } };
    // The class 23 of SQLSTATE, integrity constraint violation, and SQLite's constraints.
    const isConstraint = /^(23|SQLITE_CONSTRAINT)/.test(String(driverError?.sqlState ?? driverError?.code));
    const isShredded = error instanceof DataEncryptionError && error.code === 'ERR_DATA_SHREDDED';
    if (isConstraint || isShredded) return undefined;
    throw error;
  }
}
