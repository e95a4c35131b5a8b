import type { EntityMetadata, QueryRunner } from 'typeorm';
import { Query } from 'typeorm/driver/Query.js';
import { asksForChecks, checkConstraints } from '../check-constraints.js';
import type { EncryptedEntity } from '../encrypted-entity.js';
import type { Installation } from '../installation.js';

/** Members of TypeORM's schema builder, which its types keep protected. */
export interface SchemaBuilderInternals {
  readonly entityToSyncMetadatas: readonly EntityMetadata[];
  readonly queryRunner: QueryRunner & { executeQueries(up: Query[], down: Query[]): Promise<void> };
}

/**
 * `RdbmsSchemaBuilder.createNewChecks`: TypeORM leaves CHECK constraints out on MariaDB, which has had them since 10.2. Those of encrypted
 * entities are made, or dropped where they are asked for no more; an application's own stay as they are.
 */
export async function createNewChecks(
  installation: Installation,
  builder: SchemaBuilderInternals,
  original: () => Promise<void>,
): Promise<void> {
  await original();
  if (installation.databaseType !== 'mariadb') return;
  for (const metadata of builder.entityToSyncMetadatas) {
    const entity = installation.entity(metadata);
    if (entity !== undefined) await syncChecks(builder, entity);
  }
}

async function syncChecks({ queryRunner }: SchemaBuilderInternals, entity: EncryptedEntity): Promise<void> {
  const { metadata } = entity;
  const { driver } = metadata.dataSource;
  const names = await checkNames(queryRunner, metadata);
  const isWanted = asksForChecks(metadata);
  const table = metadata.tablePath
    .split('.')
    .map((part) => driver.escape(part))
    .join('.');
  for (const { name, expression } of checkConstraints(entity)) {
    if (names.has(name) === isWanted) continue;
    const drop = new Query(`ALTER TABLE ${table} DROP CONSTRAINT ${driver.escape(name)}`);
    const add = new Query(`ALTER TABLE ${table} ADD CONSTRAINT ${driver.escape(name)} CHECK (${expression})`);
    if (isWanted) await queryRunner.executeQueries([add], [drop]);
    else await queryRunner.executeQueries([drop], [add]);
  }
}

async function checkNames(queryRunner: QueryRunner, { database, tableName }: EntityMetadata) {
  const found = (await queryRunner.query(
    'SELECT CONSTRAINT_NAME AS name FROM information_schema.CHECK_CONSTRAINTS ' +
      'WHERE CONSTRAINT_SCHEMA = coalesce(?, database()) AND TABLE_NAME = ?',
    [database ?? null, tableName],
  )) as { name: string }[];
  return new Set(found.map(({ name }) => name));
}
