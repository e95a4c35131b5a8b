import type { UpdateResult } from 'typeorm';
import type { EncryptedEntity } from './encrypted-entity.js';
import { inTransaction } from './in-transaction.js';
import type { UpdateInternals } from './internals.js';

/** Whether anybody is told of updates of an entity. */
export function hasListeners({ dataSource }: UpdateInternals, { metadata }: EncryptedEntity): boolean {
  const { beforeUpdateListeners, afterUpdateListeners } = metadata;
  return dataSource.subscribers.length + beforeUpdateListeners.length + afterUpdateListeners.length > 0;
}

/**
 * Tells listeners what is updated. TypeORM would do so when the cells are made already, and what a listener adds would have none.
 * @param isOfRows  it becomes several statements
 */
export async function tellListeners(
  builder: UpdateInternals,
  { metadata }: EncryptedEntity,
  isOfRows: boolean,
  update: (told: UpdateInternals) => Promise<UpdateResult>,
): Promise<UpdateResult> {
  const queryRunner = builder.obtainQueryRunner();
  const { useTransaction, valuesSet } = builder.expressionMap;
  try {
    return await inTransaction(queryRunner, useTransaction || isOfRows, async () => {
      await queryRunner.broadcaster.broadcast('BeforeUpdate', metadata, valuesSet);
      const result = await update(builder.clone().setQueryRunner(queryRunner).callListeners(false));
      await queryRunner.broadcaster.broadcast('AfterUpdate', metadata, valuesSet);
      return result;
    });
  } finally {
    if (queryRunner !== builder.queryRunner) await queryRunner.release();
  }
}
