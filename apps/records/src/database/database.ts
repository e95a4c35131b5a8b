import { readFileSync } from 'node:fs';
import { type DataEncryption, DataEncryptionError } from '@nest-hsm/data-encryption';
import { DataSource, type DataSourceOptions } from 'typeorm';
import type { Config } from '../config.js';
import { ServiceError } from '../problem/service-error.js';
import { RecordEntity } from '../record/record.entity.js';
import { migrations } from './migrations.js';

/**
 * Opens the database with encryption attached and brings its schema up to date.
 * @throws {ServiceError} ERR_RECORDS_DATABASE
 * @throws {DataEncryptionError} ERR_DATA_KEY_REJECTED
 */
export async function openDatabase(config: Config['database'], encryption: DataEncryption): Promise<DataSource> {
  const dataSource = new DataSource({ ...connection(config), entities: [RecordEntity], migrations });
  encryption.attach(dataSource);
  try {
    await dataSource.initialize();
    await dataSource.runMigrations({ transaction: 'each' });
    return dataSource;
  } catch (cause) {
    if (dataSource.isInitialized) await dataSource.destroy();
    if (cause instanceof DataEncryptionError) throw cause;
    const want = config.type === 'postgres' ? 'a PostgreSQL server' : `a writable SQLite file ${config.database}`;
    throw new ServiceError('ERR_RECORDS_DATABASE', `database: want ${want}, got ${(cause as Error).message}`, {
      cause,
    });
  }
}

function connection(config: Config['database']): DataSourceOptions {
  if (config.type === 'better-sqlite3') return { type: 'better-sqlite3', database: config.database, enableWAL: true };
  return { type: 'postgres', url: config.url ?? readFileSync(config.urlFile ?? '', 'utf8').trim() };
}
