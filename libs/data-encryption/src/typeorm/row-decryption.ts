import type { QueryRunner } from 'typeorm';
import type { CellKey } from '../data-key.js';
import { type DataKeyId, headerCharacters, parseHeader } from '../envelope.js';
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
    for (const part of selected) {
      const decrypt = rowDecryptor(part, cellKeys);
      for (const row of rows) decrypted += decrypt(row);
    }
    if (decrypted > 0) installation.observer.cells('decrypt', decrypted);
  } catch (error) {
    installation.noteFailure(error);
    throw error;
  }
}

/** The keys that cells name, by the header that names them. A header that names none is left out. */
async function openCellKeys(
  installation: Installation,
  rows: readonly RawRow[],
  selected: readonly SelectedRow[],
  session?: QueryRunner,
): Promise<ReadonlyMap<string, CellKey>> {
  const idsByHeader = new Map<string, DataKeyId | undefined>();
  for (const { cells } of selected) {
    for (const { key } of cells) {
      for (const row of rows) {
        const text = row[key];
        if (typeof text !== 'string') continue;
        const header = text.slice(0, headerCharacters);
        if (!idsByHeader.has(header)) idsByHeader.set(header, parseHeader(header));
      }
    }
  }
  const ids = [...idsByHeader.values()].filter((id) => id !== undefined);
  const keys = await installation.openKeys(ids, session);
  const byHeader = new Map<string, CellKey>();
  for (const [header, id] of idsByHeader) {
    const cellKey = id && keys.get(id);
    if (cellKey) byHeader.set(header, cellKey);
  }
  return byHeader;
}

/** @returns what decrypts the cells of a row in place, and says how many they were */
function rowDecryptor({ entity, primaryKeys, cells }: SelectedRow, cellKeys: ReadonlyMap<string, CellKey>) {
  // A join repeats a row: the same cell of the same row has the same value. Of another row it is a copy, and must fail.
  let rowBefore: Buffer | undefined;
  const before: { text: string; value: unknown }[] = cells.map(() => ({ text: '', value: undefined }));
  return (raw: RawRow): number => {
    if (cells.every(({ key }) => raw[key] === null || raw[key] === undefined)) return 0;
    const row = entity.primaryKey.ofRow((column) => raw[primaryKeys.get(column) ?? '']);
    if (row === undefined) throw decryptionFailed(cells[0].cipher.name);
    const isRepeated = rowBefore?.equals(row) ?? false;
    rowBefore = row;
    let decrypted = 0;
    for (const [index, { key, cipher }] of cells.entries()) {
      const text = raw[key];
      if (text === null || text === undefined) continue;
      if (typeof text !== 'string') throw decryptionFailed(cipher.name);
      const last = before[index];
      // An object is made anew for every row: its owner may change it.
      const isKnown = isRepeated && last.text === text && typeof last.value !== 'object';
      raw[key] = isKnown ? last.value : cipher.decrypt(text, row, cellKeys.get(text.slice(0, headerCharacters)));
      if (!isKnown) decrypted++;
      last.text = text;
      last.value = raw[key];
    }
    return decrypted;
  };
}
