import type { QueryRunner } from 'typeorm';

/** Does work in a transaction: the one that is there, or if it is wanted in one of its own. */
export async function inTransaction<T>(
  queryRunner: QueryRunner,
  isWanted: boolean,
  work: () => Promise<T>,
): Promise<T> {
  if (!isWanted || queryRunner.isTransactionActive) return work();
  await queryRunner.startTransaction();
  try {
    const result = await work();
    await queryRunner.commitTransaction();
    return result;
  } catch (error) {
    // The first error says what happened; a connection that cannot roll back is closed by the database.
    await queryRunner.rollbackTransaction().catch(() => undefined);
    throw error;
  }
}
