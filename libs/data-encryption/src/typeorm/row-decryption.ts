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
    const cellKeys = await openCellKeys(installation, rows, selected, session);
    let decrypted = 0;
    for (const part of selected) decrypted += decryptPart(rows, part, cellKeys);
    if (decrypted > 0) installation.observer.cells('decrypt', decrypted);
  } catch (error) {
    installation.noteFailure(error);
    throw error;
  }
}

/** The keys that cells name. A text that names none is left to fail when it is decrypted. */
async function openCellKeys(
  installation: Installation,
  rows: readonly RawRow[],
  selected: readonly SelectedRow[],
  session?: QueryRunner,
): Promise<readonly CellKey[]> {
  const headers = new Set<string>();
  // Nearly all cells of a result name one key.
  let header = '\0';
  for (const { cells } of selected) {
    for (const { key } of cells) {
      for (const row of rows) {
        const text = row[key];
        if (typeof text !== 'string' || text.startsWith(header)) continue;
        header = text.slice(0, headerCharacters);
        headers.add(header);
      }
    }
  }
  const ids = [...headers].flatMap((each) => parseHeader(each) ?? []);
  return [...(await installation.openKeys(ids, session)).values()];
}

/** Decrypts the cells of one alias, in one batch. @returns how many they were */
function decryptPart(rows: readonly RawRow[], part: SelectedRow, cellKeys: readonly CellKey[]): number {
  const { cells } = part;
  const { batch, places } = gather(rows, part);
  const plaintexts = decryptCells(batch, cellKeys);
  for (const [index, row] of rows.entries()) {
    const place = places[index];
    if (place === undefined) continue;
    for (const [column, { key, cipher }] of cells.entries()) {
      const plaintext = plaintexts[place * cells.length + column];
      // An object is made anew for every row: its owner may change it.
      if (plaintext !== null && plaintext !== undefined) row[key] = cipher.decode(plaintext);
    }
  }
  return batch.filled;
}

/** @returns the cells, and by row its place in the batch, if it has any */
function gather(rows: readonly RawRow[], { entity, primaryKeys, cells }: SelectedRow) {
  const batch = new CellBatch(cells.map(({ cipher }) => cipher));
  const readKey = entity.primaryKey.reader((column) => primaryKeys.get(column) ?? '');
  // A join repeats a row: the same cells of the same row have the same values. Of another row they are copies, and must fail.
  let before: { readonly row: RawRow; readonly rowKey: RowKey } | undefined;
  const places = rows.map((row) => {
    if (cells.every(({ key }) => row[key] === null || row[key] === undefined)) return undefined;
    const rowKey = readKey(row);
    if (rowKey === undefined) throw decryptionFailed(cells[0].cipher.name);
    const { row: last, rowKey: lastKey } = before ?? {};
    const isRepeated =
      last !== undefined &&
      lastKey !== undefined &&
      isSameRow(rowKey, lastKey) &&
      cells.every(({ key }) => row[key] === last[key]);
    if (!isRepeated) batch.add(rowKey, (column) => row[cells[column].key]);
    before = { row, rowKey };
    return batch.size - 1;
  });
  return { batch, places };
}
