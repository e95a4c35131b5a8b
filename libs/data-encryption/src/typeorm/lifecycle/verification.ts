import type { QueryRunner } from 'typeorm';
import { type DataKeyId, headerCharacters, parseHeader } from '../../envelope.js';
import type { Installation } from '../installation.js';
import type { CellTable, StoredKey, StoredRow } from './cell-table.js';
import { comparePlaintexts } from './compared-plaintexts.js';
import { indexTexts, openRows } from './stored-cells.js';

export interface VerificationProgress {
  readonly tableId: string;
  /** Rows looked at so far. */
  readonly rows: number;
  /** Of so many when it began. */
  readonly ofRows: number;
}

export interface VerifyOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: VerificationProgress) => void;
}

export interface Verification {
  readonly tableId: string;
  readonly rows: number;
  /** Cells that decrypt in their own row, column, table and database. */
  readonly sound: number;
  /** How many of them were written with which data key. */
  readonly keys: ReadonlyMap<DataKeyId, number>;
  /** Rows with a cell that does not. */
  readonly failed: number;
  /** The primary keys of the first hundred of them. */
  readonly failedKeys: readonly StoredKey[];
  /** Rows of tenants that were shredded: nobody can decrypt them. */
  readonly shredded: number;
  /** Rows that a search does not find, or finds for another value: `reencrypt` mends them. */
  readonly misindexed: number;
  /** The primary keys of the first hundred of them. */
  readonly misindexedKeys: readonly StoredKey[];
  /** Rows with a cell that is not equal to the plaintext beside it: `backfill` mends them in the phase dual-write. */
  readonly differing: number;
  /** The primary keys of the first hundred of them. */
  readonly differingKeys: readonly StoredKey[];
}

const pageRows = 500;
export const mostFailedKeys = 100;

/**
 * Decrypts every cell of a table, compares its blind indexes and the plaintext beside it, and drops the values.
 * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CLOSED
 * @throws the signal's reason
 */
export async function verifyTable(
  installation: Installation,
  table: CellTable,
  session: QueryRunner,
  { signal, onProgress }: VerifyOptions,
): Promise<Verification> {
  const ofRows = await table.count(session);
  const { tableId } = table;
  const keys = new Map<DataKeyId, number>();
  const failedKeys: StoredKey[] = [];
  const misindexedKeys: StoredKey[] = [];
  const differingKeys: StoredKey[] = [];
  let [rows, sound, failed, shredded, misindexed, differing] = [0, 0, 0, 0, 0, 0];
  let page: readonly StoredRow[] = [];
  do {
    signal?.throwIfAborted();
    page = await table.page(session, { after: page.at(-1)?.key }, pageRows);
    const { opened, failed: faulty, shredded: gone } = await openRows(installation, table, page, session);
    shredded += gone;
    for (const each of opened) {
      const { key, cells, indexes } = each.row;
      const texts = await indexTexts(installation, table, each);
      const isFound = texts.every((ofIndex, index) => isOneOf(ofIndex, indexes[index]));
      if (!isFound && ++misindexed <= mostFailedKeys) misindexedKeys.push(key);
      const isEqual = comparePlaintexts(installation, table, each).every(
        ({ isEqual, value, plaintext }) => isEqual || (value === null && plaintext.plaintext.phase === 'contract'),
      );
      if (!isEqual && ++differing <= mostFailedKeys) differingKeys.push(key);
      for (const cell of cells) {
        const dataKey = typeof cell === 'string' ? parseHeader(cell.slice(0, headerCharacters)) : undefined;
        if (dataKey === undefined) continue;
        sound++;
        keys.set(dataKey, (keys.get(dataKey) ?? 0) + 1);
      }
    }
    failed += faulty.length;
    failedKeys.push(...faulty.slice(0, mostFailedKeys - failedKeys.length).map(({ key }) => key));
    rows += page.length;
    onProgress?.({ tableId, rows, ofRows });
  } while (page.length === pageRows);
  return {
    ...{ tableId, rows, sound, keys, failed, failedKeys, shredded },
    ...{ misindexed, misindexedKeys, differing, differingKeys },
  };
}

/** Whether a stored text of an index is one of those that are searched; NULL where there is no value. */
function isOneOf(texts: readonly string[], stored: unknown): boolean {
  if (texts.length === 0) return stored === null || stored === undefined;
  return texts.some((text) => text === stored);
}
