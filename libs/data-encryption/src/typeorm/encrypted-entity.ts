import type { EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { ColumnCipher } from '../column-cipher.js';
import type { PrimaryKey } from './primary-key.js';

/** An entity with encrypted columns, as the hooks need it. */
export interface EncryptedEntity {
  readonly metadata: EntityMetadata;
  /** The logical table: single-table inheritance has one for all its entities. */
  readonly tableId: string;
  readonly primaryKey: PrimaryKey;
  readonly ciphers: ReadonlyMap<ColumnMetadata, ColumnCipher>;
}

/** The encrypted entities of a data source. */
export type EncryptedEntities = ReadonlyMap<EntityMetadata, EncryptedEntity>;
