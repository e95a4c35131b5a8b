import type { RowKey } from './associated-data.js';
import { cells } from './cells/load-cells.js';
import type { ColumnCipher } from './column-cipher.js';
import type { CellKey } from './data-key.js';
import { headerCharacters } from './envelope.js';
import { decryptionFailed } from './errors.js';
import type { Plaintext } from './value-encoding.js';

/** The cells of some rows, row after row, each row with one for every column: plaintexts, or what the database holds. */
export class CellBatch<Cell> {
  readonly rowKeys: string[] = [];
  /** Null or undefined where there is none. */
  readonly cells: (Cell | null | undefined)[] = [];
  rows = 0;
  /** Cells that are there. */
  filled = 0;

  constructor(readonly columns: readonly ColumnCipher[]) {}

  /** To be followed by `addCell` for every column. */
  addRow(key: RowKey): void {
    for (const text of key) this.rowKeys.push(text);
    this.rows++;
  }

  addCell(cell: Cell | null | undefined): void {
    this.cells.push(cell);
    if (cell !== null && cell !== undefined) this.filled++;
  }

  /** Some of its rows and columns, by their numbers. */
  part(rows: readonly number[], columns: readonly number[]): CellBatch<Cell> {
    const part = new CellBatch<Cell>(columns.map((column) => this.columns[column]));
    const keyTexts = this.rowKeys.length / this.rows;
    for (const row of rows) {
      part.addRow(this.rowKeys.slice(row * keyTexts, (row + 1) * keyTexts));
      for (const column of columns) part.addCell(this.cells[row * this.columns.length + column]);
    }
    return part;
  }
}

/** The addon's limit: associated data of so many columns and keys. */
const mostPrefixes = 65_536;

/** Those of a batch, in the order of its cells. */
export type Plaintexts = readonly (Plaintext | null | undefined)[];

/**
 * Encrypts plaintexts: every cell that is written passes here and nowhere else.
 * @returns the texts of the cells, in the order of their plaintexts
 */
export function encryptCells(batch: CellBatch<Plaintext>, cellKey: CellKey): readonly (string | null | undefined)[] {
  for (const column of batch.columns) {
    if (!column.isInScope(cellKey)) throw new TypeError(`${column.name}: want a data key of its scope, got another`);
  }
  const prefixes = batch.columns.map((column) => column.associatedDataPrefix(cellKey));
  return cells().encrypt(cellKey.secret, prefixes, rowsOf(batch));
}

/**
 * Decrypts what the database holds: every cell that is read passes here and nowhere else.
 * @param cellKeys  those that cells name, as far as there are any
 * @returns the plaintexts in the order of their cells, for `ColumnCipher.decode`
 * @throws {DataEncryptionError} ERR_DATA_DECRYPTION_FAILED, whatever the reason
 */
export function decryptCells(batch: CellBatch<unknown>, cellKeys: readonly CellKey[]): Plaintexts {
  const { columns } = batch;
  const mostKeys = Math.floor(mostPrefixes / columns.length);
  if (cellKeys.length > mostKeys) return decryptParts(batch, cellKeys, mostKeys);
  const secrets = cellKeys.map(({ secret }) => secret);
  const prefixes: Buffer[] = [];
  for (const cellKey of cellKeys) for (const column of columns) prefixes.push(column.associatedDataPrefix(cellKey));
  // A loop: `from` takes longer than to decrypt a row.
  const areTexts = new Uint8Array(columns.length);
  for (let column = 0; column < columns.length; column++) areTexts[column] = Number(columns[column].isText);
  const plaintexts = cells().decrypt(secrets, prefixes, areTexts, rowsOf(batch));
  if (typeof plaintexts !== 'number') return plaintexts;
  throw decryptionFailed(columns[plaintexts % columns.length].name);
}

/** So many rows at a time that they cannot name more keys than may be used at once. */
function decryptParts(batch: CellBatch<unknown>, cellKeys: readonly CellKey[], mostKeys: number): Plaintexts {
  const byHeader = new Map(cellKeys.map((cellKey) => [cellKey.header, cellKey]));
  const columns = [...batch.columns.keys()];
  const rowsAtOnce = Math.max(1, Math.floor(mostKeys / columns.length));
  const plaintexts: (Plaintext | null | undefined)[] = [];
  for (let from = 0; from < batch.rows; from += rowsAtOnce) {
    const rows = Array.from({ length: Math.min(rowsAtOnce, batch.rows - from) }, (_, index) => from + index);
    const part = batch.part(rows, columns);
    const headers = new Set(
      part.cells.map((cell) => (typeof cell === 'string' ? cell.slice(0, headerCharacters) : '')),
    );
    const named = [...headers].flatMap((header) => byHeader.get(header) ?? []);
    for (const plaintext of decryptCells(part, named)) plaintexts.push(plaintext);
  }
  return plaintexts;
}

function rowsOf<Cell>({ rowKeys, rows, cells }: CellBatch<Cell>) {
  // Without rows there is no key to count.
  return { rowKeys, keyTexts: rows === 0 ? 1 : rowKeys.length / rows, cells };
}
