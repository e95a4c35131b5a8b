import type { QueryRunner } from 'typeorm';
import { CellBatch, decryptCells } from '../../cell-batch.js';
import type { CellKey } from '../../data-key.js';
import { DataEncryptionError } from '../../errors.js';
import type { Installation } from '../installation.js';
import { keysNamed } from '../row-decryption.js';
import type { Plaintext } from '../../value-encoding.js';
import type { CellTable, StoredRow } from './cell-table.js';

/** A row whose cells have been decrypted. */
export interface OpenedRow {
  readonly row: StoredRow;
  /** In the order of `CellTable.columns`. */
  readonly plaintexts: readonly (Plaintext | null | undefined)[];
}

export interface OpenedRows {
  readonly opened: readonly OpenedRow[];
  /** Rows with a cell that does not decrypt in its place. */
  readonly failed: readonly StoredRow[];
}

/**
 * Decrypts rows as they are stored.
 * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CLOSED
 */
export async function openRows(
  installation: Installation,
  table: CellTable,
  rows: readonly StoredRow[],
  session: QueryRunner,
): Promise<OpenedRows> {
  const ids = keysNamed(rows.flatMap(({ cells }) => cells));
  const cellKeys = [...(await installation.openKeys(ids, session)).values()];
  const together = decryptTogether(table, rows, cellKeys);
  if (together !== undefined) return { opened: together, failed: [] };
  // One of them does not decrypt: each by itself says which.
  const opened: OpenedRow[] = [];
  const failed: StoredRow[] = [];
  for (const row of rows) {
    const alone = decryptTogether(table, [row], cellKeys);
    if (alone === undefined) failed.push(row);
    else opened.push(...alone);
  }
  return { opened, failed };
}

/** @returns undefined when a cell of any row does not decrypt */
function decryptTogether(
  table: CellTable,
  rows: readonly StoredRow[],
  cellKeys: readonly CellKey[],
): readonly OpenedRow[] | undefined {
  const batch = new CellBatch<unknown>(table.columns);
  for (const row of rows) {
    const key = table.rowKey(row);
    if (key === undefined) return undefined;
    batch.addRow(key);
    for (const cell of row.cells) batch.addCell(cell);
  }
  try {
    const plaintexts = decryptCells(batch, cellKeys);
    const width = table.columns.length;
    return rows.map((row, index) => ({ row, plaintexts: plaintexts.slice(index * width, (index + 1) * width) }));
  } catch (error) {
    if (error instanceof DataEncryptionError && error.code === 'ERR_DATA_DECRYPTION_FAILED') return undefined;
    throw error;
  }
}

/**
 * The texts of a row's blind indexes, one under each key of an index, that of the active one first; none for NULL.
 * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE
 */
export function indexTexts(
  installation: Installation,
  table: CellTable,
  { plaintexts }: OpenedRow,
): readonly (readonly string[])[] {
  return table.indexes.map(({ indexed: { tableId, index }, source }) => {
    const plaintext = plaintexts[source];
    if (plaintext === null || plaintext === undefined) return [];
    const value = table.columns[source].decode(plaintext);
    return installation.indexKeys.keys(tableId, index).map((key) => index.text(value, key));
  });
}
