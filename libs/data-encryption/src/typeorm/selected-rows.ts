import type { EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { ColumnCipher } from '../column-cipher.js';
import type { SelectInternals } from './internals.js';
import type { EncryptedEntities, EncryptedEntity } from './encrypted-entity.js';

/** The cells of one alias in each row of a result: under which keys they and their primary key are found. */
export interface SelectedRow {
  readonly entity: EncryptedEntity;
  readonly cells: readonly { readonly key: string; readonly cipher: ColumnCipher }[];
  readonly primaryKeys: ReadonlyMap<ColumnMetadata, string>;
  /** Of the column that says whose a row is, where there is one and it is selected. */
  readonly tenantKey?: string;
}

/** Which cells a select statement returns, found as TypeORM itself names its result columns. */
export function selectedRows(
  builder: SelectInternals,
  entities: EncryptedEntities,
  aliases: readonly SelectableAlias[],
): readonly SelectedRow[] {
  const selected: SelectedRow[] = [];
  // A loop, as what it calls: every statement comes here.
  for (const { name, metadata } of aliases) {
    const entity = entities.get(metadata);
    if (entity === undefined) continue;
    const row = isWhole(builder, name) ? wholeRow(builder, name, entity) : selectedRow(builder, name, entity);
    if (row.cells.length > 0) selected.push(row);
  }
  return selected;
}

/** Whether an alias is selected by its name and none of its properties by theirs. */
function isWhole({ expressionMap: { selects, queryEntity } }: SelectInternals, aliasName: string): boolean {
  if (!queryEntity) return false;
  let isNamed = false;
  for (const { selection } of selects) {
    if (selection === aliasName) isNamed = true;
    else if (selection.startsWith(`${aliasName}.`)) return false;
  }
  return isNamed;
}

/** What most statements select, and what takes longer to find out than to decrypt one row: it depends on the alias alone. */
const wholeRows = new WeakMap<EncryptedEntity, Map<string, SelectedRow>>();
const mostAliases = 256;

function wholeRow(builder: SelectInternals, aliasName: string, entity: EncryptedEntity): SelectedRow {
  const byAlias = wholeRows.get(entity) ?? new Map<string, SelectedRow>();
  wholeRows.set(entity, byAlias);
  let row = byAlias.get(aliasName);
  if (row === undefined) {
    row = selectedRow(builder, aliasName, entity);
    // An application that makes names up must not fill the memory with them.
    if (byAlias.size >= mostAliases) byAlias.clear();
    byAlias.set(aliasName, row);
  }
  return row;
}

export interface SelectableAlias {
  readonly name: string;
  readonly metadata: EntityMetadata;
}

/** The aliases whose properties TypeORM selects as columns; of others (a second FROM) it takes the selection as text. */
export function selectableAliases({ expressionMap }: SelectInternals): readonly SelectableAlias[] {
  const { mainAlias, joinAttributes } = expressionMap;
  const aliases: SelectableAlias[] = [];
  if (mainAlias?.hasMetadata) aliases.push({ name: mainAlias.name, metadata: mainAlias.metadata });
  for (const { alias, metadata } of joinAttributes) {
    if (metadata !== undefined) aliases.push({ name: alias.name, metadata });
  }
  return aliases;
}

function selectedRow(builder: SelectInternals, aliasName: string, entity: EncryptedEntity): SelectedRow {
  const keysBySelection = new Map<string, string[]>();
  for (const select of builder.buildEscapedEntityColumnSelects(aliasName, entity.metadata)) {
    const keys = keysBySelection.get(select.selection) ?? [];
    if (select.aliasName !== undefined) keys.push(select.aliasName);
    keysBySelection.set(select.selection, keys);
  }
  const keysOf = (column: ColumnMetadata) =>
    keysBySelection.get(builder.buildColumnSelectionExpression(aliasName, column)) ?? [];

  // Entities of one table may each have a column metadata for the same database column: one cell.
  const cells = new Map<string, ColumnCipher>();
  for (const [column, cipher] of entity.ciphers) for (const key of keysOf(column)) cells.set(key, cipher);
  const primaryKeys = new Map<ColumnMetadata, string>();
  for (const column of entity.metadata.primaryColumns) {
    const [key] = keysOf(column);
    if (key !== undefined) primaryKeys.set(column, key);
  }
  const { tenantColumn } = entity;
  const tenantKey = tenantColumn && keysOf(tenantColumn.column)[0];
  return { entity, primaryKeys, tenantKey, cells: [...cells].map(([key, cipher]) => ({ key, cipher })) };
}
