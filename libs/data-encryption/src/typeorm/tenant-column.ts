import type { EntityMetadata, ObjectLiteral } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { databaseType } from './database-type.js';
import { parseTenant, type Tenant } from '../tenant.js';

/** The column of an entity that says whose a row is. */
export class TenantColumn {
  private constructor(
    readonly column: ColumnMetadata,
    /** PostgreSQL takes any case, and stores lower case. */
    private readonly isUuid: boolean,
  ) {}

  /** @returns what is wrong with it instead, when it cannot be one */
  static of(metadata: EntityMetadata, property: string): TenantColumn | string {
    const column = metadata.findColumnWithPropertyPath(property);
    const fault = (want: string, got: string) =>
      `${metadata.name}.${property}: want ${want} for tenantColumn, got ${got}`;
    if (column === undefined) return fault('a column of the entity', 'none');
    if (column.transformer !== undefined) return fault('a plain column', 'one with a transformer or an encrypted one');
    // Two tenants that a column compares as equal would be one. Of MariaDB's columns `refuseUnfitColumns` asks the database.
    if (column.collation !== undefined && databaseType(metadata.dataSource) !== 'mariadb')
      return fault('a column without a collation of its own', 'one');
    if (column.isNullable) return fault('a column that every row has', 'one that may be NULL');
    return new TenantColumn(column, metadata.dataSource.driver.normalizeType(column) === 'uuid');
  }

  /**
   * @returns undefined when an entity, or what is set, does not say it
   * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID
   */
  ofEntity(entity: ObjectLiteral): Tenant | undefined {
    return this.ofValue(this.column.getEntityValue(entity) as unknown);
  }

  /** @param value  of an entity, or as the database returned it */
  ofValue(value: unknown): Tenant | undefined {
    const tenant = parseTenant(value);
    return this.isUuid ? tenant?.toLowerCase() : tenant;
  }
}
