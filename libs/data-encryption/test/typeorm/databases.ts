import { type DataSourceOptions, type Logger } from 'typeorm';
import { TestPostgres } from '../../../../test/support/postgres.js';

/** A database to run a suite on; `options` of each call are those of an empty one. */
export interface TestDatabase {
  readonly name: 'SQLite' | 'PostgreSQL';
  start(): Promise<void>;
  options(): Promise<DataSourceOptions>;
  stop(): Promise<void>;
}

export function testDatabases(): readonly TestDatabase[] {
  let postgres: TestPostgres;
  let count = 0;
  return [
    {
      name: 'SQLite',
      start: () => Promise.resolve(),
      options: () => Promise.resolve({ type: 'better-sqlite3', database: ':memory:' }),
      stop: () => Promise.resolve(),
    },
    {
      name: 'PostgreSQL',
      start: async () => {
        postgres = await TestPostgres.start();
      },
      options: async () => ({ type: 'postgres', url: await postgres.database(`test_${++count}`), poolSize: 4 }),
      stop: () => postgres.stop(),
    },
  ];
}

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
