import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';

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
