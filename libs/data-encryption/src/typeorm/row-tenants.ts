import type { CellBatch } from '../cell-batch.js';
import type { CellKey } from '../data-key.js';
import { type DataKeyId, headerCharacters, parseHeader } from '../envelope.js';
import { type Tenant, tenantMismatch, tenantMissing } from '../tenant.js';
import type { EncryptedEntity } from './encrypted-entity.js';

/**
 * Refuses rows of another tenant than the work under way is for, before any is decrypted: a row that was moved or copied there, or
 * one that a condition failed to leave out.
 * @param said  by row: whose the database says it is; empty where no column says it
 * @param tenant  of the work under way
 * @param opened  keys that cells name; a cell of another key does not decrypt
 * @throws {DataEncryptionError} ERR_DATA_TENANT_MISSING | ERR_DATA_TENANT_MISMATCH
 */
export function refuseOtherTenants(
  { metadata }: EncryptedEntity,
  { columns, rows, cells }: CellBatch<unknown>,
  said: readonly (Tenant | undefined)[],
  tenant: Tenant | undefined,
  opened: ReadonlyMap<DataKeyId, CellKey>,
): void {
  // Nearly always all cells of a result are of one key.
  let header = '\0';
  let owner: Tenant | undefined;
  for (let row = 0; row < rows; row++) {
    const expected = said[row] ?? tenant;
    if (expected === undefined) throw tenantMissing(`${metadata.name}: want a tenant to read for`);
    if (tenant !== undefined && expected !== tenant) throw tenantMismatch(metadata.name);
    for (let column = 0; column < columns.length; column++) {
      const cell = cells[row * columns.length + column];
      if (typeof cell !== 'string') continue;
      if (!cell.startsWith(header)) {
        header = cell.slice(0, headerCharacters);
        const id = parseHeader(header);
        owner = id && opened.get(id)?.scope.tenant;
      }
      if (owner !== undefined && owner !== expected) throw tenantMismatch(metadata.name);
    }
  }
}
