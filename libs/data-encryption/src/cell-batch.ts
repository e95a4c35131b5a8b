import type { RowKey } from './associated-data.js';
import { cells } from './cells/load-cells.js';
import type { ColumnCipher } from './column-cipher.js';
import type { CellKey } from './data-key.js';
import { decryptionFailed } from './errors.js';
import type { Plaintext } from './value-encoding.js';

/** Values of a statement, or texts of a result, row after row, each row with one for every column. */
export class CellBatch {
  readonly rowKeys: string[] = [];
  readonly cells: unknown[] = [];
  /** Rows. */
  size = 0;
  /** Cells that are there. */
  filled = 0;

  constructor(readonly columns: readonly ColumnCipher[]) {}

  /** @param cell  by column; null or undefined where there is none */
  add(row: RowKey, cell: (column: number) => unknown): void {
    for (const text of row) this.rowKeys.push(text);
    for (let column = 0; column < this.columns.length; column++) {
      const value = cell(column);
      this.cells.push(value);
      if (value !== null && value !== undefined) this.filled++;
    }
    this.size++;
  }
}

/**
 * Encrypts values: every cell that is written passes here and nowhere else.
 * @returns the texts of the cells, in the order of their values
 * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID
 */
export function encryptCells(batch: CellBatch, cellKey: CellKey): readonly (string | null | undefined)[] {
  const { columns } = batch;
  const plaintexts = batch.cells.map((value, index) =>
    value === null || value === undefined ? value : columns[index % columns.length].encode(value),
  );
  const prefixes = columns.map((column) => column.associatedDataPrefix(cellKey));
  return cells().encrypt(cellKey.secret, prefixes, { ...rowsOf(batch), cells: plaintexts });
}

/**
 * Decrypts what the database holds: every cell that is read passes here and nowhere else.
 * @param cellKeys  those that cells name, as far as there are any
 * @returns the plaintexts in the order of their cells, for `ColumnCipher.decode`
 * @throws {DataEncryptionError} ERR_DATA_DECRYPTION_FAILED, whatever the reason
 */
export function decryptCells(
  batch: CellBatch,
  cellKeys: readonly CellKey[],
): readonly (Plaintext | null | undefined)[] {
  const { columns } = batch;
  const secrets = cellKeys.map(({ secret }) => secret);
  const prefixes = cellKeys.flatMap((cellKey) => columns.map((column) => column.associatedDataPrefix(cellKey)));
  const areTexts = Uint8Array.from(columns, ({ isText }) => Number(isText));
  const plaintexts = cells().decrypt(secrets, prefixes, areTexts, { ...rowsOf(batch), cells: batch.cells });
  if (typeof plaintexts !== 'number') return plaintexts;
  throw decryptionFailed(columns[plaintexts % columns.length].name);
}

function rowsOf({ rowKeys, size }: CellBatch) {
  // Without rows there is no key to count.
  return { rowKeys, keyTexts: size === 0 ? 1 : rowKeys.length / size };
}
