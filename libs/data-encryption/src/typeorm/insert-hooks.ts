import type { InsertResult, ObjectLiteral } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { ColumnCipher } from '../column-cipher.js';
import { type GeneratedKeys, generateKeys, ownKey } from './generated-keys.js';
import { InsertParameters } from './insert-parameters.js';
import type { Installation } from './installation.js';
import { type InsertInternals, mainMetadata } from './internals.js';
import type { EncryptedEntity, IndexedColumn } from './encrypted-entity.js';
import { refuse, refuseIf, refuseKeyUpdate } from './refusal.js';
import { decryptReturned } from './returned-rows.js';
import type { EncryptedCells } from './encrypted-cells.js';
import { encryptRows } from './row-encryption.js';
import { KeyDemand, type StatementKeys } from './statement-keys.js';
import { selectedCell } from './select-hooks.js';
import { createUpsertExpression, metAnotherKey } from './mariadb/upsert.js';
import { conditionUpsert, type Upsert, upsertCondition } from './tenant-condition.js';

/** What an insert into an encrypted entity knows while it executes. */
interface InsertInProgress {
  readonly entity: EncryptedEntity;
  /** Absent when no row has a value to encrypt. */
  readonly keys?: StatementKeys;
  readonly generated: GeneratedKeys;
  /** Once the statement is being built. */
  cells?: EncryptedCells;
  readonly parameters: InsertParameters;
}

/** Where the database may make them as ever. */
const noKeys: GeneratedKeys = new Map();

const inserts = new WeakMap<InsertInternals, InsertInProgress>();

/** `InsertQueryBuilder.execute`: gets what the synchronous building of the statement needs. */
export async function execute(
  installation: Installation,
  builder: InsertInternals,
  original: () => Promise<InsertResult>,
): Promise<InsertResult> {
  const entity = installation.entity(mainMetadata(builder));
  if (entity === undefined || builder.getValueSets().length === 0) return original();
  const demand = demandOf(installation, builder, entity);
  await installation.readyToIndex(entity, demand, builder.queryRunner);
  const insert: InsertInProgress = {
    entity,
    keys: demand.isNone ? undefined : await installation.reserveKeys(demand, builder.queryRunner),
    generated: entity.primaryKey.isBound ? await generateKeys(builder, entity.metadata) : noKeys,
    parameters: new InsertParameters(builder.expressionMap),
  };
  inserts.set(builder, insert);
  try {
    const result = await original();
    await decryptReturned(installation, builder, entity, result);
    return result;
  } catch (error) {
    const isUpsert = (builder.expressionMap.onUpdate as Upsert | undefined) !== undefined;
    if (isUpsert && metAnotherKey(error)) refuse(firstColumn(entity), 'upsert');
    throw error;
  } finally {
    inserts.delete(builder);
  }
}

/** How many cells of each scope the rows have at most, also once listeners have seen them. */
function demandOf(installation: Installation, builder: InsertInternals, entity: EncryptedEntity): KeyDemand {
  const { metadata, ciphers, keyScope } = entity;
  const { callListeners } = builder.expressionMap;
  const hasListeners = metadata.beforeInsertListeners.length > 0 || builder.dataSource.subscribers.length > 0;
  const isAny = callListeners && hasListeners;
  const demand = new KeyDemand();
  const rows = builder.getValueSets();
  // Only the rows of tenants are told apart: a statement may have thousands.
  const parts = keyScope === 'tenant' ? rows.map((row) => [row]) : [rows];
  for (const part of parts) {
    const cells: [ColumnCipher, number][] = [];
    for (const [column, cipher] of ciphers) {
      // Not counted: that would read every value once more, and a message that is reserved need not be used.
      if (isAny || hasCells(column, cipher, part)) cells.push([cipher, part.length]);
    }
    if (cells.length > 0) demand.addCells(cells, installation.tenantOf(entity, part[0]));
  }
  return demand;
}

function hasCells(column: ColumnMetadata, cipher: ColumnCipher, rows: readonly ObjectLiteral[]): boolean {
  for (const row of rows) if (cipher.hasCell(column.getEntityValue(row))) return true;
  return false;
}

/** `InsertQueryBuilder.createInsertExpression`: what an insert must not be. */
export function createInsertExpression(
  installation: Installation,
  builder: InsertInternals,
  original: () => string,
): string {
  const { names } = installation;
  const { insertFromSelect, onUpdate, mainAlias } = builder.expressionMap;
  const metadata = mainMetadata(builder);
  const entity = installation.entity(metadata);
  if (metadata === undefined && mainAlias?.tablePath !== undefined)
    refuseIf(names.ofTable(mainAlias.tablePath), 'rawTable');
  if (insertFromSelect !== undefined) {
    refuseIf(entity && firstColumn(entity), 'insertSelect');
    refuseIf(selectedCell(installation, insertFromSelect), 'insertSelect');
  }
  // TypeORM leaves the clause unset unless the builder was asked for an upsert.
  if ((onUpdate as typeof onUpdate | undefined) !== undefined) {
    refuseIf(names.find(onUpdate.indexPredicate ?? '', builder.expressionMap), 'where');
    refuseIf(
      names.find(builder.createWhereClausesExpression(onUpdate.overwriteCondition ?? []), builder.expressionMap),
      'where',
    );
    if (entity !== undefined) refuseUnboundUpsert(entity, withShadows(onUpdate, installation, entity));
  }
  return installation.observeBuilding(() => {
    if (entity === undefined) return original();
    encryptInserted(installation, builder, entity);
    const isUpsert = (onUpdate as Upsert | undefined) !== undefined;
    const isMariadb = installation.databaseType === 'mariadb';
    if (!isUpsert && !(isMariadb && builder.expressionMap.onIgnore)) return original();
    const condition = upsertCondition(builder, entity, installation.currentTenant());
    const upsert = isUpsert ? withIndexes(withShadows(onUpdate, installation, entity), entity) : undefined;
    if (isMariadb || upsert === undefined) return createUpsertExpression(builder, entity, upsert, condition, original);
    const conditioned = conditionUpsert(builder, upsert, condition);
    builder.expressionMap.onUpdate = conditioned.onUpdate;
    try {
      return original() + conditioned.end;
    } finally {
      builder.expressionMap.onUpdate = onUpdate;
    }
  });
}

/** An upsert that overwrites a column overwrites its shadow too. */
function withShadows(onUpdate: Upsert, { shadows }: Installation, { metadata }: EncryptedEntity): Upsert {
  const shadowsOf = (name: string) =>
    shadows.of(metadata.columns.filter(({ databaseName }) => databaseName.toLowerCase() === name.toLowerCase()));
  const withThem = (names: string[] | undefined) =>
    names && [...new Set(names.flatMap((name) => [name, ...shadowsOf(name).map((shadow) => shadow.databaseName)]))];
  return { ...onUpdate, overwrite: withThem(onUpdate.overwrite), columns: withThem(onUpdate.columns) };
}

/** An upsert that overwrites a searchable column overwrites its blind index too, and finds its rows by it. */
function withIndexes(onUpdate: Upsert, { indexes }: EncryptedEntity): Upsert {
  const { overwrite, conflict } = onUpdate;
  const indexed = new Map(
    [...indexes.values()].map(({ source, column }) => [source.databaseName.toLowerCase(), column]),
  );
  const indexOf = (name: string) => indexed.get(name.toLowerCase())?.databaseName;
  return {
    ...onUpdate,
    overwrite: overwrite && [...new Set(overwrite.flatMap((name) => [name, indexOf(name) ?? []].flat()))],
    conflict: Array.isArray(conflict) ? conflict.map((name) => indexOf(name) ?? name) : conflict,
  };
}

function encryptInserted(installation: Installation, builder: InsertInternals, entity: EncryptedEntity): void {
  const insert = inserts.get(builder);
  if (insert?.keys === undefined) return;
  const inserted = new Set(builder.getInsertedColumns());
  const values = builder.getValueSets();
  const rows = {
    columns: [...entity.ciphers].filter(([column]) => inserted.has(column)),
    rows: values.length,
    key: (row: number) =>
      entity.primaryKey.ofRow((column) => ownKey(builder, column, values[row]) ?? insert.generated.get(column)?.[row]),
    tenant: (row: number) => installation.tenantOf(entity, values[row]),
    value: (row: number, column: ColumnMetadata) => insertedValue(installation, builder, column, values[row]),
  };
  insert.cells = encryptRows(installation, rows, insert.keys);
  for (const [column, { encryptsNull }] of rows.columns) if (encryptsNull) noteNulls(builder, column);
}

/** None of a column that the builder was not asked to insert. */
function insertedValue(
  { shadows }: Installation,
  { expressionMap }: InsertInternals,
  column: ColumnMetadata,
  row: ObjectLiteral,
): unknown {
  const { insertColumns } = expressionMap;
  if (insertColumns.length > 0) {
    const named = column.entityMetadata.columns.filter(({ propertyPath }) => insertColumns.includes(propertyPath));
    if (!named.includes(column) && !shadows.of(named).includes(column)) return undefined;
  }
  return column.getEntityValue(row) as unknown;
}

/** An upsert that overwrites cells writes those bound to the new row: right only if the row it meets has the same key. */
function refuseUnboundUpsert(entity: EncryptedEntity, onUpdate: Upsert): void {
  const { conflict, overwrite, columns, skipUpdateIfNoValuesChanged } = onUpdate;
  // SQLite takes a column's name in any case.
  const overwritten = new Set([...(overwrite ?? []), ...(columns ?? [])].map((name) => name.toLowerCase()));
  const cipher = [...entity.ciphers].find(([column]) => overwritten.has(column.databaseName.toLowerCase()))?.[1];
  const primaryKey = entity.metadata.primaryColumns.map((column) => column.databaseName);
  const isByPrimaryKey = Array.isArray(conflict) && isSameSet(conflict, primaryKey);
  const setsKey = primaryKey.some((name) => overwritten.has(name.toLowerCase()));
  if (setsKey && !isByPrimaryKey && entity.primaryKey.isBound) refuseKeyUpdate(entity.metadata.name);
  if (cipher === undefined) return;
  if (!isByPrimaryKey && entity.primaryKey.isBound) refuse(cipher.name, 'upsert');
  if (skipUpdateIfNoValuesChanged) refuse(cipher.name, 'upsertIfChanged');
}

/**
 * `InsertQueryBuilder.getInsertedColumns`: a key made here is inserted even where TypeORM leaves it to the database, a column whose null
 * has a cell always, and a blind index or a shadow wherever its column is.
 */
export function getInsertedColumns(
  { indexed, shadows }: Installation,
  builder: InsertInternals,
  original: () => ColumnMetadata[],
): ColumnMetadata[] {
  const named = original().filter((column) => !indexed.has(column) && !shadows.has(column));
  const columns = [...named, ...shadows.of(named)];
  const insert = inserts.get(builder);
  if (insert === undefined) return columns;
  const { ciphers, indexes } = insert.entity;
  const required = [...ciphers].flatMap(([column, cipher]) => (cipher.encryptsNull ? [column] : []));
  const inserted = new Set([...insert.generated.keys(), ...columns, ...required]);
  const texts = [...indexes.values()].filter(({ source }) => inserted.has(source));
  return [...inserted, ...texts.map(({ column }) => column)];
}

/** `InsertQueryBuilder.createColumnValueExpression` */
export function createColumnValueExpression(
  installation: Installation,
  builder: InsertInternals,
  original: () => string,
  values: ObjectLiteral[],
  index: number,
  column: ColumnMetadata,
): string {
  const insert = inserts.get(builder);
  const cell = insert?.cells?.cell(index, column);
  if (insert !== undefined && cell !== undefined) return insert.parameters.add(cell);
  const entity = insert?.entity ?? installation.entity(mainMetadata(builder));
  if (entity === undefined) return original();
  // TypeORM makes others of those that a row brings: it counts on from the one that the driver names.
  if (installation.databaseType === 'mariadb' && column.generationStrategy === 'increment') {
    const own = ownKey(builder, column, values[index]);
    if (own !== undefined) noteKey(builder, column, index, own);
  }
  const generated = insert?.generated.get(column)?.[index];
  if (insert !== undefined && generated !== undefined && ownKey(builder, column, values[index]) === undefined) {
    noteKey(builder, column, index, generated);
    return insert.parameters.add(generated);
  }
  const indexed = installation.indexed.get(column);
  if (indexed !== undefined) return indexValue(installation, builder, entity, indexed, values[index]);
  const cipher = entity.ciphers.get(column);
  const value = column.getEntityValue(values[index]) as unknown;
  if (typeof value === 'function') {
    if (cipher !== undefined) refuse(cipher.name, 'assignment');
    refuseIf(installation.names.find(String((value as () => unknown)()), builder.expressionMap), 'copy');
  }
  // The driver refuses a value of an encrypted column that was not encrypted before.
  return original();
}

/** Of a function the source's own turn says that it is refused. */
function indexValue(
  installation: Installation,
  builder: InsertInternals,
  entity: EncryptedEntity,
  indexed: IndexedColumn,
  values: ObjectLiteral,
): string {
  const value = insertedValue(installation, builder, indexed.source, values);
  const text = indexed.cipher.hasCell(value)
    ? installation.search.stored(indexed, value, installation.tenantOf(entity, values))
    : null;
  return builder.createParameter(text);
}

/** Entities get null for what they have no value of, as from TypeORM for a column that may be NULL, unless the row may be there already. */
function noteNulls(builder: InsertInternals, column: ColumnMetadata): void {
  const { locallyGenerated, onIgnore, onUpdate } = builder.expressionMap;
  if (column.isVirtual || onIgnore || (onUpdate as Upsert | undefined) !== undefined) return;
  for (const [index, row] of builder.getValueSets().entries()) {
    if ((column.getEntityValue(row) as unknown) === undefined)
      column.setEntityValue((locallyGenerated[index] ??= {}), null);
  }
}

/** The entity gets its key from here once the row is inserted, or from RETURNING, which also knows of conflicts. */
function noteKey(builder: InsertInternals, column: ColumnMetadata, index: number, value: unknown): void {
  if (builder.dataSource.driver.isReturningSqlSupported('insert')) return;
  column.setEntityValue((builder.expressionMap.locallyGenerated[index] ??= {}), value);
}

function isSameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.every((item) => right.includes(item)) && right.every((item) => left.includes(item));
}

function firstColumn(entity: EncryptedEntity): string {
  const [cipher] = entity.ciphers.values();
  return cipher.name;
}
