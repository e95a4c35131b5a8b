import { setTimeout as delay } from 'node:timers/promises';
import { DataSource, type QueryRunner } from 'typeorm';
import { withStore } from './store-error.js';

/** What processes take turns at, by a number that is nobody else's on this database, and how long one waits for its turn. */
const turns = {
  /** Long enough to make two RSA keys on a slow token. `nhsmca` in ASCII. */
  authority: { advisoryLock: 0x6e68736d6361, patienceMilliseconds: 60_000 },
  /** Long enough to index many million certificates. `nhsmdb`: the CA's own work goes on meanwhile. */
  schema: { advisoryLock: 0x6e68736d6462, patienceMilliseconds: 3_600_000 },
} as const;
type Turn = (typeof turns)[keyof typeof turns];
const retryMilliseconds = 100;

/**
 * Runs work while no other process on the same database does. The lock lives in a transaction of a connection of its own, so
 * it ends with the process whatever ends that: an advisory lock in PostgreSQL, a locked file beside the database in SQLite.
 * @throws {CaError} ERR_CA_STORE_UNAVAILABLE when another process does not end: for a minute, an hour for the schema
 */
export async function exclusively<T>(
  dataSource: DataSource,
  work: () => Promise<T>,
  kind: keyof typeof turns = 'authority',
): Promise<T> {
  const turn = turns[kind];
  if (dataSource.options.type === 'postgres') {
    const connection = dataSource.createQueryRunner();
    try {
      return await underAdvisoryLock(connection, turn, work);
    } finally {
      await connection.release();
    }
  }
  const file = String(dataSource.options.database);
  // A database in memory has one process.
  if (file === ':memory:') return work();
  return underFileLock(`${file}.lock`, turn, work);
}

async function underAdvisoryLock<T>(connection: QueryRunner, turn: Turn, work: () => Promise<T>): Promise<T> {
  await untilTaken(turn, async () => {
    if (!connection.isTransactionActive) {
      await connection.startTransaction();
      // It does nothing else for as long as the work takes.
      await connection.query('SET LOCAL idle_in_transaction_session_timeout = 0');
    }
    // As one simple query: one with parameters would keep its snapshot in this transaction, which an index that is made CONCURRENTLY waits for.
    const [{ taken }] = (await connection.query(`SELECT pg_try_advisory_xact_lock(${turn.advisoryLock}) AS taken`)) as [
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

async function underFileLock<T>(database: string, turn: Turn, work: () => Promise<T>): Promise<T> {
  // Waiting is done here: the driver's own would stop the event loop.
  const lock = new DataSource({ type: 'better-sqlite3', database, timeout: 0 });
  try {
    await withStore(`open ${database}`, () => lock.initialize());
    await untilTaken(turn, async () => {
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

async function untilTaken({ patienceMilliseconds }: Turn, take: () => Promise<boolean>): Promise<void> {
  await withStore('have the database alone', async () => {
    const giveUp = performance.now() + patienceMilliseconds;
    while (!(await take())) {
      if (performance.now() > giveUp)
        throw new Error(`another process that has not finished in ${patienceMilliseconds / 60_000} min`);
      await delay(retryMilliseconds);
    }
  });
}

function isBusy(error: unknown): boolean {
  const { driverError } = error as { driverError?: { code?: string } };
  return driverError?.code === 'SQLITE_BUSY';
}
