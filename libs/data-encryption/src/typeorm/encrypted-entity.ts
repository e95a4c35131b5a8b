import type { EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { BlindIndex } from '../blind-index.js';
import type { ColumnCipher } from '../column-cipher.js';
import type { KeyScopeKind } from '../key-scope.js';
import type { PlaintextColumn } from './plaintext-column.js';
import type { PrimaryKey } from './primary-key.js';
import type { TenantColumn } from './tenant-column.js';

/** An entity with encrypted columns, as the hooks need it. */
export interface EncryptedEntity {
  readonly metadata: EntityMetadata;
  /** The logical table: single-table inheritance has one for all its entities. */
  readonly tableId: string;
  readonly primaryKey: PrimaryKey;
  readonly keyScope: KeyScopeKind;
  /** Of one whose rows are of tenants, if a column says whose. */
  readonly tenantColumn?: TenantColumn;
  readonly ciphers: ReadonlyMap<ColumnMetadata, ColumnCipher>;
  /** By the encrypted column. */
  readonly indexes: ReadonlyMap<ColumnMetadata, IndexedColumn>;
  /** By the encrypted column, of those that take the place of plaintext. */
  readonly plaintexts: ReadonlyMap<ColumnMetadata, PlaintextColumn>;
}

/** A searchable column, with the column beside it that holds its blind index. */
export interface IndexedColumn {
  readonly tableId: string;
  readonly source: ColumnMetadata;
  readonly column: ColumnMetadata;
  readonly index: BlindIndex;
  readonly cipher: ColumnCipher;
}

/** The encrypted entities of a data source. */
export type EncryptedEntities = ReadonlyMap<EntityMetadata, EncryptedEntity>;
