import type { DataSource, EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { DataEncryptionError } from '../../errors.js';
import type { EncryptedEntities, EncryptedEntity } from '../encrypted-entity.js';
import { cellText } from './column-types.js';

/** Of a column, as information_schema names it. */
interface StoredColumn {
  readonly name: string;
  readonly type: string;
  readonly collation: string | null;
  readonly engine: string | null;
}

/**
 * Looks whether the tables of encrypted entities, those that are made, are as their cells need them: InnoDB, primary keys and tenants
 * compared by octets, columns of cells and blind indexes as migrations make them.
 * @throws {DataEncryptionError} ERR_DATA_MAPPING_INVALID naming each that is not
 */
export async function refuseUnfitColumns(dataSource: DataSource, entities: EncryptedEntities): Promise<void> {
  const faults = new Set<string>();
  for (const entity of entities.values()) {
    const stored = await storedColumns(dataSource, entity.metadata);
    for (const fault of faultsOf(entity, stored)) faults.add(`${entity.metadata.name}${fault}`);
  }
  if (faults.size === 0) return;
  throw new DataEncryptionError('ERR_DATA_MAPPING_INVALID', ['encrypted entities:', ...faults].join('\n✖ '));
}

async function storedColumns(
  dataSource: DataSource,
  { tableName, database }: EntityMetadata,
): Promise<ReadonlyMap<string, StoredColumn>> {
  const columns = await dataSource.query<StoredColumn[]>(
    'SELECT COLUMN_NAME AS name, DATA_TYPE AS type, COLLATION_NAME AS collation, ENGINE AS engine ' +
      'FROM information_schema.COLUMNS JOIN information_schema.TABLES USING (TABLE_SCHEMA, TABLE_NAME) ' +
      'WHERE TABLE_SCHEMA = coalesce(?, database()) AND TABLE_NAME = ?',
    [database ?? null, tableName],
  );
  return new Map(columns.map((column) => [column.name, column]));
}

function faultsOf(entity: EncryptedEntity, stored: ReadonlyMap<string, StoredColumn>): readonly string[] {
  const { metadata, ciphers, indexes, primaryKey, tenantColumn } = entity;
  // A uuid that is text is bound in one spelling: it may be compared by any collation.
  const keys = metadata.primaryColumns.filter(({ generationStrategy }) => generationStrategy !== 'uuid');
  const checks: readonly [readonly ColumnMetadata[], (column: StoredColumn) => string | undefined][] = [
    [
      [...(primaryKey.isBound ? keys : []), ...(tenantColumn === undefined ? [] : [tenantColumn.column])],
      otherCollation,
    ],
    [[...ciphers.keys()], (column) => otherType(column, 'longtext')],
    [[...indexes.values()].map(({ column }) => column), (column) => otherType(column, 'varchar')],
  ];
  const faults = checks.flatMap(([columns, check]) =>
    columns.flatMap((column) => {
      const found = stored.get(column.databaseName);
      const fault = found && check(found);
      return fault === undefined ? [] : [`.${column.propertyPath}: ${fault}`];
    }),
  );
  const engine = stored.values().next().value?.engine ?? 'InnoDB';
  return engine === 'InnoDB' ? faults : [`: want a table of the engine InnoDB, got ${engine}`, ...faults];
}

/** Two texts that are equal to it would be one key, or one tenant, and their cells be bound to another. */
function otherCollation({ collation }: StoredColumn): string | undefined {
  if (collation === null || /^utf8mb4_(?:nopad_)?bin$/.test(collation)) return undefined;
  return `want a column that is compared by octets, got the collation ${collation}; the way out: collation utf8mb4_bin`;
}

function otherType({ type, collation }: StoredColumn, want: string): string | undefined {
  if (type === want && collation === cellText.collation) return undefined;
  return (
    `want ${want} of the collation ${cellText.collation}, got ${type} of ${collation}; ` +
    'the way out: the migration that migration:generate makes for a new column'
  );
}
