import { randomUUID } from 'node:crypto';
import type { EntityMetadata, ObjectLiteral, QueryRunner } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { type DatabaseType, databaseType } from './database-type.js';
import type { InsertInternals } from './internals.js';
import { takeKeys } from './mariadb/key-sequence.js';

/** By generated primary key column: its value for each row to be inserted, undefined where the row brings its own. */
export type GeneratedKeys = ReadonlyMap<ColumnMetadata, readonly unknown[]>;

/**
 * Makes the primary keys that the database would make, before the rows are inserted, so that their cells can be bound to
 * them. Each key is one the database's own generator gives out.
 */
export async function generateKeys(builder: InsertInternals, metadata: EntityMetadata): Promise<GeneratedKeys> {
  const rows = builder.getValueSets();
  const keys = new Map<ColumnMetadata, readonly unknown[]>();
  for (const column of metadata.primaryColumns.filter((each) => each.isGenerated)) {
    const missing = rows.flatMap((row, index) => (ownKey(builder, column, row) === undefined ? [index] : []));
    if (missing.length === 0) continue;
    const values =
      column.generationStrategy === 'uuid'
        ? missing.map(() => randomUUID())
        : await takeFromSequence(builder, metadata, column, missing.length);
    const byRow = new Array<unknown>(rows.length).fill(undefined);
    for (const [at, index] of missing.entries()) byRow[index] = values[at];
    keys.set(column, byRow);
  }
  return keys;
}

/** The key value that a row brings itself, if TypeORM would insert it. */
export function ownKey(builder: InsertInternals, column: ColumnMetadata, row: ObjectLiteral): unknown {
  // PostgreSQL: TypeORM leaves a serial column out, whatever the row says.
  const isInserted = !column.isGenerated || column.generationStrategy === 'uuid' || !isSkippedSerial(builder, column);
  return isInserted ? ((column.getEntityValue(row) as unknown) ?? undefined) : undefined;
}

function isSkippedSerial(builder: InsertInternals, column: ColumnMetadata): boolean {
  return (
    databaseType(builder.dataSource) === 'postgres' &&
    column.generationStrategy === 'increment' &&
    !builder.expressionMap.insertColumns.includes(column.propertyPath)
  );
}

async function takeFromSequence(
  builder: InsertInternals,
  metadata: EntityMetadata,
  column: ColumnMetadata,
  count: number,
): Promise<readonly unknown[]> {
  const queryRunner = builder.obtainQueryRunner();
  try {
    const take = takeFrom[databaseType(builder.dataSource)];
    return await take(queryRunner, builder, metadata, column, count);
  } finally {
    if (queryRunner !== builder.queryRunner) await queryRunner.release();
  }
}

async function takeFromPostgres(
  queryRunner: QueryRunner,
  builder: InsertInternals,
  metadata: EntityMetadata,
  column: ColumnMetadata,
  count: number,
): Promise<readonly unknown[]> {
  const rows = (await queryRunner.query(
    'SELECT nextval(pg_get_serial_sequence($1, $2)) AS "value" FROM generate_series(1, $3::int)',
    [builder.getTableName(metadata.tablePath), column.databaseName, count],
  )) as { value: string }[];
  return rows.map(({ value }) => value);
}

/**
 * AUTOINCREMENT keeps its last value in a table that may be written (https://sqlite.org/autoinc.html): each statement is atomic
 * between processes, and a rollback gives the keys back as it does for SQLite's own.
 */
async function takeFromSqlite(
  queryRunner: QueryRunner,
  builder: InsertInternals,
  metadata: EntityMetadata,
  column: ColumnMetadata,
  count: number,
): Promise<readonly unknown[]> {
  const { tableName, tablePath } = metadata;
  // An attached database has a table of its own.
  const sequences = tablePath.includes('.')
    ? builder.getTableName(`${tablePath.split('.')[0]}.sqlite_sequence`)
    : 'sqlite_sequence';
  await queryRunner.query(
    `INSERT INTO ${sequences} (name, seq) SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM ${sequences} WHERE name = ?)`,
    [tableName, tableName],
  );
  // Beyond the keys of the table and those of this statement.
  const given = greatestGiven(builder, column);
  const maximum = `(SELECT coalesce(max(${builder.escape(column.databaseName)}), 0) FROM ${builder.getTableName(tablePath)})`;
  const [{ seq }] = (await queryRunner.query(
    `UPDATE ${sequences} SET seq = max(seq, ?, ${maximum}) + ? WHERE name = ? RETURNING seq`,
    [given, count, tableName],
  )) as { seq: number }[];
  return Array.from({ length: count }, (_, index) => seq - count + 1 + index);
}

async function takeFromMariadb(
  queryRunner: QueryRunner,
  builder: InsertInternals,
  metadata: EntityMetadata,
  column: ColumnMetadata,
  count: number,
): Promise<readonly unknown[]> {
  const first = await takeKeys(queryRunner, metadata, { count, beyond: greatestGiven(builder, column) });
  return Array.from({ length: count }, (_, index) => {
    const key = first + BigInt(index);
    // As mysql2 returns them.
    return key <= BigInt(Number.MAX_SAFE_INTEGER) && column.type !== 'bigint' ? Number(key) : key.toString();
  });
}

const takeFrom = {
  'better-sqlite3': takeFromSqlite,
  mariadb: takeFromMariadb,
  postgres: takeFromPostgres,
} as const satisfies Record<DatabaseType, unknown>;

/** Of the keys that rows bring. */
function greatestGiven(builder: InsertInternals, column: ColumnMetadata): number {
  return builder.getValueSets().reduce((most, row) => Math.max(most, Number(ownKey(builder, column, row) ?? 0)), 0);
}
