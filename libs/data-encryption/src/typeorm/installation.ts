import type { DataSource, EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import type { QueryRunner } from 'typeorm';
import type { ColumnCipher } from '../column-cipher.js';
import type { CellKey } from '../data-key.js';
import { DataEncryptionError } from '../errors.js';
import type { DataEncryptionObserver } from '../observer.js';
import type { DataKeyId } from '../envelope.js';
import type { DataKeyLeases } from '../data-key-lease.js';
import type { DataKeyRing } from '../data-key-ring.js';
import { EncryptedNames } from './encrypted-names.js';
import type { EncryptedEntities, EncryptedEntity } from './encrypted-entity.js';
import type { EncryptedCells } from './encrypted-cells.js';
import type { SelectedRow } from './selected-rows.js';

/** What the hooks know about one data source, and what they hand each other while a statement is built or a result read. */
export class Installation {
  readonly names: EncryptedNames;
  readonly ciphers: ReadonlyMap<ColumnMetadata, ColumnCipher>;
  /** Set while the values of one row are turned into parameters, which is synchronous. */
  writing?: EncryptedCells;
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
    readonly observer: Required<DataEncryptionObserver>,
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

  /** The key for so many cells of a statement, see `DataKeyLeases.reserve`. */
  async reserveKey(entity: EncryptedEntity, cells: number, session?: QueryRunner): Promise<CellKey> {
    try {
      return await this.leases.reserve(entity.tableId, cells, session);
    } catch (error) {
      this.noteFailure(error);
      throw error;
    }
  }

  /** Builds a statement, which is synchronous, and tells the observer when it fails for its cells. */
  observeBuilding(build: () => string): string {
    try {
      return build();
    } catch (error) {
      this.noteFailure(error);
      throw error;
    }
  }

  noteFailure(error: unknown): void {
    if (error instanceof DataEncryptionError) this.observer.failed(error.code);
  }

  openKeys(ids: Iterable<DataKeyId>, session?: QueryRunner): Promise<ReadonlyMap<DataKeyId, CellKey>> {
    return this.ring.open(ids, session);
  }
}
