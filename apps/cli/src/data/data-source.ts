import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DataEncryption } from '@nest-hsm/data-encryption';
import type { DataSource } from 'typeorm';
import { CliError } from '../faults.js';

/** An application's data source, and what encrypts it. */
export interface EncryptedDataSource {
  readonly dataSource: DataSource;
  readonly encryption: DataEncryption;
}

/**
 * Loads the module that TypeORM's own command line takes: it exports one data source, or a promise of one, that has been passed
 * to `withDataEncryption`. It is initialized without changing the database.
 * @throws {CliError} ERR_CLI_ARGUMENT
 * @throws what the module throws
 */
export async function openDataSource(file: string): Promise<EncryptedDataSource> {
  const fault = (got: string) =>
    new CliError('ERR_CLI_ARGUMENT', `${file}: want a module that exports one encrypted data source, got ${got}`);
  const found = new Set<DataSource>();
  for (const exported of Object.values(await load(file, fault))) {
    const value: unknown = await exported;
    if (isDataSource(value)) found.add(value);
  }
  const [dataSource] = found;
  if (found.size !== 1) throw fault(found.size === 0 ? 'none' : `${found.size}`);
  const encryption = DataEncryption.of(dataSource);
  if (encryption === undefined) throw fault('one without withDataEncryption');
  if (!dataSource.isInitialized) {
    dataSource.setOptions({ synchronize: false, dropSchema: false, migrationsRun: false, subscribers: [] });
    await dataSource.initialize();
  }
  return { dataSource, encryption };
}

async function load(file: string, fault: (got: string) => CliError): Promise<Record<string, unknown>> {
  const url = pathToFileURL(resolve(file)).href;
  try {
    return (await import(url)) as Record<string, unknown>;
  } catch (error) {
    const { code, url: missing } = error as { code?: string; url?: string };
    if (code === 'ERR_MODULE_NOT_FOUND' && missing === url) throw fault('no such file');
    throw error;
  }
}

/** Of any copy of TypeORM: the application brings its own. */
function isDataSource(value: unknown): value is DataSource {
  const { initialize, setOptions, entityMetadatas } = (value ?? {}) as Partial<DataSource>;
  return typeof initialize === 'function' && typeof setOptions === 'function' && Array.isArray(entityMetadatas);
}
