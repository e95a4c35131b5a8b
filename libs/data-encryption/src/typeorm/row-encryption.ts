import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { RowKey } from '../associated-data.js';
import { CellBatch, encryptCells } from '../cell-batch.js';
import type { CellKey } from '../data-key.js';
import type { Plaintext } from '../value-encoding.js';
import { type ColumnToEncrypt, EncryptedCells } from './encrypted-cells.js';
import type { Installation } from './installation.js';
import { refuse } from './refusal.js';

export interface RowsToEncrypt {
  readonly columns: readonly ColumnToEncrypt[];
  readonly rows: number;
  /** Undefined when the primary key is not known; asked for rows that have a value. */
  readonly key: (row: number) => RowKey | undefined;
  /** A function is an SQL expression and no value. */
  readonly value: (row: number, column: ColumnMetadata) => unknown;
}

/**
 * Encrypts the cells of all rows of a statement, in one batch.
 * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID | ERR_DATA_OPERATION_REFUSED for a cell of an unknown key
 */
export function encryptRows(
  installation: Installation,
  { columns, rows, key, value }: RowsToEncrypt,
  cellKey: CellKey,
): EncryptedCells {
  const batch = new CellBatch<Plaintext>(columns.map(([, cipher]) => cipher));
  const places = new Int32Array(rows).fill(-1);
  for (let row = 0; row < rows; row++) {
    const values = columns.map(([column]) => value(row, column));
    const first = values.findIndex(isValue);
    if (first < 0) continue;
    const rowKey = key(row);
    if (rowKey === undefined) refuse(columns[first][1].name, 'unknownKey');
    places[row] = batch.rows;
    batch.addRow(rowKey);
    for (let index = 0; index < values.length; index++) {
      batch.addCell(isValue(values[index]) ? columns[index][1].encode(values[index]) : null);
    }
  }
  const texts = encryptCells(batch, cellKey);
  if (batch.filled > 0) installation.observer.cells('encrypt', batch.filled);
  return new EncryptedCells(columns, places, texts);
}

function isValue(value: unknown): boolean {
  return value !== null && value !== undefined && typeof value !== 'function';
}
