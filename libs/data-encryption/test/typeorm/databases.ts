import { type DataSourceOptions, type Logger } from 'typeorm';
import { TestMariadb, whyNoMariadb } from '../../../../test/support/mariadb.js';
import { TestPostgres } from '../../../../test/support/postgres.js';

/** A database to run a suite on; `options` of each call are those of an empty one. */
export interface TestDatabase {
  readonly name: 'MariaDB' | 'PostgreSQL' | 'SQLite';
  start(): Promise<void>;
  options(): Promise<DataSourceOptions>;
  stop(): Promise<void>;
}

let tested: readonly TestDatabase['name'][] = ['SQLite', 'PostgreSQL'];

/** Lets the suites that are imported from now on go over other databases than those of the gate. */
export function useDatabases(...names: TestDatabase['name'][]): void {
  tested = names;
}

/** Of these a suite is run on those that it can be and that `useDatabases` says. */
export function testDatabases(...able: TestDatabase['name'][]): readonly TestDatabase[] {
  return [sqlite(), postgresql(), mariadb()].filter(
    ({ name }) => tested.includes(name) && (able.length === 0 || able.includes(name)),
  );
}

export function sqlite(): TestDatabase {
  return {
    name: 'SQLite',
    start: () => Promise.resolve(),
    options: () => Promise.resolve({ type: 'better-sqlite3', database: ':memory:' }),
    stop: () => Promise.resolve(),
  };
}

function postgresql(): TestDatabase {
  let postgres: TestPostgres;
  let count = 0;
  return {
    name: 'PostgreSQL',
    start: async () => {
      postgres = await TestPostgres.start();
    },
    options: async () => ({ type: 'postgres', url: await postgres.database(`test_${++count}`), poolSize: 4 }),
    stop: () => postgres.stop(),
  };
}

/** Its text is compared by octets unless a column says otherwise, as primary keys must be and as it is on the other two. */
export function mariadb(type: 'mariadb' | 'mysql' = 'mariadb', collation = 'utf8mb4_bin'): TestDatabase {
  let server: TestMariadb;
  let count = 0;
  return {
    name: 'MariaDB',
    start: async () => {
      server = await TestMariadb.start();
    },
    options: async () => ({ type, ...(await server.database(`test_${++count}`, collation)), poolSize: 4 }),
    stop: () => server.stop(),
  };
}

/** A suite on MariaDB, where there is a server. */
export const describeMariadb = whyNoMariadb === undefined ? describe : describe.skip;

/** Keeps every statement with its parameters, as a database log would. */
export class RecordingLogger implements Logger {
  statements: string[] = [];

  logQuery(query: string, parameters?: unknown[]): void {
    this.statements.push(`${query} ${inspectable(parameters)}`);
  }

  logQueryError(error: string | Error, query: string, parameters?: unknown[]): void {
    this.statements.push(`${String(error)} ${query} ${inspectable(parameters)}`);
  }

  logQuerySlow(): void {}
  logSchemaBuild(): void {}
  logMigration(): void {}
  log(): void {}

  /** The statements since the last call. */
  take(): string[] {
    return this.statements.splice(0);
  }
}

function inspectable(parameters: unknown[] = []): string {
  return JSON.stringify(parameters, (_, value: unknown) => {
    if (typeof value === 'bigint') return value.toString();
    if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
    return value;
  });
}
