import { type EntityMetadata, type ObjectLiteral, type QueryRunner, UpdateResult } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { RowKey } from '../associated-data.js';
import { isSameRow } from '../associated-data.js';
import type { ColumnCipher } from '../column-cipher.js';
import { tenantMissing } from '../tenant.js';
import { databaseType } from './database-type.js';
import type { Installation } from './installation.js';
import { type BuilderInternals, mainMetadata, type UpdateInternals } from './internals.js';
import { inTransaction } from './in-transaction.js';
import { knownRow } from './known-key.js';
import type { EncryptedEntity } from './encrypted-entity.js';
import { refuse, refuseIf, refuseKeyUpdate } from './refusal.js';
import { decryptReturned } from './returned-rows.js';
import type { EncryptedCells } from './encrypted-cells.js';
import { encryptRows } from './row-encryption.js';
import { KeyDemand, type StatementKeys } from './statement-keys.js';
import { ciphersSet, type SetColumn, setsWhatIsATenants, valuesSet } from './set-columns.js';
import { withinTenant } from './tenant-condition.js';
import { hasListeners, tellListeners } from './update-listeners.js';

/** TypeORM's own `execute` of a builder. */
type Execute = (builder: UpdateInternals) => Promise<UpdateResult>;

/** What an update that sets cells knows while it executes. */
interface UpdateInProgress {
  readonly keys: StatementKeys;
  /** Empty where cells are no tenant's. */
  readonly tenant: string;
  /** Undefined when the primary key is not known. */
  readonly row: RowKey | undefined;
}

const updates = new WeakMap<UpdateInternals, UpdateInProgress>();

/**
 * `UpdateQueryBuilder.execute`: one row is updated as it stands; an update that may touch several rows becomes one update
 * per row, since each row has cells of its own.
 */
export async function execute(
  installation: Installation,
  builder: UpdateInternals,
  original: Execute,
): Promise<UpdateResult> {
  const entity = installation.entity(mainMetadata(builder));
  await installation.readyToSearch(builder, () => builder.createWhereExpression());
  if (entity === undefined) return original(builder);
  const update = (told: UpdateInternals) => updateEncrypted(installation, told, entity, original);
  if (!builder.expressionMap.callListeners || !hasListeners(builder, entity)) return update(builder);
  const row = knownRow(builder, entity);
  const isOfRows =
    row === undefined && ciphersSet(valuesSet(installation, builder, entity.metadata), entity).length > 0;
  return tellListeners(builder, entity, isOfRows, update);
}

async function updateEncrypted(
  installation: Installation,
  builder: UpdateInternals,
  entity: EncryptedEntity,
  original: Execute,
): Promise<UpdateResult> {
  const set = valuesSet(installation, builder, entity.metadata);
  const ciphers = ciphersSet(set, entity);
  const row = knownRow(builder, entity);
  const update = () =>
    ciphers.length === 0 || row !== undefined
      ? updateRow(installation, builder, entity, ciphers, row, original)
      : updateRows(installation, builder, entity, ciphers, original);
  const tenant = setsWhatIsATenants(set, entity) ? installation.currentTenant() : undefined;
  const result = await withinTenant(builder, entity, tenant, update);
  await decryptReturned(installation, builder, entity, result);
  return result;
}

async function updateRow(
  installation: Installation,
  builder: UpdateInternals,
  entity: EncryptedEntity,
  ciphers: readonly ColumnCipher[],
  row: RowKey | undefined,
  original: Execute,
): Promise<UpdateResult> {
  if (ciphers.length === 0) return original(builder);
  const tenant = tenantOfUpdate(installation, builder, entity);
  const demand = new KeyDemand();
  demand.addCells(
    ciphers.map((cipher) => [cipher, 1]),
    tenant,
  );
  await installation.readyToIndex(entity, demand, builder.queryRunner);
  updates.set(builder, { keys: await installation.reserveKeys(demand, builder.queryRunner), tenant, row });
  try {
    return await withinTenant(builder, entity, tenant, () => original(builder));
  } finally {
    updates.delete(builder);
  }
}

/** In one transaction: finds the rows, locked where the database locks rows, then updates each by its key. */
async function updateRows(
  installation: Installation,
  builder: UpdateInternals,
  entity: EncryptedEntity,
  ciphers: readonly ColumnCipher[],
  original: Execute,
): Promise<UpdateResult> {
  const queryRunner = builder.obtainQueryRunner();
  try {
    return await inTransaction(queryRunner, true, async () => {
      const results: UpdateResult[] = [];
      for (const { update, row } of await updatesByRow(builder, entity, queryRunner)) {
        results.push(await updateRow(installation, update, entity, ciphers, row, original));
      }
      return merge(results);
    });
  } finally {
    if (queryRunner !== builder.queryRunner) await queryRunner.release();
  }
}

async function updatesByRow(
  builder: UpdateInternals,
  entity: EncryptedEntity,
  queryRunner: QueryRunner,
): Promise<readonly { update: UpdateInternals; row: RowKey | undefined }[]> {
  const columns = entity.metadata.primaryColumns;
  const { whereEntities } = builder.expressionMap;
  const rows = await findKeys(builder, columns, queryRunner);
  return rows.map((found) => {
    const row = entity.primaryKey.ofRow((column) => found[column.databaseName]);
    const update = builder.clone().setQueryRunner(queryRunner).callListeners(false);
    update.expressionMap.wheres = columns.map((column, index) => {
      update.setParameter(`nest_hsm_key_${index}`, found[column.databaseName]);
      return { type: 'and', condition: `${update.escape(column.databaseName)} = :nest_hsm_key_${index}` };
    });
    // The entity that TypeORM refreshes from the updated row, if the builder was given entities.
    const target = whereEntities.filter((each) => isRow(entity, each, row));
    update.expressionMap.whereEntities = target.slice(0, 1);
    return { update, row };
  });
}

/** The primary keys of the rows an update would touch, as the database holds them. */
async function findKeys(
  builder: UpdateInternals,
  columns: readonly ColumnMetadata[],
  queryRunner: QueryRunner,
): Promise<readonly ObjectLiteral[]> {
  const { driver } = builder.dataSource;
  const selection = columns.map((column) => builder.escape(column.databaseName)).join(', ');
  const lock = databaseType(builder.dataSource) === 'better-sqlite3' ? '' : ' FOR UPDATE';
  // MariaDB alone updates the first rows of an order; elsewhere TypeORM refuses it here as it does there.
  const part = `${builder.createOrderByExpression()}${builder.createLimitExpression()}`;
  const table = builder.getTableName(builder.getMainTableName());
  const statement = `${builder.createCteExpression()}SELECT ${selection} FROM ${table}${builder.createWhereExpression()}${part}${lock}`;
  const [sql, parameters] = driver.escapeQueryWithParameters(
    builder.replacePropertyNamesForTheWholeQuery(statement),
    builder.getParameters(),
  );
  return (await queryRunner.query(sql, parameters)) as ObjectLiteral[];
}

function merge(results: readonly UpdateResult[]): UpdateResult {
  const merged = new UpdateResult();
  merged.raw = results.flatMap((result) => (Array.isArray(result.raw) ? (result.raw as unknown[]) : []));
  merged.affected = results.reduce((sum, result) => sum + (result.affected ?? 0), 0);
  merged.generatedMaps = results.flatMap((result) => result.generatedMaps);
  return merged;
}

/** `UpdateQueryBuilder.createUpdateExpression`: what an update must not set, and the row its cells are for. */
export function createUpdateExpression(
  installation: Installation,
  builder: UpdateInternals,
  original: () => string,
): string {
  const { names } = installation;
  const { expressionMap: map } = builder;
  const metadata = mainMetadata(builder);
  const entity = installation.entity(metadata);
  for (const order of Object.keys(map.orderBys)) refuseIf(names.find(order, map), 'orderBy');
  const set = valuesSet(installation, builder, metadata);
  for (const { column, value } of set) {
    const cipher = column && entity?.ciphers.get(column);
    if (column !== undefined) refuseIf(installation.indexed.get(column)?.index.name, 'indexUpdate');
    if (typeof value !== 'function') continue;
    if (cipher !== undefined) refuse(cipher.name, 'assignment');
    refuseIf(names.find(String((value as () => unknown)()), map), 'copy');
  }
  if (entity === undefined) return original();
  refuseOtherKey(builder, entity, set);
  refuseOtherTenant(installation, builder, entity, set);
  return installation.observeBuilding(() => {
    installation.writing = encryptUpdated(installation, builder, entity, set);
    if (entity.plaintexts.size > 0)
      installation.shadowing = installation.shadows.of(set.flatMap(({ column }) => column ?? []));
    installation.indexing = indexUpdated(installation, builder, entity, set);
    try {
      return original();
    } finally {
      installation.writing = undefined;
      installation.indexing = undefined;
      installation.shadowing = [];
    }
  });
}

/** What the blind indexes of the columns it sets become. */
function indexUpdated(
  installation: Installation,
  builder: UpdateInternals,
  { indexes }: EncryptedEntity,
  set: readonly SetColumn[],
): ReadonlyMap<ColumnMetadata, string | null> {
  const indexed = new Map<ColumnMetadata, string | null>();
  if (indexes.size === 0) return indexed;
  const tenant = updates.get(builder)?.tenant ?? '';
  for (const { column, value } of set) {
    const found = column?.isUpdate ? indexes.get(column) : undefined;
    if (found === undefined) continue;
    const hasCell = found.cipher.hasCell(value);
    indexed.set(found.column, hasCell ? installation.search.stored(found, value, tenant) : null);
  }
  return indexed;
}

/** `QueryBuilder.createPropertyPath`: an update sets the blind index and the shadow of each column it sets. */
export function createPropertyPath(
  { indexing, shadowing }: Installation,
  _: BuilderInternals,
  original: () => string[],
  metadata: EntityMetadata,
  __: ObjectLiteral,
  prefix = '',
): string[] {
  const paths = original();
  if (indexing === undefined || prefix !== '') return paths;
  const beside = [...shadowing, ...indexing.keys()].filter((column) => column.entityMetadata === metadata);
  return [...paths, ...beside.map((column) => column.propertyPath)];
}

function encryptUpdated(
  installation: Installation,
  builder: UpdateInternals,
  entity: EncryptedEntity,
  set: readonly SetColumn[],
): EncryptedCells | undefined {
  const update = updates.get(builder);
  if (update === undefined) return undefined;
  const values = new Map(set.map(({ column, value }) => [column, value]));
  const columns = [...entity.ciphers].filter(([column]) => values.has(column));
  const row = {
    columns,
    rows: 1,
    key: () => update.row,
    tenant: () => update.tenant,
    value: (_: number, column: ColumnMetadata) => values.get(column),
  };
  return encryptRows(installation, row, update.keys);
}

/** The cells of a row are bound to its key. Saving an entity may set the key to the same key in another spelling. */
function refuseOtherKey(builder: UpdateInternals, entity: EncryptedEntity, set: readonly SetColumn[]): void {
  if (!set.some(({ column }) => column?.isPrimary && column.isUpdate)) return;
  const row = knownRow(builder, entity);
  if (!isRow(entity, builder.getValueSet(), row)) refuseKeyUpdate(entity.metadata.name);
}

function isRow(entity: EncryptedEntity, values: ObjectLiteral, row: RowKey | undefined): boolean {
  const key = entity.primaryKey.ofEntity(values);
  return key !== undefined && row !== undefined && isSameRow(key, row);
}

/** Whose the rows are: as the work under way is, or the one entity that is updated says. */
function tenantOfUpdate(installation: Installation, builder: UpdateInternals, entity: EncryptedEntity): string {
  const { whereEntities } = builder.expressionMap;
  return installation.tenantOf(entity, whereEntities.length === 1 ? whereEntities[0] : {});
}

/** Whose a row is does not change: its cells are bound to it. Saving an entity may set what it is. */
function refuseOtherTenant(
  installation: Installation,
  builder: UpdateInternals,
  entity: EncryptedEntity,
  set: readonly SetColumn[],
): void {
  const { tenantColumn } = entity;
  if (tenantColumn === undefined || !set.some(({ column }) => column === tenantColumn.column)) return;
  if (installation.currentTenant() === undefined)
    throw tenantMissing(`${entity.metadata.name}: want a tenant to set it for`);
  installation.tenantOf(entity, builder.getValueSet());
}
