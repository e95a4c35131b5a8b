import { readFileSync } from 'node:fs';
import type { TypeOrmModuleOptions } from '@nestjs/typeorm';
import { type DataSourceOptions, TypeORMError } from 'typeorm';
import type { Config } from '../config.js';
import { ServiceError } from '../problem/service-error.js';
import { migrations } from './migrations.js';

/** A name for this database in the associated data of every cell; it must never change. */
export const databaseId = 'records';

/** The database that is opened while the application starts, its schema brought up to date. */
export function databaseOptions(config: Config['database']): TypeOrmModuleOptions {
  return {
    ...connection(config),
    autoLoadEntities: true,
    migrations,
    migrationsRun: true,
    migrationsTransactionMode: 'each',
    // A start that fails says why at once; whoever runs the service starts it again.
    toRetry: () => false,
  };
}

/** @returns ERR_RECORDS_DATABASE for what TypeORM or its driver throws, and anything else as it is */
export function explainDatabase(config: Config['database'], error: unknown): unknown {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  const isDriverError = typeof code === 'string' && !code.startsWith('ERR_');
  if (!(error instanceof TypeORMError) && !isDriverError) return error;
  const want = config.type === 'postgres' ? 'a PostgreSQL server' : `a writable SQLite file ${config.database}`;
  // Refused on several addresses, PostgreSQL's driver says nothing but the code.
  const got = (error as Error).message || String(code);
  return new ServiceError('ERR_RECORDS_DATABASE', `database: want ${want}, got ${got}`, { cause: error });
}

function connection(config: Config['database']): DataSourceOptions {
  if (config.type === 'better-sqlite3') return { type: 'better-sqlite3', database: config.database, enableWAL: true };
  return { type: 'postgres', url: config.url ?? readFileSync(config.urlFile ?? '', 'utf8').trim() };
}
