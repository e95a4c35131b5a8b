import { type BlindIndex, type IndexKey, otherNormalization } from './blind-index.js';
import { createDataKey, type DataKeyRecord, type DataKeyStore } from './data-key.js';
import type { DataKeyRing } from './data-key-ring.js';
import type { DataKeyId } from './envelope.js';
import { keyUnavailable } from './errors.js';
import type { KeyEncryptionKey } from './key-encryption-key.js';
import { scopeKey } from './key-scope.js';
import { earlier, hasCome, later, longAgo, type Moment, never, thisMoment } from './moment.js';
import { isShredded } from './tenant.js';

export interface BlindIndexKeysOptions<Session> {
  readonly databaseId: string;
  readonly kek: KeyEncryptionKey;
  readonly store: DataKeyStore<Session>;
  readonly ring: DataKeyRing<Session, IndexKey>;
  /** The searchable columns of each table. */
  readonly indexes: ReadonlyMap<string, readonly BlindIndex[]>;
  /** Tables whose rows are of tenants: each tenant has index keys of its own. */
  readonly tenantTables?: ReadonlySet<string>;
  /** Tenants' tables held at a time. */
  readonly maxLoadedKeys: number;
  readonly maxAgeSeconds: number;
  readonly now?: () => Moment;
}

interface LoadedTable {
  /** By column, the active key of its index first. The keys themselves are in the ring alone. */
  readonly keys: ReadonlyMap<string, readonly DataKeyId[]>;
  readonly freshUntil: Moment;
}

/** While the HSM is down, how long the keys serve before it is asked again. */
const retryMilliseconds = 5_000;

/**
 * The keys of the blind indexes, held so that a statement, whose text is built synchronously, finds them. What is written is
 * written with the active key of a column; what is searched is searched with all of its keys, so that a key can be changed
 * while the rows are indexed anew.
 */
export class BlindIndexKeys<Session> {
  /** By table, where rows are no tenant's. */
  readonly #tables = new Map<string, LoadedTable>();
  /** By table and tenant, in the order in which they were used last. */
  readonly #tenants = new Map<string, LoadedTable>();
  readonly #loading = new Map<string, Promise<void>>();
  readonly #preparing = new Map<string, Promise<void>>();
  readonly #now: () => Moment;
  /** Until when every table is fresh that is no tenants'. */
  #freshUntil: Moment;

  constructor(private readonly options: BlindIndexKeysOptions<Session>) {
    this.#now = options.now ?? thisMoment;
    this.#freshUntil = this.#earliest();
  }

  /** Whether nothing needs to be loaded for tables that are no tenants': the one question that every statement asks. */
  get isFresh(): boolean {
    return !hasCome(this.#freshUntil, this.#now());
  }

  /** Also for a table without a searchable column. */
  isFreshFor(tableId: string, tenant = ''): boolean {
    if (!this.options.indexes.has(tableId)) return true;
    const table = this.#table(tableId, tenant);
    if (table === undefined || hasCome(table.freshUntil, this.#now())) return false;
    // Keys of a tenant may have made room for others'.
    return tenant === '' || [...table.keys.values()].flat().every((id) => this.options.ring.peek(id) !== undefined);
  }

  isLoaded(tableId: string, tenant = ''): boolean {
    return this.#table(tableId, tenant) !== undefined;
  }

  /**
   * Makes the keys that a table lacks, and loads all of them.
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_MAPPING_INVALID when an index was made with
   * another normalization
   */
  async prepare(tableId: string, tenant = ''): Promise<void> {
    const indexes = this.options.indexes.get(tableId);
    if (indexes === undefined || this.isFreshFor(tableId, tenant)) return;
    await once(this.#preparing, place(tableId, tenant), () => this.#prepare(indexes, tableId, tenant));
  }

  /**
   * Loads the keys of a table, once however many ask.
   * @param session  as of `DataKeyRing.open`
   * @throws {DataEncryptionError} as `prepare`
   */
  async load(tableId: string, tenant = '', session?: Session): Promise<void> {
    await once(this.#loading, place(tableId, tenant), () => this.#load(tableId, tenant, session));
  }

  /**
   * The keys of an index, its active one first.
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE when they are not loaded or have expired
   */
  keys(tableId: string, { columnId, name }: BlindIndex, tenant = ''): readonly IndexKey[] {
    const table = this.#table(tableId, tenant);
    const ids = table?.keys.get(columnId) ?? [];
    const keys: IndexKey[] = [];
    for (const id of ids) {
      const key = this.options.ring.peek(id);
      if (key !== undefined) keys.push(key);
    }
    if (table !== undefined && keys.length > 0 && keys.length === ids.length) {
      if (tenant !== '') this.#hold(place(tableId, tenant), table);
      return keys;
    }
    throw keyUnavailable(`blind index of ${name}: want its key loaded, got none`);
  }

  /** Forgets the keys of a tenant. */
  dropTenant(tenant: string): void {
    for (const tableId of this.options.tenantTables ?? []) this.#tenants.delete(place(tableId, tenant));
    this.options.ring.dropTenant(tenant);
  }

  /** Keys held. */
  get size(): number {
    return this.options.ring.size;
  }

  /** Forgets every key. */
  close(): void {
    this.options.ring.close();
    this.#tables.clear();
    this.#tenants.clear();
    this.#freshUntil = longAgo;
  }

  async #prepare(indexes: readonly BlindIndex[], tableId: string, tenant: string): Promise<void> {
    const { store, kek, databaseId } = this.options;
    const records = await this.#find(store.findIndexKeys(tableId, tenant));
    for (const { columnId, algorithm } of indexes) {
      if (findActive(records, columnId) !== undefined) continue;
      await this.#find(store.refuseShredded({ tableId, columnId, tenant }));
      // Another process may be faster: whichever is stored is loaded.
      await store.add(await createDataKey(kek, databaseId, { purpose: 'index', tableId, columnId, tenant }, algorithm));
    }
    await this.load(tableId, tenant);
  }

  async #load(tableId: string, tenant: string, session?: Session): Promise<void> {
    const { indexes, store, ring, maxAgeSeconds } = this.options;
    const records = await this.#find(store.findIndexKeys(tableId, tenant, session));
    const wanted = new Map((indexes.get(tableId) ?? []).map((index) => [index, recordsOf(records, index)]));
    const ids = [...wanted.values()].flatMap((each) => each.map(({ id }) => id));
    const opened = await ring.open(ids, session);
    const keys = new Map<string, readonly DataKeyId[]>();
    for (const [{ columnId }, each] of wanted) {
      const ofColumn = each.flatMap(({ id }) => opened.get(id) ?? []);
      ofColumn.sort((left, right) => Number(right.isActive) - Number(left.isActive));
      keys.set(
        columnId,
        ofColumn.map(({ id }) => id),
      );
    }
    const isOutage = ids.some((id) => ring.state(id) === 'outage');
    const freshUntil = later(this.#now(), isOutage ? retryMilliseconds : maxAgeSeconds * 1_000);
    if (tenant !== '') return this.#hold(place(tableId, tenant), { keys, freshUntil });
    this.#tables.set(tableId, { keys, freshUntil });
    this.#freshUntil = this.#earliest();
  }

  #table(tableId: string, tenant: string): LoadedTable | undefined {
    return tenant === '' ? this.#tables.get(tableId) : this.#tenants.get(place(tableId, tenant));
  }

  #earliest(): Moment {
    const { indexes, tenantTables } = this.options;
    const tableIds = [...indexes.keys()].filter((tableId) => !tenantTables?.has(tableId));
    return tableIds.map((tableId) => this.#tables.get(tableId)?.freshUntil ?? longAgo).reduce(earlier, never);
  }

  #hold(at: string, table: LoadedTable): void {
    this.#tenants.delete(at);
    this.#tenants.set(at, table);
    if (this.#tenants.size <= this.options.maxLoadedKeys) return;
    const [oldest] = this.#tenants.keys();
    this.#tenants.delete(oldest);
  }

  async #find<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (isShredded(error)) throw error;
      throw keyUnavailable('keys of blind indexes: want an answer of the database', error);
    }
  }
}

function findActive(records: readonly DataKeyRecord[], columnId: string): DataKeyRecord | undefined {
  return records.find((record) => record.columnId === columnId && record.state === 'active');
}

/** The stored keys of an index. Older ones of another normalization have no texts that could be found. */
function recordsOf(records: readonly DataKeyRecord[], index: BlindIndex): readonly DataKeyRecord[] {
  const active = findActive(records, index.columnId);
  if (active === undefined) throw keyUnavailable(`blind index of ${index.name}: want its active key, got none`);
  if (active.algorithm !== index.algorithm) throw otherNormalization(index, active.algorithm);
  return records.filter(({ columnId, algorithm }) => columnId === index.columnId && algorithm === index.algorithm);
}

function place(tableId: string, tenant: string): string {
  return scopeKey({ tableId, columnId: '', tenant });
}

/** Does something once, however many ask at a time. */
async function once(running: Map<string, Promise<void>>, key: string, work: () => Promise<void>): Promise<void> {
  let run = running.get(key);
  if (run === undefined) {
    run = work().finally(() => running.delete(key));
    running.set(key, run);
  }
  await run;
}
