import { readFileSync } from 'node:fs';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { z } from 'zod';
import { CaError } from '../../errors.js';
import { ApiTokenEntity } from './api-token.entity.js';
import { CertificateEntity } from './certificate.entity.js';
import { GenerationEntity, ImportedCertificateEntity, SignedDocumentEntity } from './authority.entities.js';
import { OrderEntity } from './order.entity.js';
import { caMigrations, migrate } from './migrate.js';

/** For a service that keeps the CA's tables in a DataSource of its own, with `caMigrations`. */
export const caEntities = [
  CertificateEntity,
  ApiTokenEntity,
  OrderEntity,
  GenerationEntity,
  ImportedCertificateEntity,
  SignedDocumentEntity,
];

export const databaseConfigSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('better-sqlite3'),
    /** Path of the file; made when it is missing. */ database: z.string().min(1),
  }),
  z
    .strictObject({
      type: z.literal('postgres'),
      /** `postgres://user:password@host/database`. */
      url: z
        .string()
        .regex(/^postgres(ql)?:\/\//, 'want postgres://…')
        .optional(),
      /** A file that holds the URL, so that its password is in no configuration. */
      urlFile: z.string().min(1).optional(),
    })
    .refine(({ url, urlFile }) => (url === undefined) !== (urlFile === undefined), 'want exactly one of url, urlFile'),
]);
export type DatabaseConfig = z.infer<typeof databaseConfigSchema>;

/**
 * Opens the CA's database and brings its schema up to date.
 * @throws {CaError} ERR_CA_STORE_UNUSABLE
 */
export async function openCaDatabase(config: DatabaseConfig): Promise<DataSource> {
  let dataSource: DataSource | undefined;
  try {
    const options = { ...connection(config), entities: caEntities, migrations: caMigrations };
    if (options.type === 'postgres') await migrateUnhurried(options);
    dataSource = new DataSource(options);
    await dataSource.initialize();
    if (options.type !== 'postgres') await migrate(dataSource);
    return dataSource;
  } catch (error) {
    if (dataSource?.isInitialized === true) await dataSource.destroy();
    const where = config.type === 'postgres' ? 'a PostgreSQL server' : `a writable SQLite file ${config.database}`;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CaError('ERR_CA_STORE_UNUSABLE', `database: want ${where}, got ${reason}`, { cause: error });
  }
}

async function migrateUnhurried(options: DataSourceOptions): Promise<void> {
  const dataSource = new DataSource({ ...options, extra: {} });
  await dataSource.initialize();
  try {
    await migrate(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

function connection(config: DatabaseConfig): DataSourceOptions {
  if (config.type === 'postgres') {
    // A server that hangs fails a statement instead of holding its caller; what it may still have done, recovery finds.
    const bounds = { connectTimeoutMS: 5_000, extra: { query_timeout: 10_000 } };
    return { type: 'postgres', url: databaseUrl(config), ...bounds };
  }
  // A serial or TBS must be on disk before a signature exists, so a commit waits for the disk (synchronous = FULL).
  return {
    type: 'better-sqlite3',
    database: config.database,
    enableWAL: true,
    // Another process that writes keeps the event loop waiting, so not for long.
    timeout: 1_000,
    prepareDatabase: (database: { pragma(statement: string): void }) => {
      database.pragma('synchronous = FULL');
      // Pages (32 MiB). Serials are random, so the same pages change again and again: they are copied once for many commits.
      database.pragma('wal_autocheckpoint = 8192');
    },
  };
}

/** Where PostgreSQL is, with its password. */
export function databaseUrl({ url, urlFile = '' }: Extract<DatabaseConfig, { type: 'postgres' }>): string {
  return url ?? readFileSync(urlFile, 'utf8').trim();
}
