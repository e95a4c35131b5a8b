import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { type LoggedConnection, WriteAheadLog } from './write-ahead-log.js';

export type Value = string | number | null;
/** One statement with `$1`, `$2`, …, which both databases take. */
export interface Statement {
  readonly text: string;
  readonly values: readonly Value[];
  /** Of `sqlOfRows` on SQLite: what is bound for each row. */
  readonly runs?: readonly { readonly row: Row; readonly values: readonly Value[] }[];
}
export type Row = Readonly<Record<string, Value>>;
export type Steps<T> = Generator<Statement, T, Row[]>;

export function sql(text: string, ...values: readonly Value[]): Statement {
  return { text, values };
}

/** How the text of `sqlOfRows` names a value of the row it is done for, where it says whence, and how it returns a column of the table `row`. */
export interface RowInput<Name extends string> {
  readonly value: (name: Name) => string;
  readonly from: string;
  readonly returning: (name: Name) => string;
}

/**
 * A statement that is to be done for each of many rows, and whose result is those for which it wrote something. PostgreSQL does it
 * once for all of them, from JSON. SQLite, to which a statement is no round trip, does it for one after the other: its JSON functions,
 * `UPDATE … FROM` and `RETURNING` cost more than all the rest of it.
 * @param columns  names and types
 */
export function sqlOfRows<Name extends string>(
  isPostgres: boolean,
  columns: Readonly<Record<Name, string>>,
  rows: readonly Readonly<Record<Name, Value>>[],
  text: (input: RowInput<Name>) => string,
): Statement {
  if (isPostgres) {
    const from = `FROM ${rowsOfJson(true, columns)}`;
    const all = text({ value: (name) => `input.${name}`, from, returning: (name) => `RETURNING row.${name}` });
    return sql(all, JSON.stringify(rows));
  }
  const order: Name[] = [];
  const value = (name: Name): string => {
    order.push(name);
    return '?';
  };
  const one = text({ value, from: '', returning: () => '' });
  return { text: one, values: [], runs: rows.map((row) => ({ row, values: order.map((name) => row[name]) })) };
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
  run(values: Readonly<Record<string, Value>> | readonly Value[]): { readonly changes: number };
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

  /**
   * One transaction, which is on the disk when it returns.
   * @param until  `ordered`: on SQLite it returns earlier. Whoever uses the database sees it then, and it is on the disk as soon as
   * any that is made after it
   */
  async atomically<T>(steps: () => Steps<T>, until: 'synced' | 'ordered' = 'synced'): Promise<T> {
    try {
      return await (this.isPostgres ? this.#onPostgres(steps) : this.#onSqlite(steps, until));
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
        const { text, values } = step.value;
        step = generator.next(rowsOf(await runner.query(text, [...values], true)));
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

  async #onSqlite<T>(steps: () => Steps<T>, until: 'synced' | 'ordered'): Promise<T> {
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
    if (log === undefined) return transaction.immediate();
    return until === 'ordered' ? log.append(() => transaction.immediate()) : log.commit(() => transaction.immediate());
  }

  #runOnSqlite({ text, values, runs }: Statement): Row[] {
    let statement = this.#prepared.get(text);
    if (statement === undefined) {
      statement = this.#connection.prepare(text);
      this.#prepared.set(text, statement);
    }
    if (runs !== undefined) {
      const prepared = statement;
      return runs.filter((run) => prepared.run(run.values).changes > 0).map(({ row }) => row);
    }
    const named = Object.fromEntries(values.map((value, index) => [String(index + 1), value]));
    if (statement.reader) return statement.all(named);
    statement.run(named);
    return [];
  }

  get #connection(): SqliteConnection {
    return (this.dataSource.driver as unknown as { databaseConnection: SqliteConnection }).databaseConnection;
  }
}

function rowsOf(result: unknown): Row[] {
  return (result as { records: Row[] }).records;
}
