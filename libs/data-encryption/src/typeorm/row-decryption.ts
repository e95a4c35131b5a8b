import type { QueryRunner } from 'typeorm';
import { isSameRow, type RowKey } from '../associated-data.js';
import { CellBatch, decryptCells } from '../cell-batch.js';
import type { CellKey } from '../data-key.js';
import { headerCharacters, parseHeader } from '../envelope.js';
import { decryptionFailed } from '../errors.js';
import type { Installation } from './installation.js';
import { refuse } from './refusal.js';
import type { SelectedRow } from './selected-rows.js';

export type RawRow = Record<string, unknown>;

/**
 * Replaces the cells of result rows by their values, in place. Keys that are not loaded are fetched first, all at once.
 * @throws {DataEncryptionError} ERR_DATA_DECRYPTION_FAILED | ERR_DATA_OPERATION_REFUSED | ERR_DATA_KEY_UNAVAILABLE |
 * ERR_DATA_KEY_REJECTED
 */
export async function decryptRows(
  installation: Installation,
  rows: readonly RawRow[],
  selected: readonly SelectedRow[],
  session?: QueryRunner,
): Promise<void> {
  try {
    for (const { entity, primaryKeys, cells } of selected) {
      if (primaryKeys.size < entity.metadata.primaryColumns.length) refuse(cells[0].cipher.name, 'withoutKey');
    }
    const parts = selected.map((part) => gather(rows, part));
    const cellKeys = await openCellKeys(installation, parts, session);
    let decrypted = 0;
    for (const part of parts) decrypted += decryptPart(rows, part, cellKeys);
    if (decrypted > 0) installation.observer.cells('decrypt', decrypted);
  } catch (error) {
    installation.noteFailure(error);
    throw error;
  }
}

/** The cells of one alias, and by row its place among them, -1 for a row that has none. */
interface Gathered {
  readonly cells: SelectedRow['cells'];
  readonly batch: CellBatch<unknown>;
  readonly places: Int32Array;
}

function gather(rows: readonly RawRow[], { entity, primaryKeys, cells }: SelectedRow): Gathered {
  const batch = new CellBatch(cells.map(({ cipher }) => cipher));
  const places = new Int32Array(rows.length).fill(-1);
  const readKey = entity.primaryKey.reader((column) => primaryKeys.get(column) ?? '');
  // A join repeats a row: the same cells of the same row have the same values. Of another row they are copies, and must fail.
  let last: { readonly row: RawRow; readonly rowKey: RowKey } | undefined;
  for (const [index, row] of rows.entries()) {
    if (cells.every(({ key }) => row[key] === null || row[key] === undefined)) continue;
    const rowKey = readKey(row);
    if (rowKey === undefined) throw decryptionFailed(cells[0].cipher.name);
    if (last === undefined || !isSameRow(rowKey, last.rowKey) || !haveSameCells(cells, row, last.row)) {
      batch.addRow(rowKey);
      for (const { key } of cells) batch.addCell(row[key]);
      last = { row, rowKey };
    }
    places[index] = batch.rows - 1;
  }
  return { cells, batch, places };
}

function haveSameCells(cells: SelectedRow['cells'], left: RawRow, right: RawRow): boolean {
  return cells.every(({ key }) => left[key] === right[key]);
}

/** The keys that cells name. A text that names none is left to fail when it is decrypted. */
async function openCellKeys(
  installation: Installation,
  parts: readonly Gathered[],
  session?: QueryRunner,
): Promise<readonly CellKey[]> {
  const headers = new Set<string>();
  // Nearly all cells of a result name one key.
  let header = '\0';
  for (const { batch } of parts) {
    for (const text of batch.cells) {
      if (typeof text !== 'string' || text.startsWith(header)) continue;
      header = text.slice(0, headerCharacters);
      headers.add(header);
    }
  }
  const ids = [...headers].flatMap((each) => parseHeader(each) ?? []);
  return [...(await installation.openKeys(ids, session)).values()];
}

/** Decrypts the cells of one alias, in one batch, and puts their values where they were. @returns how many they were */
function decryptPart(
  rows: readonly RawRow[],
  { cells, batch, places }: Gathered,
  cellKeys: readonly CellKey[],
): number {
  const plaintexts = decryptCells(batch, cellKeys);
  for (let index = 0; index < rows.length; index++) {
    if (places[index] < 0) continue;
    let at = places[index] * cells.length;
    for (const { key, cipher } of cells) {
      const plaintext = plaintexts[at++];
      // An object is made anew for every row: its owner may change it.
      if (plaintext !== null && plaintext !== undefined) rows[index][key] = cipher.decode(plaintext);
    }
  }
  return batch.filled;
}
