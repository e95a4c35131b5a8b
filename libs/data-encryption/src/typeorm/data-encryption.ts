import { randomUUID } from 'node:crypto';
import { DataSource, type EntityTarget, type MixedList, type ObjectLiteral, type QueryRunner } from 'typeorm';
import type { BlindIndex, IndexKey } from '../blind-index.js';
import { BlindIndexKeys } from '../blind-index-keys.js';
import { type DataEncryptionConfig, parseDataEncryptionConfig, type ParsedDataEncryptionConfig } from '../config.js';
import { type CellKey, cellKeys, indexKeys } from '../data-key.js';
import { DataKeyLeases, type DataKeyStatus } from '../data-key-lease.js';
import { DataKeyRing } from '../data-key-ring.js';
import { DataEncryptionError } from '../errors.js';
import { DataLifecycle } from './lifecycle/data-lifecycle.js';
import { refuseMissingCells } from './lifecycle/plaintext-counts.js';
import { KeyEncryptionKey } from '../key-encryption-key.js';
import { parseTenant, type Tenant, tenantMissing } from '../tenant.js';
import { type DataEncryptionObserver, guarded } from '../observer.js';
import { Tombstones } from '../shredding/tombstones.js';
import { addCheckConstraints } from './check-constraints.js';
import { databaseType, findDatabaseType } from './database-type.js';
import { driverMethods, type DriverInternals, encodeInDriver } from './driver-codec.js';
import type { EncryptedEntities } from './encrypted-entity.js';
import { warnOfFewValues } from './few-values.js';
import { installHooks, refuseMissing, register } from './hooks.js';
import { Installation, tenantTables } from './installation.js';
import type { KeyScope } from '../key-scope.js';
import { refuseUnfitColumns } from './mariadb/column-check.js';
import { fitColumns } from './mariadb/column-types.js';
import { refuseCountedKeys } from './mariadb/key-sequence.js';
import { refuseUnfitServer } from './mariadb/server-settings.js';
import { mapEncryptedEntities } from './mapping.js';
import { decryptRaw, type RawNames } from './raw-rows.js';
import { TypeOrmDataKeyStore } from './store/data-key.store.js';
import { libraryEntities } from './store/library-entities.js';
import { ShreddingStore } from './store/shredding.store.js';

// Of the global registry: the command line asks an application's data source, with the application's copy of this library.
const attachedKey = Symbol.for('@nest-hsm/data-encryption:attached');

/**
 * Encrypts the `@EncryptedColumn` properties of a data source. Call it before `initialize()`; the table of data keys is made
 * by `dataEncryptionMigrations` or by `synchronize`.
 * @returns the same data source
 * @throws {DataEncryptionError} ERR_DATA_CONFIG_INVALID | ERR_DATA_TYPEORM_INCOMPATIBLE
 */
export function withDataEncryption(dataSource: DataSource, config: DataEncryptionConfig): DataSource {
  new DataEncryption(config).attach(dataSource);
  return dataSource;
}

/**
 * Column encryption of one data source, from its `initialize()` to its `destroy()`.
 *
 * `initialize()` makes the data keys ready. It throws ERR_DATA_MAPPING_INVALID for entities that cannot be encrypted,
 * ERR_DATA_BACKFILL_INCOMPLETE for a column that is read from cells which are not there yet, and ERR_DATA_KEY_REJECTED when the HSM
 * refuses the KEK. With the HSM down it succeeds, `status()` says `unready`, and encrypted
 * columns fail with ERR_DATA_KEY_UNAVAILABLE until the HSM answers.
 */
export class DataEncryption {
  readonly #config: ParsedDataEncryptionConfig;
  readonly #observer: Required<DataEncryptionObserver>;
  #installation?: Installation;
  #lifecycle?: DataLifecycle;

  /** @throws {DataEncryptionError} ERR_DATA_CONFIG_INVALID */
  constructor(config: DataEncryptionConfig, observer: DataEncryptionObserver = {}) {
    this.#config = parseDataEncryptionConfig(config);
    this.#observer = guarded(observer);
  }

  /** What a data source is encrypted by, also when another copy of this library did it. */
  static of(dataSource: DataSource): DataEncryption | undefined {
    return (dataSource as { [attachedKey]?: DataEncryption })[attachedKey];
  }

  /** Asks the HSM for data keys that have grown too old, then says how things are. */
  async check(): Promise<DataKeyStatus> {
    await this.#installation?.leases.check();
    return this.status();
  }

  status(): DataKeyStatus {
    const installation = this.#installation;
    if (installation === undefined) return { state: 'closed', loadedKeys: 0, unready: [] };
    const status = installation.leases.status();
    return { ...status, loadedKeys: status.loadedKeys + installation.indexKeys.size };
  }

  /**
   * The rotation of its keys, and what else an operator does.
   * @throws {DataEncryptionError} ERR_DATA_CLOSED before `initialize()`
   */
  get lifecycle(): DataLifecycle {
    if (this.#lifecycle !== undefined) return this.#lifecycle;
    throw new DataEncryptionError('ERR_DATA_CLOSED', 'data encryption: want it initialized, got it not yet');
  }

  /**
   * Makes the data keys of a tenant, which otherwise are made when it is first written for. On SQLite, whose one connection may be in a
   * transaction then, that needs a tenant in context or this.
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_SHREDDED | ERR_DATA_VALUE_INVALID | ERR_DATA_CLOSED
   */
  async prepareTenant(tenant: Tenant): Promise<void> {
    const parsed = parseTenant(tenant);
    if (parsed === undefined) throw tenantMissing('tenant: want one to make keys for');
    await this.#opened().prepareTenant(parsed);
  }

  /**
   * Decrypts what a statement passed to `query()` returned: the cells of an entity are replaced by their values, in place. The rows need
   * the entity's primary key.
   * @param names  by property path: under which name the result has it, where that is not the database column's
   * @throws {DataEncryptionError} ERR_DATA_DECRYPTION_FAILED | ERR_DATA_OPERATION_REFUSED without the primary key |
   * ERR_DATA_MAPPING_INVALID for an entity without encrypted columns | ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CLOSED
   */
  async decryptRaw<Row extends object>(
    entity: EntityTarget<ObjectLiteral>,
    rows: readonly Row[],
    names: RawNames = {},
  ): Promise<readonly Row[]> {
    const installation = this.#opened();
    await decryptRaw(installation, installation.dataSource.getMetadata(entity), rows, names);
    return rows;
  }

  /** Puts the hooks into a data source that has not been initialized. `withDataEncryption` in two steps. */
  attach(dataSource: DataSource): void {
    refuseUnsupported(dataSource);
    const driver = dataSource.driver as unknown as DriverInternals;
    refuseMissing(driverMethods.filter((name) => typeof driver[name] !== 'function').map((name) => `driver.${name}`));
    installHooks();
    encodeInDriver(driver, () => this.#installation);
    dataSource.setOptions({ entities: withLibraryEntities(dataSource) });
    Object.defineProperty(dataSource, attachedKey, { value: this });
    this.#followLife(dataSource);
  }

  #opened(): Installation {
    if (this.#installation !== undefined) return this.#installation;
    throw new DataEncryptionError('ERR_DATA_CLOSED', 'data encryption: want it initialized, got it not yet');
  }

  /** Installs when the entities are known and before anything is written, and makes keys ready when their table is there. */
  #followLife(dataSource: DataSource): void {
    let isReady = false;
    const prepare = async () => {
      const installation = this.#installation;
      if (!isReady || installation === undefined) return;
      if (installation.databaseType === 'mariadb') await refuseUnfitColumns(dataSource, installation.entities);
      // What fails, since the table is not made yet or the database is away, fails again where a tenant's key is wanted.
      if (installation.tenantTables.size > 0) await installation.tombstones.look().catch(() => undefined);
      await installation.leases.prepare(installation.standingScopes);
    };
    after(dataSource, 'buildMetadatas', () => this.#install(dataSource));
    after(dataSource, 'initialize', async () => {
      isReady = true;
      try {
        await prepare();
        await refuseMissingCells(dataSource, this.#installation?.entities ?? new Map());
      } catch (error) {
        await dataSource.destroy();
        throw error;
      }
      await warnOfFewValues(dataSource, this.#installation?.indexed.values() ?? []);
    });
    after(dataSource, 'runMigrations', prepare);
    after(dataSource, 'synchronize', prepare);
    before(dataSource, 'destroy', () => this.#installation?.tombstones.close());
    after(dataSource, 'destroy', () => {
      isReady = false;
      this.#installation?.leases.close();
      this.#installation?.ring.close();
      this.#installation?.indexKeys.close();
    });
  }

  async #install(dataSource: DataSource): Promise<void> {
    const { hsm, kekLabel, createKek, kekPerTenant, tenant, ...options } = this.#config;
    const { databaseId } = options;
    const isMariadb = databaseType(dataSource) === 'mariadb';
    if (isMariadb) await refuseUnfitServer(dataSource);
    const entities = mapEncryptedEntities(dataSource, databaseId, tenant !== undefined);
    if (isMariadb) await refuseCountedKeys(dataSource, entities);
    if (isMariadb) fitColumns(dataSource, entities);
    addCheckConstraints(entities);
    const shreddings = new ShreddingStore(dataSource);
    const store = new TypeOrmDataKeyStore(dataSource, shreddings);
    const tombstones = new Tombstones({
      ...{ processId: randomUUID(), store: shreddings, leaseSeconds: options.leaseSeconds },
      forget: (of) => {
        ring.dropTenant(of);
        leases.dropTenant(of);
        blindIndexKeys.dropTenant(of);
      },
      forgetAll: () => {
        ring.dropTenants();
        indexRing.dropTenants();
      },
    });
    const kekOptions = { hsm, label: kekLabel, create: createKek, databaseId, perTenant: kekPerTenant };
    const kek = new KeyEncryptionKey(kekOptions);
    const admit = (of: Tenant) => tombstones.admit(of);
    const ringOptions = { ...options, kek, store, admit, observer: this.#observer };
    const ring = new DataKeyRing<QueryRunner, CellKey>({ ...ringOptions, kind: cellKeys });
    const indexRing = new DataKeyRing<QueryRunner, IndexKey>({ ...ringOptions, kind: indexKeys });
    const indexes = blindIndexes(entities);
    const blindIndexKeys = new BlindIndexKeys<QueryRunner>({
      ...{ ...options, kek, store, ring: indexRing, indexes },
      tenantTables: tenantTables(entities),
    });
    const prepareScope = ({ tableId, tenant: of }: KeyScope) => blindIndexKeys.prepare(tableId, of);
    const leases = new DataKeyLeases<QueryRunner>({ ...options, kek, store, ring, prepareScope });
    const installation = new Installation(
      dataSource,
      entities,
      ring,
      leases,
      blindIndexKeys,
      this.#observer,
      tombstones,
      shreddings,
      tenant,
    );
    // From here on the hooks stand where the columns refused to work without them.
    for (const column of [...installation.ciphers.keys(), ...installation.indexed.keys()])
      column.transformer = undefined;
    // What TypeORM calls a column that no entity has: it neither sets it in one nor reads it from one.
    for (const column of installation.indexed.keys()) column.isVirtual = true;
    register(installation);
    this.#installation = installation;
    this.#lifecycle = new DataLifecycle(installation, store, kek, databaseId, hsm);
  }
}

/** By table; entities of one table share the columns that they inherit. */
function blindIndexes(entities: EncryptedEntities): ReadonlyMap<string, readonly BlindIndex[]> {
  const byTable = new Map<string, Map<string, BlindIndex>>();
  for (const { tableId, indexes } of entities.values()) {
    const ofTable = byTable.get(tableId) ?? new Map<string, BlindIndex>();
    for (const { index } of indexes.values()) ofTable.set(index.columnId, index);
    if (ofTable.size > 0) byTable.set(tableId, ofTable);
  }
  return new Map([...byTable].map(([tableId, ofTable]) => [tableId, [...ofTable.values()]]));
}

function refuseUnsupported(dataSource: DataSource): void {
  const fault = (message: string) => new DataEncryptionError('ERR_DATA_CONFIG_INVALID', `data source: ${message}`);
  // The hooks are put into the TypeORM that this library imports.
  if (!(dataSource instanceof DataSource))
    throw fault('want one of the TypeORM this library uses, got one of another copy');
  if (findDatabaseType(dataSource) === undefined)
    throw fault(`want type better-sqlite3, mariadb, mysql or postgres, got ${dataSource.options.type}`);
  if (dataSource.isInitialized) throw fault('want encryption attached before initialize(), got it initialized');
  if (Object.hasOwn(dataSource, 'buildMetadatas')) throw fault('want encryption attached once, got it attached before');
}

type Entities = MixedList<Exclude<NonNullable<DataSource['options']['entities']>, unknown[]>[string]>;

function withLibraryEntities(dataSource: DataSource): Entities {
  const { entities } = dataSource.options;
  const given: unknown[] = Array.isArray(entities) ? entities : Object.values(entities ?? {});
  return [...given, ...libraryEntities(databaseType(dataSource))] as Entities;
}

type LifeMethod = 'buildMetadatas' | 'destroy' | 'initialize' | 'runMigrations' | 'synchronize';

/** Wraps one asynchronous method of a data source. */
function after(dataSource: DataSource, name: LifeMethod, next: () => void | Promise<void>): void {
  around(dataSource, name, async (original) => {
    const result = await original();
    await next();
    return result;
  });
}

function before(dataSource: DataSource, name: LifeMethod, first: () => void | Promise<void>): void {
  around(dataSource, name, async (original) => {
    await first();
    return original();
  });
}

function around(
  dataSource: DataSource,
  name: LifeMethod,
  call: (original: () => Promise<unknown>) => Promise<unknown>,
): void {
  const target = dataSource as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  const original = target[name].bind(dataSource);
  target[name] = async (...args) => call(() => original(...args));
}
