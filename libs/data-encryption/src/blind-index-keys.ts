import { type BlindIndex, type IndexKey, otherNormalization } from './blind-index.js';
import { createDataKey, type DataKeyRecord, type DataKeyStore } from './data-key.js';
import type { DataKeyRing } from './data-key-ring.js';
import { keyUnavailable } from './errors.js';
import type { KeyEncryptionKey } from './key-encryption-key.js';

export interface BlindIndexKeysOptions<Session> {
  readonly databaseId: string;
  readonly kek: KeyEncryptionKey;
  readonly store: DataKeyStore<Session>;
  readonly ring: DataKeyRing<Session, IndexKey>;
  /** The searchable columns of each table. */
  readonly indexes: ReadonlyMap<string, readonly BlindIndex[]>;
  readonly maxAgeSeconds: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

interface LoadedTable {
  /** The active key of each index first. */
  readonly keys: ReadonlyMap<string, readonly IndexKey[]>;
  readonly freshUntil: number;
}

/** While the HSM is down, how long the keys serve before it is asked again. */
const retryMilliseconds = 5_000;

/**
 * The keys of the blind indexes, held so that a statement, whose text is built synchronously, finds them. What is written is
 * written with the active key of a column; what is searched is searched with all of its keys, so that a key can be changed
 * while the rows are indexed anew.
 */
export class BlindIndexKeys<Session> {
  readonly #tables = new Map<string, LoadedTable>();
  readonly #loading = new Map<string, Promise<void>>();
  readonly #now: () => number;
  /** Until when every table is fresh. */
  #freshUntil = -Infinity;

  constructor(private readonly options: BlindIndexKeysOptions<Session>) {
    this.#now = options.now ?? (() => performance.now());
    if (options.indexes.size === 0) this.#freshUntil = Infinity;
  }

  /** Whether nothing needs to be loaded: the one question that every statement asks. */
  get isFresh(): boolean {
    return this.#now() < this.#freshUntil;
  }

  /** Also for a table without a searchable column. */
  isFreshFor(tableId: string): boolean {
    if (!this.options.indexes.has(tableId)) return true;
    return this.#now() < (this.#tables.get(tableId)?.freshUntil ?? -Infinity);
  }

  isLoaded(tableId: string): boolean {
    return this.#tables.has(tableId);
  }

  /**
   * Makes the keys that a table lacks, and loads all of them.
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_MAPPING_INVALID when an index was made with
   * another normalization
   */
  async prepare(tableId: string): Promise<void> {
    const indexes = this.options.indexes.get(tableId);
    if (indexes === undefined || this.isFreshFor(tableId)) return;
    const { store, kek, databaseId } = this.options;
    const records = await store.findIndexKeys(tableId);
    for (const { columnId, algorithm } of indexes) {
      if (findActive(records, columnId) !== undefined) continue;
      // Another process may be faster: whichever is stored is loaded.
      await store.add(await createDataKey(kek, databaseId, { purpose: 'index', tableId, columnId }, algorithm));
    }
    await this.load(tableId);
  }

  /**
   * Loads the keys of a table, once however many ask.
   * @param session  as of `DataKeyRing.open`
   * @throws {DataEncryptionError} as `prepare`
   */
  async load(tableId: string, session?: Session): Promise<void> {
    let loading = this.#loading.get(tableId);
    if (loading === undefined) {
      loading = this.#load(tableId, session).finally(() => this.#loading.delete(tableId));
      this.#loading.set(tableId, loading);
    }
    await loading;
  }

  /**
   * The keys of an index, its active one first.
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE when they are not loaded or have expired
   */
  keys(tableId: string, { columnId, name }: BlindIndex): readonly IndexKey[] {
    const keys = this.#tables.get(tableId)?.keys.get(columnId);
    const isServing = ({ id }: IndexKey) => ['fresh', 'outage'].includes(this.options.ring.state(id) ?? '');
    if (keys?.every(isServing)) return keys;
    throw keyUnavailable(`blind index of ${name}: want its key loaded, got none`);
  }

  /** Keys held. */
  get size(): number {
    return this.options.ring.size;
  }

  /** Forgets every key. */
  close(): void {
    this.options.ring.close();
    this.#tables.clear();
    this.#freshUntil = -Infinity;
  }

  async #load(tableId: string, session?: Session): Promise<void> {
    const { indexes, store, ring, maxAgeSeconds } = this.options;
    const records = await this.#find(store.findIndexKeys(tableId, session));
    const wanted = new Map((indexes.get(tableId) ?? []).map((index) => [index, recordsOf(records, index)]));
    const ids = [...wanted.values()].flatMap((each) => each.map(({ id }) => id));
    const opened = await ring.open(ids, session);
    const keys = new Map<string, readonly IndexKey[]>();
    for (const [{ columnId }, each] of wanted) {
      const ofColumn = each.flatMap(({ id }) => opened.get(id) ?? []);
      keys.set(
        columnId,
        ofColumn.sort((left, right) => Number(right.isActive) - Number(left.isActive)),
      );
    }
    const isOutage = ids.some((id) => ring.state(id) === 'outage');
    const freshUntil = this.#now() + (isOutage ? retryMilliseconds : maxAgeSeconds * 1_000);
    this.#tables.set(tableId, { keys, freshUntil });
    const isComplete = this.#tables.size === indexes.size;
    this.#freshUntil = isComplete
      ? Math.min(...[...this.#tables.values()].map((table) => table.freshUntil))
      : -Infinity;
  }

  async #find(records: Promise<readonly DataKeyRecord[]>): Promise<readonly DataKeyRecord[]> {
    try {
      return await records;
    } catch (error) {
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
