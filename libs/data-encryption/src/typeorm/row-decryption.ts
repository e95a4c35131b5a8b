import type { QueryRunner } from 'typeorm';
import { isSameRow, type RowKey } from '../associated-data.js';
import { CellBatch, decryptCells, type Plaintexts } from '../cell-batch.js';
import type { CellKey } from '../data-key.js';
import { type DataKeyId, formatHeader, headerCharacters, parseHeader } from '../envelope.js';
import { DataEncryptionError, decryptionFailed } from '../errors.js';
import type { Tenant } from '../tenant.js';
import type { EncryptedEntity } from './encrypted-entity.js';
import type { Installation } from './installation.js';
import { refuse } from './refusal.js';
import { refuseOtherTenants } from './row-tenants.js';
import type { SelectedRow } from './selected-rows.js';

export type RawRow = Record<string, unknown>;

/**
 * Replaces the cells of result rows by their values, in place. Keys that are not loaded are fetched first, all at once.
 * @throws {DataEncryptionError} ERR_DATA_DECRYPTION_FAILED | ERR_DATA_OPERATION_REFUSED | ERR_DATA_KEY_UNAVAILABLE |
 * ERR_DATA_KEY_REJECTED | ERR_DATA_TENANT_MISSING | ERR_DATA_TENANT_MISMATCH | ERR_DATA_SHREDDED
 */
export async function decryptRows(
  installation: Installation,
  rows: readonly RawRow[],
  selected: readonly SelectedRow[],
  { session, tenant = installation.currentTenant() }: { session?: QueryRunner; tenant?: Tenant } = {},
): Promise<void> {
  try {
    for (const { entity, primaryKeys, cells } of selected) {
      const isKnown = !entity.primaryKey.isBound || primaryKeys.size === entity.metadata.primaryColumns.length;
      if (!isKnown) refuse(cells[0].cipher.name, 'withoutKey');
    }
    const parts = selected.map((part) => gather(rows, part));
    const plaintexts = await decryptParts(installation, parts, tenant, session);
    let decrypted = 0;
    for (const [index, part] of parts.entries()) {
      putBack(rows, part, plaintexts[index]);
      decrypted += part.batch.filled;
    }
    if (decrypted > 0) installation.observer.cells('decrypt', decrypted);
  } catch (error) {
    installation.noteFailure(error);
    throw error;
  }
}

/** The cells of one alias, and by row its place among them, -1 for a row that has none. */
interface Gathered {
  readonly entity: EncryptedEntity;
  readonly cells: SelectedRow['cells'];
  readonly batch: CellBatch<unknown>;
  readonly places: Int32Array;
  /** By row of the batch: whose the database says it is; empty where no column says it. */
  readonly tenants: readonly (Tenant | undefined)[];
}

// Plain loops from here on: they run for every row and cell of a result, where a closure costs as much as the decryption.

function gather(rows: readonly RawRow[], { entity, primaryKeys, cells, tenantKey }: SelectedRow): Gathered {
  const batch = new CellBatch(cells.map(({ cipher }) => cipher));
  const places = new Int32Array(rows.length).fill(-1);
  const tenants: (Tenant | undefined)[] = [];
  const readKey = entity.primaryKey.reader((column) => primaryKeys.get(column) ?? '');
  const required = cells.filter(({ cipher }) => cipher.isRequired);
  // A join repeats a row: the same cells of the same row have the same values. Of another row they are copies, and must fail.
  let last: RawRow | undefined;
  let lastKey: RowKey = [];
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index];
    if (required.length > 0) refuseMissing(required, primaryKeys, row);
    if (!hasCells(cells, row)) continue;
    const rowKey = readKey(row);
    if (rowKey === undefined) throw decryptionFailed(cells[0].cipher.name);
    if (last === undefined || !isSameRow(rowKey, lastKey) || !haveSameCells(cells, row, last)) {
      batch.addRow(rowKey);
      for (const { key } of cells) batch.addCell(row[key]);
      if (tenantKey !== undefined) tenants.push(entity.tenantColumn?.ofValue(row[tenantKey]));
      last = row;
      lastKey = rowKey;
    }
    places[index] = batch.rows - 1;
  }
  return { entity, cells, batch, places, tenants };
}

/** Of a column whose null is encrypted every row has a cell, unless a join has found no row. */
function refuseMissing(required: SelectedRow['cells'], primaryKeys: SelectedRow['primaryKeys'], row: RawRow): void {
  const missing = required.find(({ key }) => row[key] === null);
  const isThere = () => [...primaryKeys.values()].some((key) => (row[key] ?? null) !== null) || hasCells(required, row);
  if (missing !== undefined && isThere()) throw decryptionFailed(missing.cipher.name);
}

function hasCells(cells: SelectedRow['cells'], row: RawRow): boolean {
  for (const { key } of cells) if (row[key] !== null && row[key] !== undefined) return true;
  return false;
}

function haveSameCells(cells: SelectedRow['cells'], left: RawRow, right: RawRow): boolean {
  for (const { key } of cells) if (left[key] !== right[key]) return false;
  return true;
}

/**
 * Decrypts the cells of each alias, in one batch. Nearly always all of them name the keys that the first do: the others are
 * looked at only where those are not the ones.
 */
async function decryptParts(
  installation: Installation,
  parts: readonly Gathered[],
  tenant: Tenant | undefined,
  session?: QueryRunner,
): Promise<readonly Plaintexts[]> {
  const ids = keysNamed(parts.flatMap(firstCells));
  // To wait for nothing costs more than to decrypt a row.
  const opened = installation.heldKeys(ids) ?? (await installation.openKeys(ids, session));
  try {
    return decryptWith(opened, parts, tenant);
  } catch (error) {
    if (!isDecryptionFailure(error)) throw error;
    const allIds = keysNamed(parts.flatMap(({ batch }) => batch.cells));
    if (allIds.size === ids.size) throw error;
    return decryptWith(await installation.openKeys(allIds, session), parts, tenant);
  }
}

function decryptWith(
  keys: ReadonlyMap<DataKeyId, CellKey>,
  parts: readonly Gathered[],
  tenant: Tenant | undefined,
): readonly Plaintexts[] {
  for (const { entity, batch, tenants } of parts) {
    if (entity.keyScope === 'tenant') refuseOtherTenants(entity, batch, tenants, tenant, keys);
  }
  const cellKeys = [...keys.values()];
  return parts.map(({ batch }) => decryptCells(batch, cellKeys));
}

/** The first cell; of columns that have keys of their own the first of each. */
function firstCells({ entity, batch: { cells, columns } }: Gathered): readonly unknown[] {
  if (entity.keyScope !== 'column') return [firstCell(cells, 0, 1)];
  return columns.map((_, column) => firstCell(cells, column, columns.length));
}

function firstCell(cells: readonly unknown[], from: number, step: number): unknown {
  for (let at = from; at < cells.length; at += step) if (typeof cells[at] === 'string') return cells[at];
  return undefined;
}

/** The keys that cells name. A text that names none is left to fail when it is decrypted. */
export function keysNamed(cells: readonly unknown[]): ReadonlySet<DataKeyId> {
  const ids = new Set<DataKeyId>();
  let header = '\0';
  for (const cell of cells) {
    if (typeof cell !== 'string' || cell.startsWith(header)) continue;
    header = cell.slice(0, headerCharacters);
    const id = keyNamed(header);
    if (id !== undefined) ids.add(id);
  }
  return ids;
}

/** By header: every result names one. */
const knownKeys = new Map<string, DataKeyId>();
const mostKnownKeys = 1_024;

function keyNamed(header: string): DataKeyId | undefined {
  const known = knownKeys.get(header);
  if (known !== undefined) return known;
  const id = parseHeader(header);
  if (id === undefined) return undefined;
  if (knownKeys.size >= mostKnownKeys) knownKeys.clear();
  // Not the piece of the cell, which would keep the whole of it.
  knownKeys.set(formatHeader(id), id);
  return id;
}

function isDecryptionFailure(error: unknown): boolean {
  return error instanceof DataEncryptionError && error.code === 'ERR_DATA_DECRYPTION_FAILED';
}

/** Puts the values of one alias where its cells were. */
function putBack(rows: readonly RawRow[], { cells, places }: Gathered, plaintexts: Plaintexts): void {
  for (let index = 0; index < rows.length; index++) {
    if (places[index] < 0) continue;
    let at = places[index] * cells.length;
    for (const { key, cipher } of cells) {
      const plaintext = plaintexts[at++];
      // An object is made anew for every row: its owner may change it.
      if (plaintext !== null && plaintext !== undefined) rows[index][key] = cipher.decode(plaintext);
    }
  }
}
