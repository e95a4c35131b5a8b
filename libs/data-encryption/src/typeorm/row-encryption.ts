import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { RowKey } from '../associated-data.js';
import { CellBatch, encryptCells } from '../cell-batch.js';
import type { CellKey } from '../data-key.js';
import type { EncryptedEntity } from './encrypted-entity.js';
import type { Installation } from './installation.js';
import { refuse } from './refusal.js';

/** The cells of one row, ready to become parameters. */
export interface EncryptedRow {
  /** @returns undefined for a column that was given no value */
  cell(column: ColumnMetadata): string | undefined;
}

export interface RowToEncrypt {
  /** Undefined when the primary key is not known. */
  readonly key: () => RowKey | undefined;
  readonly value: (column: ColumnMetadata) => unknown;
}

/**
 * Encrypts the cells of all rows of a statement, in one batch.
 * @param columns  those encrypted columns that the statement writes
 * @returns a row for each
 * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID | ERR_DATA_OPERATION_REFUSED for a cell of an unknown key
 */
export function encryptRows(
  installation: Installation,
  entity: EncryptedEntity,
  columns: readonly ColumnMetadata[],
  rows: readonly RowToEncrypt[],
  cellKey: CellKey,
): readonly EncryptedRow[] {
  const ciphers = columns.flatMap((column) => entity.ciphers.get(column) ?? []);
  const batch = new CellBatch(ciphers);
  /** By row: its place in the batch. */
  const places = rows.map(({ key, value }) => {
    const values = columns.map((column) => toCell(value(column)));
    const first = values.findIndex((each) => each !== null);
    if (first < 0) return undefined;
    const rowKey = key();
    if (rowKey === undefined) refuse(ciphers[first].name, 'unknownKey');
    batch.add(rowKey, (column) => values[column]);
    return batch.size - 1;
  });
  const texts = encryptCells(batch, cellKey);
  if (batch.filled > 0) installation.observer.cells('encrypt', batch.filled);
  const indices = new Map(columns.map((column, index) => [column, index]));
  return places.map((place) => ({
    cell: (column) => {
      const index = indices.get(column);
      return place === undefined || index === undefined
        ? undefined
        : (texts[place * columns.length + index] ?? undefined);
    },
  }));
}

/** An SQL expression is no value: it is refused, or of another column. */
function toCell(value: unknown): unknown {
  return value === undefined || typeof value === 'function' ? null : value;
}
