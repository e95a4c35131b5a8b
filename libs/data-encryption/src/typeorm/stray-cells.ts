import type { EntityMetadata } from 'typeorm';
import { headerCharacters, parseHeader } from '../envelope.js';
import type { SelectInternals } from './internals.js';
import { refuse } from './refusal.js';
import type { SelectedRow } from './selected-rows.js';

/** Entities whose rows may have cells that none of their columns says: views, and those with a virtual column. */
export function strayingEntities(metadatas: readonly EntityMetadata[]): ReadonlySet<EntityMetadata> {
  const straying = metadatas.filter(
    ({ tableType, columns }) => tableType === 'view' || columns.some(({ isVirtualProperty }) => isVirtualProperty),
  );
  return new Set(straying);
}

/** Whether a statement may return cells past the columns of entities. @param hasExpressions  beside properties it selects SQL */
export function mayStray(
  { expressionMap: { aliases, mainAlias } }: SelectInternals,
  straying: ReadonlySet<EntityMetadata>,
  hasExpressions: boolean,
): boolean {
  // TypeORM's own statement for the keys of a page: what else it selects is not read.
  if (mainAlias?.name === 'distinctAlias') return false;
  if (hasExpressions) return true;
  for (const alias of aliases) if (!alias.hasMetadata || straying.has(alias.metadata)) return true;
  return false;
}

/**
 * Ciphertext is never taken for a value, whichever way it has come into a result.
 * @throws {DataEncryptionError} ERR_DATA_OPERATION_REFUSED for a cell that is none of the selected ones
 */
export function refuseStrayCells(
  rows: readonly Readonly<Record<string, unknown>>[],
  selected: readonly SelectedRow[],
): void {
  const known = new Set(selected.flatMap(({ cells }) => cells.map(({ key }) => key)));
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) {
      if (typeof value !== 'string' || known.has(name)) continue;
      if (parseHeader(value.slice(0, headerCharacters)) !== undefined) refuse(name, 'stray');
    }
  }
}
