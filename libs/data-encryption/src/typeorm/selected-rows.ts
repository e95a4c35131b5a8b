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
export function selectedRows(builder: SelectInternals, entities: EncryptedEntities): readonly SelectedRow[] {
  return selectableAliases(builder).flatMap(({ name, metadata }) => {
    const entity = entities.get(metadata);
    const row =
      entity && (isWhole(builder, name) ? wholeRow(builder, name, entity) : selectedRow(builder, name, entity));
    return row === undefined || row.cells.length === 0 ? [] : [row];
  });
}

/** Whether an alias is selected by its name and none of its properties by theirs. */
function isWhole({ expressionMap: { selects, queryEntity } }: SelectInternals, aliasName: string): boolean {
  return (
    queryEntity &&
    selects.some(({ selection }) => selection === aliasName) &&
    !selects.some(({ selection }) => selection.startsWith(`${aliasName}.`))
  );
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

/** The aliases whose properties TypeORM selects as columns; of others (a second FROM) it takes the selection as text. */
export function selectableAliases({
  expressionMap,
}: SelectInternals): readonly { name: string; metadata: EntityMetadata }[] {
  const { mainAlias, joinAttributes } = expressionMap;
  return [
    ...(mainAlias?.hasMetadata ? [{ name: mainAlias.name, metadata: mainAlias.metadata }] : []),
    ...joinAttributes.flatMap(({ alias, metadata }) =>
      metadata === undefined ? [] : [{ name: alias.name, metadata }],
    ),
  ];
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
