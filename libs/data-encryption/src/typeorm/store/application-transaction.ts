import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager, FindOptionsWhere, ObjectLiteral } from 'typeorm';
import type { QueryDeepPartialEntity } from 'typeorm/query-builder/QueryPartialEntity.js';

/**
 * Whether the one connection that SQLite has is inside a transaction of the application: what is written now goes when that is
 * rolled back. Other databases give everybody a connection of his own.
 */
export function isInTransaction(dataSource: DataSource): boolean {
  if (dataSource.options.type !== 'better-sqlite3') return false;
  const { databaseConnection } = dataSource.driver as { databaseConnection?: { readonly inTransaction: boolean } };
  return databaseConnection?.inTransaction ?? false;
}

/** Waits until it is in none. */
export async function outsideTransactions(dataSource: DataSource): Promise<void> {
  while (isInTransaction(dataSource)) await delay(20);
}

/** On a connection of its own where the database has several: what is stored there outlives the caller's transaction. */
export async function onOwnConnection<T>(
  dataSource: DataSource,
  operation: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  const queryRunner = dataSource.createQueryRunner('master');
  try {
    return await operation(queryRunner.manager);
  } finally {
    await queryRunner.release();
  }
}

/** Updates rows so that no rollback takes it back. @returns how many */
export async function updateForGood<Row extends ObjectLiteral>(
  manager: EntityManager,
  entity: new () => Row,
  where: FindOptionsWhere<Row>,
  set: QueryDeepPartialEntity<Row>,
): Promise<number> {
  await outsideTransactions(manager.dataSource);
  const { affected } = await manager
    .createQueryBuilder()
    .update(entity)
    .set(set)
    .where(where)
    .callListeners(false)
    .execute();
  await outsideTransactions(manager.dataSource);
  return affected ?? 0;
}
