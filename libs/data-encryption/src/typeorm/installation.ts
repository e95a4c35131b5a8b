import type { DataSource, EntityMetadata, ObjectLiteral } from 'typeorm';
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
import { type KeyScope, scopeKey, scopeName, tableScope } from '../key-scope.js';
import type { Tombstones } from '../shredding/tombstones.js';
import { parseTenant, shredded, type Tenant, tenantMismatch, tenantMissing } from '../tenant.js';
import { type DatabaseType, databaseType } from './database-type.js';
import { EncryptedNames } from './encrypted-names.js';
import type { EncryptedEntities, EncryptedEntity, IndexedColumn } from './encrypted-entity.js';
import type { EncryptedCells } from './encrypted-cells.js';
import type { BuilderInternals } from './internals.js';
import { SearchParameters } from './search-parameters.js';
import { maySearch } from './searched-tables.js';
import type { ShreddingStore } from './store/shredding.store.js';
import { ShadowColumns } from './shadow-columns.js';
import type { SelectedRow } from './selected-rows.js';
import { type KeyDemand, StatementKeys } from './statement-keys.js';
import { strayingEntities } from './stray-cells.js';

/** The cells that a statement selects, and whether its result may have others. */
export interface Selection {
  readonly selected: readonly SelectedRow[];
  readonly mayStray: boolean;
}

/** What the hooks know about one data source, and what they hand each other while a statement is built or a result read. */
export class Installation {
  readonly databaseType: DatabaseType;
  readonly names: EncryptedNames;
  readonly ciphers: ReadonlyMap<ColumnMetadata, ColumnCipher>;
  readonly search: SearchParameters;
  /** Tables whose rows are of tenants. */
  readonly tenantTables: ReadonlySet<string>;
  /** Those among them, by their names in statements, that can be searched. */
  private readonly searchedTenantTables: ReadonlySet<string>;
  /** Columns of blind indexes, each with the column it is the index of. */
  readonly indexed: ReadonlyMap<ColumnMetadata, IndexedColumn>;
  readonly shadows: ShadowColumns;
  /** Set while an update is built, which is synchronous: what its blind indexes become. */
  indexing?: ReadonlyMap<ColumnMetadata, string | null>;
  /** Set likewise: the shadows that it writes. */
  shadowing: readonly ColumnMetadata[] = [];
  /** Set while the values of one row are turned into parameters, which is synchronous. */
  writing?: EncryptedCells;
  /** Set while a result set is made into entities, which is synchronous: whether `decryptRows` has seen it. */
  hydrating?: { readonly isDecrypted: boolean };
  /** Result sets whose cells have been replaced by their values. */
  readonly decrypted = new WeakSet<object>();
  /** By select query builder: what its last statement selects. */
  readonly selections = new WeakMap<object, Selection>();
  readonly straying: ReadonlySet<EntityMetadata>;

  constructor(
    readonly dataSource: DataSource,
    readonly entities: EncryptedEntities,
    readonly ring: DataKeyRing<QueryRunner, CellKey>,
    readonly leases: DataKeyLeases<QueryRunner>,
    readonly indexKeys: BlindIndexKeys<QueryRunner>,
    readonly observer: Required<DataEncryptionObserver>,
    readonly tombstones: Tombstones,
    readonly shreddings: ShreddingStore,
    private readonly resolveTenant?: () => string | undefined,
  ) {
    this.databaseType = databaseType(dataSource);
    this.names = new EncryptedNames(entities, this.databaseType === 'mariadb');
    this.shadows = new ShadowColumns(entities);
    this.straying = strayingEntities(dataSource.entityMetadatas);
    const indexed = [...entities.values()].flatMap((entity) => [...entity.indexes.values()]);
    this.indexed = new Map(indexed.map((each) => [each.column, each]));
    this.search = new SearchParameters(indexed, indexKeys, (tableId) => this.#searchedTenant(tableId));
    this.tenantTables = tenantTables(entities);
    this.searchedTenantTables = new Set(
      indexed.flatMap(({ tableId, source }) => (this.tenantTables.has(tableId) ? source.entityMetadata.tablePath : [])),
    );
    this.ciphers = new Map([...entities.values()].flatMap((entity) => [...entity.ciphers]));
  }

  get tableIds(): ReadonlySet<string> {
    return new Set([...this.entities.values()].map((entity) => entity.tableId));
  }

  /** What is written with a key that is known from the start: tables, and columns that have their own. */
  get standingScopes(): readonly KeyScope[] {
    const ciphers = [...this.ciphers.values()].filter(({ identity }) => identity.keyScope !== 'tenant');
    const scopes = ciphers.map((cipher) => cipher.scope(''));
    return [...new Map(scopes.map((scope) => [scopeKey(scope), scope])).values()];
  }

  entity(metadata: EntityMetadata | undefined): EncryptedEntity | undefined {
    return metadata && this.entities.get(metadata);
  }

  /**
   * The tenant that the work under way is for.
   * @throws {DataEncryptionError} ERR_DATA_VALUE_INVALID
   */
  currentTenant(): Tenant | undefined {
    return this.tenantTables.size === 0 ? undefined : parseTenant(this.resolveTenant?.());
  }

  /**
   * Whose a row that is written is: as the work under way is for and as the row says, which must be the same.
   * @returns empty where rows are no tenants'
   * @throws {DataEncryptionError} ERR_DATA_TENANT_MISSING | ERR_DATA_TENANT_MISMATCH | ERR_DATA_VALUE_INVALID
   */
  tenantOf({ keyScope, tenantColumn, metadata }: EncryptedEntity, row: ObjectLiteral): string {
    if (keyScope !== 'tenant') return '';
    const current = this.currentTenant();
    const said = tenantColumn?.ofEntity(row);
    if (current !== undefined && said !== undefined && current !== said) throw tenantMismatch(metadata.name);
    const tenant = current ?? said;
    if (tenant === undefined) throw tenantMissing(`${metadata.name}: want a tenant to write for`);
    return tenant;
  }

  /** Makes the keys of a tenant ready, in every table that has rows of tenants. */
  async prepareTenant(tenant: Tenant): Promise<void> {
    await this.tombstones.refresh();
    for (const tableId of this.tenantTables) {
      const scope = { tableId, columnId: '', tenant };
      await this.leases.ready(scope);
      await this.indexKeys.prepare(tableId, tenant);
    }
  }

  /**
   * The keys for so many cells of a statement, see `DataKeyLeases.reserve`.
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_SHREDDED | ERR_DATA_CLOSED
   */
  async reserveKeys(demand: KeyDemand, session?: QueryRunner): Promise<StatementKeys> {
    try {
      await this.#refuseShredded(demand, session);
      const keys = new StatementKeys();
      for (const { scope, messages } of demand.entries()) {
        keys.add(scope, await this.leases.reserve(scope, messages, session));
      }
      return keys;
    } catch (error) {
      this.noteFailure(error);
      throw error;
    }
  }

  /**
   * Makes the keys of blind indexes ready for a statement that is about to be built.
   * @param build  the part of the statement that has its conditions; asked only when keys are missing or too old, or may be a tenant's
   * @throws {DataEncryptionError} as `DataKeyLeases.reserve`, and ERR_DATA_TENANT_MISSING
   */
  async readyToSearch(
    builder: BuilderInternals,
    build: () => string,
    session: QueryRunner | undefined = builder.queryRunner,
  ): Promise<void> {
    if (this.isReadyToSearch(builder)) return;
    for (const tableId of this.search.tablesIn(build())) {
      await this.#readyIndexKeys(tableId, this.#searchedTenant(tableId), session);
    }
  }

  /** Whether `readyToSearch` has nothing to do. */
  isReadyToSearch({ expressionMap }: BuilderInternals): boolean {
    return this.indexKeys.isFresh && !maySearch(expressionMap, this.searchedTenantTables);
  }

  /** The same for the indexes of rows that are about to be written. */
  async readyToIndex({ tableId, keyScope }: EncryptedEntity, demand: KeyDemand, session?: QueryRunner): Promise<void> {
    if (this.indexKeys.isFresh && keyScope !== 'tenant') return;
    const tenants = new Set([...demand.entries()].map(({ scope }) => scope.tenant));
    for (const tenant of tenants) await this.#readyIndexKeys(tableId, tenant, session);
  }

  /** In the writer's own transaction: from the tombstone on nothing is written for the tenant. */
  async #refuseShredded(demand: KeyDemand, session?: QueryRunner): Promise<void> {
    const scopes = [...demand.entries()].map(({ scope }) => scope).filter(({ tenant }) => tenant !== '');
    if (scopes.length === 0) return;
    await this.tombstones.refresh();
    const gone = new Set(await this.shreddings.shreddedOf([...new Set(scopes.map(({ tenant }) => tenant))], session));
    const scope = scopes.find(({ tenant }) => gone.has(tenant));
    if (scope !== undefined) throw shredded(scopeName(scope));
  }

  async #readyIndexKeys(tableId: string, tenant: string, session?: QueryRunner): Promise<void> {
    if (tenant !== '') await this.tombstones.refresh();
    if (this.indexKeys.isFreshFor(tableId, tenant)) return;
    try {
      if (this.indexKeys.isLoaded(tableId, tenant)) await this.indexKeys.load(tableId, tenant, session);
      else if (tenant === '') await this.leases.ready(tableScope(tableId));
      else await this.indexKeys.prepare(tableId, tenant);
    } catch (error) {
      this.noteFailure(error);
      throw error;
    }
  }

  /** An index is searched with one tenant's key: of rows of all tenants it finds nothing. */
  #searchedTenant(tableId: string): string {
    if (!this.tenantTables.has(tableId)) return '';
    const tenant = this.currentTenant();
    if (tenant === undefined) throw tenantMissing(`${tableId}: want a tenant to search for`);
    return tenant;
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

  /** `openKeys` where nothing needs to be asked; never so where rows are tenants'. */
  heldKeys(ids: ReadonlySet<DataKeyId>): ReadonlyMap<DataKeyId, CellKey> | undefined {
    return this.tenantTables.size === 0 ? this.ring.held(ids) : undefined;
  }

  async openKeys(ids: ReadonlySet<DataKeyId>, session?: QueryRunner): Promise<ReadonlyMap<DataKeyId, CellKey>> {
    await this.#refreshTombstones(ids);
    return this.ring.open(ids, session);
  }

  /** The same without those of shredded tenants. */
  async openRemainingKeys(ids: ReadonlySet<DataKeyId>, session?: QueryRunner) {
    await this.#refreshTombstones(ids);
    return this.ring.openRemaining(ids, session);
  }

  /** Not for results without cells: what looks for tombstones has such itself. */
  async #refreshTombstones(ids: ReadonlySet<DataKeyId>): Promise<void> {
    if (this.tenantTables.size > 0 && ids.size > 0) await this.tombstones.refresh();
  }
}

/** Tables whose rows are of tenants. */
export function tenantTables(entities: EncryptedEntities): ReadonlySet<string> {
  const ofTenants = [...entities.values()].filter(({ keyScope }) => keyScope === 'tenant');
  return new Set(ofTenants.map(({ tableId }) => tableId));
}
