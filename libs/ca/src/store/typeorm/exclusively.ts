import { setTimeout as delay } from 'node:timers/promises';
import { DataSource, type QueryRunner } from 'typeorm';
import { withStore } from './store-error.js';

/** Long enough for another process to make two RSA keys on a slow token. */
const patienceMilliseconds = 60_000;
const retryMilliseconds = 100;
/** Any number, as long as it is nobody else's on this database: `nhsmca` in ASCII. */
const advisoryLock = 0x6e68736d6361;

/**
 * Runs work while no other process on the same database does. The lock lives in a transaction of a connection of its own, so
 * it ends with the process whatever ends that: an advisory lock in PostgreSQL, a locked file beside the database in SQLite.
 * @throws {CaError} ERR_CA_STORE_UNAVAILABLE when another process has held it for a minute
 */
export async function exclusively<T>(dataSource: DataSource, work: () => Promise<T>): Promise<T> {
  if (dataSource.options.type === 'postgres') {
    const connection = dataSource.createQueryRunner();
    try {
      return await underAdvisoryLock(connection, work);
    } finally {
      await connection.release();
    }
  }
  const file = String(dataSource.options.database);
  // A database in memory has one process.
  if (file === ':memory:') return work();
  return underFileLock(`${file}.lock`, work);
}

async function underAdvisoryLock<T>(connection: QueryRunner, work: () => Promise<T>): Promise<T> {
  await untilTaken(async () => {
    if (!connection.isTransactionActive) await connection.startTransaction();
    const [{ taken }] = (await connection.query('SELECT pg_try_advisory_xact_lock($1) AS taken', [advisoryLock])) as [
      { taken: boolean },
    ];
    return taken;
  });
  try {
    return await work();
  } finally {
    // If the connection is gone, so is the lock.
    await connection.rollbackTransaction().catch(() => undefined);
  }
}

async function underFileLock<T>(database: string, work: () => Promise<T>): Promise<T> {
  // Waiting is done here: the driver's own would stop the event loop.
  const lock = new DataSource({ type: 'better-sqlite3', database, timeout: 0 });
  try {
    await withStore(`open ${database}`, () => lock.initialize());
    await untilTaken(async () => {
      try {
        await lock.query('BEGIN EXCLUSIVE');
        return true;
      } catch (error) {
        if (isBusy(error)) return false;
        throw error;
      }
    });
    return await work();
  } finally {
    if (lock.isInitialized) await lock.destroy();
  }
}

async function untilTaken(take: () => Promise<boolean>): Promise<void> {
  await withStore('have the database alone', async () => {
    const giveUp = performance.now() + patienceMilliseconds;
    while (!(await take())) {
      if (performance.now() > giveUp) throw new Error('another process that has not finished in a minute');
      await delay(retryMilliseconds);
    }
  });
}

function isBusy(error: unknown): boolean {
  const { driverError } = error as { driverError?: { code?: string } };
  return driverError?.code === 'SQLITE_BUSY';
}
