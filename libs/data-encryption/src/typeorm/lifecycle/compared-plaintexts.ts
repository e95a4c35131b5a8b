import type { ColumnCipher } from '../../column-cipher.js';
import { DataEncryptionError } from '../../errors.js';
import { equalValues } from '../../value-encoding.js';
import type { DriverInternals } from '../driver-codec.js';
import type { Installation } from '../installation.js';
import type { CellTable, TablePlaintext } from './cell-table.js';
import type { OpenedRow } from './stored-cells.js';

/** A plaintext of a row beside what its cell holds. */
export interface ComparedPlaintext {
  /** Its place among `CellTable.plaintexts`. */
  readonly place: number;
  readonly plaintext: TablePlaintext;
  readonly cipher: ColumnCipher;
  /** What entities have for it; null where there is none. */
  readonly value: unknown;
  readonly cellValue: unknown;
  readonly isEqual: boolean;
  /** Whether the value is all that the database has: a Date has no microseconds. */
  readonly isExact: boolean;
}

/** Compares the plaintexts of a row with its cells. */
export function comparePlaintexts(
  { dataSource }: Installation,
  table: CellTable,
  { row, plaintexts }: OpenedRow,
): readonly ComparedPlaintext[] {
  const driver = dataSource.driver as unknown as DriverInternals;
  return table.plaintexts.map((plaintext, place) => {
    const cipher = table.columns[plaintext.source];
    const stored = row.plaintexts[place].value ?? null;
    const value = stored === null ? null : driver.prepareHydratedValue(stored, plaintext.plaintext.column);
    const opened = plaintexts[plaintext.source] ?? null;
    const cellValue = opened === null ? null : cipher.decode(opened);
    const isCellMissing = opened === null && cipher.hasCell(value);
    const isEqual =
      value === null || cellValue === null
        ? value === cellValue && !isCellMissing
        : equalValues(cipher.identity.type, value, cellValue);
    const isExact = value === null || isAllOf(String(row.plaintexts[place].text), value);
    return { place, plaintext, cipher, value, cellValue, isEqual, isExact };
  });
}

/** @param text  the database's own for a value */
function isAllOf(text: string, value: unknown): boolean {
  if (value instanceof Date) return !/\.\d{3}0*[1-9]/.test(text);
  if (typeof value === 'number') return isExactNumber(text.replace(/^'|'$/g, ''));
  const isText = typeof value !== 'object' || value instanceof Uint8Array;
  // JSON: JavaScript has no number of more digits than a double holds.
  return isText || (text.replace(/"(?:[^"\\]|\\.)*"/g, '').match(/-?\d[\d.eE+-]*/g) ?? []).every(isExactNumber);
}

/** Whether a double holds all digits of a number. */
function isExactNumber(text: string): boolean {
  const digits = text
    .replace(/[eE].*$/, '')
    .replace(/[^\d]/g, '')
    .replace(/^0+|0+$/g, '');
  return digits.length <= 15 || String(Number(text)) === text;
}

/** @returns undefined for a value that a cell cannot hold */
export function encodable<T>(encode: () => T): T | undefined {
  try {
    return encode();
  } catch (error) {
    if (error instanceof DataEncryptionError && error.code === 'ERR_DATA_VALUE_INVALID') return undefined;
    throw error;
  }
}
