import type { EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { DataEncryptionError } from '../errors.js';
import type { Installation } from './installation.js';
import { decryptRows, type RawRow } from './row-decryption.js';

/** By property path: under which name a result has the column. */
export type RawNames = Readonly<Record<string, string>>;

/** Replaces the cells of one entity in rows that a statement past TypeORM's entities returned, see `DataEncryption.decryptRaw`. */
export async function decryptRaw(
  installation: Installation,
  metadata: EntityMetadata,
  rows: readonly object[],
  names: RawNames,
): Promise<void> {
  const entity = installation.entity(metadata);
  if (entity === undefined)
    throw new DataEncryptionError('ERR_DATA_MAPPING_INVALID', `${metadata.name}: want encrypted columns, got none`);
  const nameOf = ({ propertyPath, databaseName }: ColumnMetadata) => names[propertyPath] ?? databaseName;
  const isThere = (column: ColumnMetadata) => rows.some((row) => nameOf(column) in row);
  const cells = [...entity.ciphers]
    .filter(([column]) => isThere(column))
    .map(([column, cipher]) => ({ key: nameOf(column), cipher }));
  if (cells.length === 0) return;
  const primaryKeys = new Map(
    metadata.primaryColumns.filter(isThere).map((column): [ColumnMetadata, string] => [column, nameOf(column)]),
  );
  const { tenantColumn } = entity;
  const tenantKey = tenantColumn && isThere(tenantColumn.column) ? nameOf(tenantColumn.column) : undefined;
  await decryptRows(installation, rows as readonly RawRow[], [{ entity, cells, primaryKeys, tenantKey }]);
}
