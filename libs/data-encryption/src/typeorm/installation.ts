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
import type { BlindIndexKeys } from '../blind-index-keys.js';
import { EncryptedNames } from './encrypted-names.js';
import type { EncryptedEntities, EncryptedEntity, IndexedColumn } from './encrypted-entity.js';
import type { EncryptedCells } from './encrypted-cells.js';
import { SearchParameters } from './search-parameters.js';
import type { SelectedRow } from './selected-rows.js';

/** What the hooks know about one data source, and what they hand each other while a statement is built or a result read. */
export class Installation {
  readonly names: EncryptedNames;
  readonly ciphers: ReadonlyMap<ColumnMetadata, ColumnCipher>;
  readonly search: SearchParameters;
  /** Columns of blind indexes, each with the column it is the index of. */
  readonly indexed: ReadonlyMap<ColumnMetadata, IndexedColumn>;
  /** Set while an update is built, which is synchronous: what its blind indexes become. */
  indexing?: ReadonlyMap<ColumnMetadata, string | null>;
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
    readonly ring: DataKeyRing<QueryRunner, CellKey>,
    readonly leases: DataKeyLeases<QueryRunner>,
    readonly indexKeys: BlindIndexKeys<QueryRunner>,
    readonly observer: Required<DataEncryptionObserver>,
  ) {
    this.names = new EncryptedNames(entities);
    const indexed = [...entities.values()].flatMap((entity) => [...entity.indexes.values()]);
    this.indexed = new Map(indexed.map((each) => [each.column, each]));
    this.search = new SearchParameters(indexed, indexKeys);
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

  /**
   * Makes the keys of blind indexes ready for a statement that is about to be built.
   * @param build  the part of the statement that has its conditions; asked only when keys are missing or too old
   * @throws {DataEncryptionError} as `DataKeyLeases.reserve`
   */
  async readyToSearch(build: () => string, session?: QueryRunner): Promise<void> {
    if (!this.indexKeys.isFresh) await this.readyToIndex(this.search.tablesIn(build()), session);
  }

  /** The same for the indexes of tables. */
  async readyToIndex(tableIds: Iterable<string>, session?: QueryRunner): Promise<void> {
    if (this.indexKeys.isFresh) return;
    try {
      for (const tableId of tableIds) {
        if (this.indexKeys.isFreshFor(tableId)) continue;
        if (this.indexKeys.isLoaded(tableId)) await this.indexKeys.load(tableId, session);
        else await this.leases.ready(tableId);
      }
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
