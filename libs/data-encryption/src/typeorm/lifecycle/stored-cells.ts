import type { QueryRunner } from 'typeorm';
import type { IndexKey } from '../../blind-index.js';
import { CellBatch, decryptCells } from '../../cell-batch.js';
import type { CellKey } from '../../data-key.js';
import type { DataKeyId } from '../../envelope.js';
import { DataEncryptionError } from '../../errors.js';
import type { Installation } from '../installation.js';
import { keysNamed } from '../row-decryption.js';
import type { Plaintext } from '../../value-encoding.js';
import { encryptByScope } from '../row-encryption.js';
import { KeyDemand, type StatementKeys } from '../statement-keys.js';
import type { CellTable, ReplacedRow, StoredRow } from './cell-table.js';

/** A row whose cells have been decrypted. */
export interface OpenedRow {
  readonly row: StoredRow;
  /** Whose it is, as the keys of its cells say; empty where rows are no tenant's, or it has no cell. */
  readonly tenant: string;
  /** In the order of `CellTable.columns`. */
  readonly plaintexts: readonly (Plaintext | null | undefined)[];
}

export interface OpenedRows {
  readonly opened: readonly OpenedRow[];
  /** Rows with a cell that does not decrypt in its place. */
  readonly failed: readonly StoredRow[];
  /** How many rows are of tenants that were shredded. */
  readonly shredded: number;
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
  const keys = await installation.openRemainingKeys(ids, session);
  const cellKeys = [...keys.opened.values()];
  const remaining = rows.filter((row) => ![...keysNamed(row.cells)].some((id) => keys.shredded.has(id)));
  const shredded = rows.length - remaining.length;
  const owned = remaining.map((row) => ({ row, tenant: ownerOf(table, row, keys.opened) }));
  const whole = owned.filter((each): each is OwnedRow => each.tenant !== undefined);
  const together = decryptTogether(table, whole, cellKeys);
  if (together !== undefined && whole.length === owned.length) return { opened: together, failed: [], shredded };
  // One of them does not decrypt: each by itself says which.
  const opened: OpenedRow[] = [];
  const failed: StoredRow[] = [];
  for (const { row, tenant } of owned) {
    const alone = tenant === undefined ? undefined : decryptTogether(table, [{ row, tenant }], cellKeys);
    if (alone === undefined) failed.push(row);
    else opened.push(...alone);
  }
  return { opened, failed, shredded };
}

interface OwnedRow {
  readonly row: StoredRow;
  readonly tenant: string;
}

/** @returns undefined when the cells of a row are of several tenants, or of another than its column says */
function ownerOf({ keyScope }: CellTable, row: StoredRow, opened: ReadonlyMap<DataKeyId, CellKey>): string | undefined {
  if (keyScope !== 'tenant') return '';
  const owners = new Set([...keysNamed(row.cells)].flatMap((id) => opened.get(id)?.scope.tenant ?? []));
  const [owner = ''] = owners;
  const isOne = owners.size <= 1 && (owner === '' || row.tenant === undefined || row.tenant === owner);
  return isOne ? owner : undefined;
}

/** @returns undefined when a cell of any row does not decrypt */
function decryptTogether(
  table: CellTable,
  rows: readonly OwnedRow[],
  cellKeys: readonly CellKey[],
): readonly OpenedRow[] | undefined {
  const batch = new CellBatch<unknown>(table.columns);
  for (const { row } of rows) {
    const key = table.rowKey(row);
    if (key === undefined || table.required.some((place) => row.cells[place] === null)) return undefined;
    batch.addRow(key);
    for (const cell of row.cells) batch.addCell(cell);
  }
  try {
    const plaintexts = decryptCells(batch, cellKeys);
    const width = table.columns.length;
    return rows.map((each, index) => ({ ...each, plaintexts: plaintexts.slice(index * width, (index + 1) * width) }));
  } catch (error) {
    if (error instanceof DataEncryptionError && error.code === 'ERR_DATA_DECRYPTION_FAILED') return undefined;
    throw error;
  }
}

/**
 * The texts that a row's blind indexes may have, one under each key of an index, that of the active one first; none for NULL.
 * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED
 */
export async function indexTexts(
  { indexKeys }: Installation,
  table: CellTable,
  { row, plaintexts, tenant }: OpenedRow,
): Promise<readonly (readonly string[])[]> {
  // Right before they are used: a page may be of more tenants than have keys loaded.
  if (!indexKeys.isFreshFor(table.tableId, tenant)) await indexKeys.prepare(table.tableId, tenant);
  return table.indexes.map(({ indexed: { tableId, index }, source }, place) => {
    const plaintext = plaintexts[source];
    if (plaintext === null || plaintext === undefined) return [];
    const value = table.columns[source].decode(plaintext);
    const textOf = (key: IndexKey) =>
      value === null ? index.textOfNull(key, row.indexes[place]) : index.text(value, key);
    return indexKeys.keys(tableId, index, tenant).map(textOf);
  });
}

/** A row with the texts that its blind indexes should have. */
export interface IndexedRow extends OpenedRow {
  readonly indexes: ReplacedRow['indexes'];
}

/** The texts that a search of now would look for; null where there is no value. */
export async function activeIndexTexts(
  installation: Installation,
  table: CellTable,
  opened: OpenedRow,
): Promise<ReplacedRow['indexes']> {
  return (await indexTexts(installation, table, opened)).map(([active = null]) => active);
}

/** The active keys of rows. @param messages  for each cell */
export function reserveKeys(
  installation: Installation,
  { columns }: CellTable,
  rows: readonly OpenedRow[],
  messages: number,
  session: QueryRunner,
): Promise<StatementKeys> {
  const demand = new KeyDemand();
  for (const { plaintexts, tenant } of rows) {
    for (const [index, cipher] of columns.entries()) {
      const isCell = plaintexts[index] !== null && plaintexts[index] !== undefined;
      if (isCell) demand.add(cipher.scope(tenant), messages);
    }
  }
  return installation.reserveKeys(demand, session);
}

/**
 * Encrypts rows with their active data keys.
 * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CLOSED
 */
export async function encryptOpened(
  installation: Installation,
  table: CellTable,
  rows: readonly IndexedRow[],
  session: QueryRunner,
): Promise<readonly ReplacedRow[]> {
  const batch = new CellBatch<Plaintext>(table.columns);
  for (const { row, plaintexts } of rows) {
    batch.addRow(table.rowKey(row) ?? []);
    for (const plaintext of plaintexts) batch.addCell(plaintext);
  }
  const tenants = rows.map(({ tenant }) => tenant);
  const texts = encryptByScope(batch, tenants, await reserveKeys(installation, table, rows, 1, session));
  const width = table.columns.length;
  return rows.map(({ row, indexes }, index) => {
    return { row, cells: texts.slice(index * width, (index + 1) * width), indexes };
  });
}
