import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { type LoggedConnection, WriteAheadLog } from './write-ahead-log.js';

export type Value = string | number | null;
/** One statement with `$1`, `$2`, …, which both databases take. */
export interface Statement {
  readonly text: string;
  /** Those of one run, and of the next: its rows are those of all runs. */
  readonly runs: readonly (readonly Value[])[];
}
export type Row = Readonly<Record<string, Value>>;
export type Steps<T> = Generator<Statement, T, Row[]>;

export function sql(text: string, ...values: readonly Value[]): Statement {
  return { text, runs: [values] };
}

/**
 * A statement that reads many rows as the table `input`. PostgreSQL gets them at once, in JSON; SQLite one by one, where a run is
 * no round trip and its JSON functions would read the text of a row anew for each column.
 * @param columns  their names and types
 */
export function sqlOfRows<Name extends string>(
  isPostgres: boolean,
  columns: Readonly<Record<Name, string>>,
  rows: readonly Readonly<Record<Name, Value>>[],
  text: (input: string) => string,
): Statement {
  if (isPostgres) return sql(text(rowsOfJson(true, columns)), JSON.stringify(rows));
  const names = Object.keys(columns) as Name[];
  const input = `(SELECT ${names.map((name, index) => `$${index + 1} AS ${name}`).join(', ')}) AS input`;
  return { text: text(input), runs: rows.map((row) => names.map((name) => row[name])) };
}

/** The rows of a JSON array in `$1`, as a table. */
export function rowsOfJson(isPostgres: boolean, columns: Readonly<Record<string, string>>): string {
  const names = Object.entries(columns);
  if (isPostgres) return `jsonb_to_recordset($1::jsonb) AS input(${names.map((pair) => pair.join(' ')).join(', ')})`;
  return `(SELECT ${names.map(([name]) => `value ->> '${name}' AS ${name}`).join(', ')} FROM json_each($1)) AS input`;
}

/** What is used of better-sqlite3's Database. */
interface SqliteConnection extends LoggedConnection {
  readonly inTransaction: boolean;
  prepare(text: string): SqliteStatement;
  transaction<T>(work: () => T): { immediate(): T };
}
interface SqliteStatement {
  readonly reader: boolean;
  all(values: Readonly<Record<string, Value>>): Row[];
  run(values: Readonly<Record<string, Value>>): unknown;
}

/** Thrown inside `atomically` to undo what was done, and to return a value nevertheless. */
export class RolledBack<T> extends Error {
  override readonly name = 'RolledBack';

  constructor(readonly result: T) {
    super('transaction: rolled back on purpose');
  }
}

const patienceMilliseconds = 1_000;

/**
 * SQL that is the same on SQLite and PostgreSQL, with transactions. TypeORM has one SQLite connection for everybody, where a
 * transaction that waits would take in what others write meanwhile; so the steps of one are a generator, which SQLite runs without
 * a pause and PostgreSQL on a connection of its own.
 */
export class Sql {
  readonly isPostgres: boolean;
  readonly #prepared = new Map<string, SqliteStatement>();

  constructor(private readonly dataSource: DataSource) {
    this.isPostgres = dataSource.options.type === 'postgres';
  }

  /**
   * Behind a column of hexadecimal digits that is sorted or ranged over: by their octets, whatever language the database is in
   * (in Danish `aa` comes behind `z`). SQLite has no other order.
   */
  get inOctets(): string {
    return this.isPostgres ? ' COLLATE "C"' : '';
  }

  async all(text: string, ...values: readonly Value[]): Promise<Row[]> {
    if (!this.isPostgres) return this.#runOnSqlite(sql(text, ...values));
    const runner = this.dataSource.createQueryRunner();
    try {
      return rowsOf(await runner.query(text, [...values], true));
    } finally {
      await runner.release();
    }
  }

  async atomically<T>(steps: () => Steps<T>): Promise<T> {
    try {
      return await (this.isPostgres ? this.#onPostgres(steps) : this.#onSqlite(steps));
    } catch (error) {
      if (error instanceof RolledBack) return error.result as T;
      throw error;
    }
  }

  async #onPostgres<T>(steps: () => Steps<T>): Promise<T> {
    const runner = this.dataSource.createQueryRunner();
    try {
      await runner.startTransaction('READ COMMITTED');
      const generator = steps();
      let step = generator.next();
      while (step.done !== true) {
        const { text, runs } = step.value;
        const rows: Row[] = [];
        for (const values of runs) rows.push(...rowsOf(await runner.query(text, [...values], true)));
        step = generator.next(rows);
      }
      await runner.commitTransaction();
      return step.value;
    } catch (error) {
      // A connection that is gone has rolled back as well.
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
      throw error;
    } finally {
      await runner.release();
    }
  }

  async #onSqlite<T>(steps: () => Steps<T>): Promise<T> {
    const connection = this.#connection;
    for (const giveUp = performance.now() + patienceMilliseconds; connection.inTransaction; await delay(1))
      if (performance.now() > giveUp) throw new Error('another transaction of this process that does not end');
    const transaction = connection.transaction(() => {
      const generator = steps();
      let step = generator.next();
      while (step.done !== true) step = generator.next(this.#runOnSqlite(step.value));
      return step.value;
    });
    const log = WriteAheadLog.of(connection);
    return log === undefined ? transaction.immediate() : log.commit(() => transaction.immediate());
  }

  #runOnSqlite({ text, runs }: Statement): Row[] {
    let statement = this.#prepared.get(text);
    if (statement === undefined) {
      statement = this.#connection.prepare(text);
      this.#prepared.set(text, statement);
    }
    const rows: Row[] = [];
    for (const values of runs) {
      const named = Object.fromEntries(values.map((value, index) => [String(index + 1), value]));
      if (statement.reader) rows.push(...statement.all(named));
      else statement.run(named);
    }
    return rows;
  }

  get #connection(): SqliteConnection {
    return (this.dataSource.driver as unknown as { databaseConnection: SqliteConnection }).databaseConnection;
  }
}

function rowsOf(result: unknown): Row[] {
  return (result as { records: Row[] }).records;
}
