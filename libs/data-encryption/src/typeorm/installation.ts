import type { DataSource, EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { QueryRunner } from 'typeorm';
import type { ColumnCipher } from '../column-cipher.js';
import type { CellKey } from '../data-key.js';
import type { DataKeyId } from '../envelope.js';
import type { DataKeyLeases } from '../data-key-lease.js';
import type { DataKeyRing } from '../data-key-ring.js';
import { EncryptedNames } from './encrypted-names.js';
import type { EncryptedEntities, EncryptedEntity } from './encrypted-entity.js';
import type { SelectedRow } from './selected-rows.js';

/** The row whose cells a statement is being written with. */
export interface RowBeingWritten {
  readonly cellKey: CellKey;
  /** Its associated data; undefined when the primary key is not known. */
  readonly row: Buffer | undefined;
}

/** What the hooks know about one data source, and what they hand each other while a statement is built or a result read. */
export class Installation {
  readonly names: EncryptedNames;
  readonly ciphers: ReadonlyMap<ColumnMetadata, ColumnCipher>;
  /** Set while the values of one row are turned into parameters, which is synchronous. */
  writing?: RowBeingWritten;
  /** Set while a result set is made into entities, which is synchronous: whether `decryptRows` has seen it. */
  hydrating?: { readonly isDecrypted: boolean };
  /** Result sets whose cells have been replaced by their values. */
  readonly decrypted = new WeakSet<object>();
  /** By select query builder: the cells its last statement selects. */
  readonly selections = new WeakMap<object, readonly SelectedRow[]>();

  constructor(
    readonly dataSource: DataSource,
    readonly entities: EncryptedEntities,
    readonly ring: DataKeyRing<QueryRunner>,
    readonly leases: DataKeyLeases<QueryRunner>,
  ) {
    this.names = new EncryptedNames(entities);
    this.ciphers = new Map([...entities.values()].flatMap((entity) => [...entity.ciphers]));
  }

  get tableIds(): ReadonlySet<string> {
    return new Set([...this.entities.values()].map((entity) => entity.tableId));
  }

  entity(metadata: EntityMetadata | undefined): EncryptedEntity | undefined {
    return metadata && this.entities.get(metadata);
  }

  openKeys(ids: Iterable<DataKeyId>, session?: QueryRunner): Promise<ReadonlyMap<DataKeyId, CellKey>> {
    return this.ring.open(ids, session);
  }
}
