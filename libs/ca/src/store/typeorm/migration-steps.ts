import { setTimeout as delay } from 'node:timers/promises';
import type { QueryRunner, Table } from 'typeorm';
import { type Row, sql, type Statement } from './sql.js';

/**
 * Steps of a migration that other processes go on working beside, on a table of any size. Each is done by itself, outside a transaction
 * of the migration's (`transaction = false`), and does nothing where a run that was killed has done it.
 */

export const isPostgres = (runner: QueryRunner): boolean => runner.connection.options.type === 'postgres';

export async function run(runner: QueryRunner, { text, values }: Statement): Promise<Row[]> {
  // SQLite's `$1` is the name of a value.
  const named = Object.fromEntries(values.map((value, index) => [String(index + 1), value]));
  const bound = isPostgres(runner) ? [...values] : values.length === 0 ? [] : [named];
  return ((await runner.query(text, bound, true)) as { records: Row[] }).records;
}

async function inTransaction<T>(runner: QueryRunner, work: () => Promise<T>): Promise<T> {
  await runner.startTransaction();
  try {
    const result = await work();
    await runner.commitTransaction();
    return result;
  } catch (error) {
    // A connection that is gone has rolled back as well.
    await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  }
}

/** Makes tables with their indexes, all or none. */
export async function createTables(runner: QueryRunner, tables: readonly Table[]): Promise<void> {
  await inTransaction(runner, async () => {
    for (const table of tables) await runner.createTable(table, true);
  });
}

const lockMilliseconds = 1_000;
const attempts = 600;
/** lock_not_available (appendix A of PostgreSQL's manual). */
const lockNotAvailable = '55P03';

/**
 * Changes a table in a way that takes no time but needs it alone. Who waits for that in PostgreSQL has everybody else wait behind, so it
 * is not waited for long, but tried again.
 */
export async function briefly(runner: QueryRunner, change: string): Promise<void> {
  if (!isPostgres(runner)) return void (await runner.query(change));
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await inTransaction(runner, async () => {
        await runner.query(`SET LOCAL lock_timeout = ${lockMilliseconds}`);
        await runner.query(change);
      });
    } catch (error) {
      const { code } = (error as { driverError?: { code?: string } }).driverError ?? {};
      if (code !== lockNotAvailable || attempt === attempts) throw error;
    }
    await delay(lockMilliseconds);
  }
}

/** @param columns  each with its type; they may be NULL and have no default, or every row would be written */
export async function addColumns(
  runner: QueryRunner,
  table: string,
  columns: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [column, type] of Object.entries(columns))
    if (!(await runner.hasColumn(table, column)))
      await briefly(runner, `ALTER TABLE ${table} ADD COLUMN ${column} ${type}`);
}

export interface Index {
  readonly name: string;
  readonly table: string;
  readonly columns: string;
  readonly unique?: boolean;
  readonly where?: string;
}

/** Makes an index while others write. What a killed run left of it is not valid: it is made again. */
export async function createIndex(runner: QueryRunner, { name, table, columns, unique, where }: Index): Promise<void> {
  const concurrently = isPostgres(runner) ? ' CONCURRENTLY' : '';
  if (isPostgres(runner) && (await isLeftover(runner, name, table)))
    await runner.query(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`);
  const condition = where === undefined ? '' : ` WHERE ${where}`;
  await runner.query(
    `CREATE${unique === true ? ' UNIQUE' : ''} INDEX${concurrently} IF NOT EXISTS ${name} ON ${table} (${columns})${condition}`,
  );
}

/** Whether there is such an index that nobody finishes. */
async function isLeftover(runner: QueryRunner, name: string, table: string): Promise<boolean> {
  return inTransaction(runner, async () => {
    // The server may still be at work on it for a process that is gone; it holds the same lock, which keeps nobody from writing.
    await runner.query(`LOCK TABLE ${table} IN SHARE UPDATE EXCLUSIVE MODE`);
    const leftover = 'SELECT 1 FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid';
    return (await run(runner, sql(leftover, name))).length > 0;
  });
}

export async function dropIndex(runner: QueryRunner, name: string): Promise<void> {
  await runner.query(`DROP INDEX ${isPostgres(runner) ? 'CONCURRENTLY ' : ''}IF EXISTS ${name}`);
}

/** A page of rows behind a key: what to write because of them, and the last one's key. */
export interface BackfillPage {
  readonly writes: readonly Statement[];
  /** Undefined on the last page. */
  readonly last?: string;
}

/** Writes what follows from the rows there are, a page and how far it goes in each transaction. @param name  of the backfill */
export async function backfill(
  runner: QueryRunner,
  name: string,
  page: (after: string) => Promise<BackfillPage>,
): Promise<void> {
  await runner.query(
    'CREATE TABLE IF NOT EXISTS ca_backfill (name varchar(64) NOT NULL PRIMARY KEY, position varchar(64) NOT NULL)',
  );
  const [done] = await run(runner, sql('SELECT position FROM ca_backfill WHERE name = $1', name));
  for (let after: string | undefined = String(done?.position ?? ''); after !== undefined;) {
    const { writes, last }: BackfillPage = await page(after);
    const progress = last === undefined ? [] : [sql(savePosition, name, last)];
    await inTransaction(runner, async () => {
      for (const write of [...writes, ...progress]) await run(runner, write);
    });
    after = last;
  }
  await runner.query('DROP TABLE ca_backfill');
}

const savePosition =
  'INSERT INTO ca_backfill (name, position) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET position = $2';
