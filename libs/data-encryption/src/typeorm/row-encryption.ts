import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { RowKey } from '../associated-data.js';
import { CellBatch, encryptCells } from '../cell-batch.js';
import type { CellKey } from '../data-key.js';
import type { Plaintext } from '../value-encoding.js';
import { type ColumnToEncrypt, EncryptedCells } from './encrypted-cells.js';
import type { Installation } from './installation.js';
import { refuse } from './refusal.js';
import type { StatementKeys } from './statement-keys.js';

export interface RowsToEncrypt {
  readonly columns: readonly ColumnToEncrypt[];
  readonly rows: number;
  /** Undefined when the primary key is not known; asked for rows that have a value. */
  readonly key: (row: number) => RowKey | undefined;
  /** Whose a row is, empty where cells are no tenant's; asked for rows that have a value. */
  readonly tenant: (row: number) => string;
  /** A function is an SQL expression and no value. */
  readonly value: (row: number, column: ColumnMetadata) => unknown;
}

/**
 * Encrypts the cells of all rows of a statement, in a batch for each data key.
 * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID | ERR_DATA_OPERATION_REFUSED for a cell of an unknown key |
 * ERR_DATA_TENANT_MISSING | ERR_DATA_TENANT_MISMATCH
 */
export function encryptRows(
  installation: Installation,
  { columns, rows, key, tenant, value }: RowsToEncrypt,
  keys: StatementKeys,
): EncryptedCells {
  const batch = new CellBatch<Plaintext>(columns.map(([, cipher]) => cipher));
  const places = new Int32Array(rows).fill(-1);
  const tenants: string[] = [];
  // Plain loops, as where rows are decrypted.
  const values: unknown[] = [];
  for (let row = 0; row < rows; row++) {
    let first = -1;
    for (let index = 0; index < columns.length; index++) {
      const [column, cipher] = columns[index];
      values[index] = value(row, column);
      if (first < 0 && cipher.hasCell(values[index])) first = index;
    }
    if (first < 0) continue;
    const rowKey = key(row);
    if (rowKey === undefined) refuse(columns[first][1].name, 'unknownKey');
    places[row] = batch.rows;
    batch.addRow(rowKey);
    tenants.push(tenant(row));
    for (let index = 0; index < columns.length; index++) {
      const [, cipher] = columns[index];
      batch.addCell(cipher.hasCell(values[index]) ? cipher.encode(values[index]) : null);
    }
  }
  const texts = encryptByScope(batch, tenants, keys);
  if (batch.filled > 0) installation.observer.cells('encrypt', batch.filled);
  return new EncryptedCells(columns, places, texts);
}

/**
 * Encrypts a batch with the keys of its columns, or of the tenants whose its rows are.
 * @param tenants  by row; empty where cells are no tenant's
 * @returns the texts in the order of their plaintexts
 */
export function encryptByScope(
  batch: CellBatch<Plaintext>,
  tenants: readonly string[],
  keys: StatementKeys,
): readonly (string | null | undefined)[] {
  const { columns, rows } = batch;
  if (rows === 0) return [];
  const [first] = columns;
  switch (first.identity.keyScope) {
    case 'table':
      return encryptCells(batch, keys.of(first, ''));
    case 'column':
      return encryptParts(batch, partsByColumn(batch), (part) => keys.of(columns[part.columns[0]], ''));
    case 'tenant':
      return encryptParts(batch, partsByTenant(batch, tenants), (part) => keys.of(first, tenants[part.rows[0]]));
  }
}

/** Rows and columns of a batch, by their numbers. */
interface BatchPart {
  readonly rows: readonly number[];
  readonly columns: readonly number[];
}

function partsByColumn({ columns, rows, cells }: CellBatch<Plaintext>): readonly BatchPart[] {
  const all = Array.from({ length: rows }, (_, row) => row);
  const isFilled = (column: number) => all.some((row) => (cells[row * columns.length + column] ?? null) !== null);
  return [...columns.keys()].filter(isFilled).map((column) => ({ rows: all, columns: [column] }));
}

function partsByTenant({ columns, rows }: CellBatch<Plaintext>, tenants: readonly string[]): readonly BatchPart[] {
  const byTenant = new Map<string, number[]>();
  for (let row = 0; row < rows; row++) {
    const ofTenant = byTenant.get(tenants[row]);
    if (ofTenant === undefined) byTenant.set(tenants[row], [row]);
    else ofTenant.push(row);
  }
  return [...byTenant.values()].map((ofTenant) => ({ rows: ofTenant, columns: [...columns.keys()] }));
}

function encryptParts(
  batch: CellBatch<Plaintext>,
  parts: readonly BatchPart[],
  keyOf: (part: BatchPart) => CellKey,
): readonly (string | null | undefined)[] {
  const texts = new Array<string | null | undefined>(batch.cells.length).fill(null);
  for (const part of parts) {
    const { rows, columns } = part;
    const encrypted = encryptCells(batch.part(rows, columns), keyOf(part));
    let at = 0;
    for (const row of rows) for (const column of columns) texts[row * batch.columns.length + column] = encrypted[at++];
  }
  return texts;
}
