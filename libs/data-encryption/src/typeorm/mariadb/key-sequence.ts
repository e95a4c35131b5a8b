import type { DataSource, EntityMetadata, QueryRunner } from 'typeorm';
import { DataEncryptionError } from '../../errors.js';
import type { EncryptedEntities } from '../encrypted-entity.js';
import { readSettings } from './server-settings.js';

/**
 * Takes primary keys for a table whose keys are counted: beyond those that InnoDB has counted, those that were taken before and one that
 * is given. InnoDB counts on from a key that is inserted.
 * @returns the first of them; the others follow it
 */
export async function takeKeys(
  session: QueryRunner,
  { tableName, tablePath, database }: EntityMetadata,
  { count, beyond }: { readonly count: number; readonly beyond: number },
): Promise<bigint> {
  // One statement, atomic by the lock that it has on the table.
  const [taken] = (await session.query(
    'INSERT INTO data_encryption_key_sequence (table_path, last_key) ' +
      'SELECT ?, greatest(coalesce(AUTO_INCREMENT, 1) - 1, ?) + ? FROM information_schema.TABLES ' +
      'WHERE TABLE_SCHEMA = coalesce(?, database()) AND TABLE_NAME = ? ' +
      'ON DUPLICATE KEY UPDATE last_key = greatest(last_key + ?, VALUES(last_key)) RETURNING last_key',
    [tablePath, beyond, count, database ?? null, tableName, count],
  )) as ({ last_key: number | string } | undefined)[];
  // Of a table that is not made the insert says it.
  if (taken === undefined) return BigInt(beyond) + 1n;
  return BigInt(taken.last_key) - BigInt(count) + 1n;
}

/**
 * Where several servers write, each counts for itself, and the table of `takeKeys` is on none but one.
 * @throws {DataEncryptionError} ERR_DATA_MAPPING_INVALID for an entity whose cells are bound to a counted key
 */
export async function refuseCountedKeys(dataSource: DataSource, entities: EncryptedEntities): Promise<void> {
  const counted = [...entities.values()].filter(
    ({ metadata, primaryKey }) =>
      primaryKey.isBound &&
      metadata.primaryColumns.some(({ generationStrategy }) => generationStrategy === 'increment'),
  );
  if (counted.length === 0) return;
  const { wsrep_on: isGalera, auto_increment_increment: step } = await readSettings(dataSource);
  if (isGalera !== 'ON' && step === '1') return;
  throw new DataEncryptionError(
    'ERR_DATA_MAPPING_INVALID',
    `${counted.map(({ metadata }) => metadata.name).join(', ')}: want keys that one server counts, got several that do ` +
      '(Galera, or auto_increment_increment); the way out is a uuid primary key, or rowBinding none',
  );
}
