import type { DataKeyKind, DataKeyRecord, DataKeyStore } from './data-key.js';
import { within } from './deadline.js';
import type { DataKeyId } from './envelope.js';
import { DataEncryptionError, isOutage, keyUnavailable } from './errors.js';
import type { KeyEncryptionKey } from './key-encryption-key.js';
import type { DataEncryptionObserver } from './observer.js';

export interface DataKeyRingOptions<Session, Key> {
  /** Keys of another purpose are not found. */
  readonly kind: DataKeyKind<Key>;
  readonly databaseId: string;
  readonly kek: KeyEncryptionKey;
  readonly store: DataKeyStore<Session>;
  readonly maxAgeSeconds: number;
  readonly outageSeconds: number;
  readonly observer?: Required<DataEncryptionObserver>;
  /** How long the database may take to answer: its pool may be used up by those who wait for the key. */
  readonly deadlineMilliseconds?: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/** fresh: in use · outage: in use only because the HSM is down · expired: not in use until the HSM decrypts it again */
export type HeldKeyState = 'fresh' | 'outage' | 'expired';

interface HeldKey<Key> {
  readonly key: Key;
  readonly freshUntil: number;
  /** Set while the HSM is down: when to ask it again. */
  retryAt?: number;
}

/** While the HSM is down, how long a stale key serves before the HSM is asked again. */
const retryMilliseconds = 5_000;

/**
 * The data keys a process holds, by the ids that cells name. A key is decrypted by the HSM once, by one call however many
 * ask, and again when it is older than `maxAgeSeconds`. While the HSM is down an older key serves for `outageSeconds` more,
 * then it is forgotten. A refusal (the KEK is gone, the key was altered) is no outage: it drops the key at once.
 */
export class DataKeyRing<Session, Key> {
  readonly #held = new Map<DataKeyId, HeldKey<Key>>();
  readonly #loading = new Map<DataKeyId, Promise<Key | undefined>>();
  readonly #now: () => number;
  #isClosed = false;

  constructor(private readonly options: DataKeyRingOptions<Session, Key>) {
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * The keys of these ids; one that is not stored is missing from the result.
   * @param session  read the stored keys through it: whoever holds a connection and waits here must not wait for another
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CLOSED
   */
  async open(ids: Iterable<DataKeyId>, session?: Session): Promise<ReadonlyMap<DataKeyId, Key>> {
    this.#assertOpen();
    this.#forgetExpired();
    const opened = new Map<DataKeyId, Key>();
    const missing: DataKeyId[] = [];
    for (const id of ids) {
      const key = this.#usable(id);
      if (key === undefined) missing.push(id);
      else opened.set(id, key);
    }
    if (missing.length === 0) return opened;

    this.#startLoading(
      missing.filter((id) => !this.#loading.has(id)),
      session,
    );
    const results = await Promise.allSettled(missing.map(async (id) => this.#loading.get(id)));
    for (const [index, result] of results.entries()) {
      if (result.status === 'rejected') throw result.reason;
      if (result.value !== undefined) opened.set(missing[index], result.value);
    }
    return opened;
  }

  /** @returns undefined for a key that is not held */
  state(id: DataKeyId): HeldKeyState | undefined {
    const held = this.#held.get(id);
    if (held === undefined) return undefined;
    if (this.#now() >= this.#servesUntil(held)) return 'expired';
    return held.retryAt === undefined ? 'fresh' : 'outage';
  }

  get size(): number {
    return this.#held.size;
  }

  /** Forgets every key. Every later call throws ERR_DATA_CLOSED. */
  close(): void {
    this.#isClosed = true;
    this.#held.clear();
  }

  #forgetExpired(): void {
    const now = this.#now();
    for (const [id, held] of this.#held) if (now >= this.#servesUntil(held)) this.#held.delete(id);
  }

  #usable(id: DataKeyId): Key | undefined {
    const held = this.#held.get(id);
    if (held === undefined) return undefined;
    const now = this.#now();
    if (now < held.freshUntil) return held.key;
    return held.retryAt !== undefined && now < held.retryAt ? held.key : undefined;
  }

  #servesUntil(held: HeldKey<Key>): number {
    return held.freshUntil + this.options.outageSeconds * 1_000;
  }

  #startLoading(ids: readonly DataKeyId[], session?: Session): void {
    if (ids.length === 0) return;
    const records = this.#find(ids, session);
    for (const id of ids) {
      const loading = this.#load(id, records).finally(() => this.#loading.delete(id));
      this.#loading.set(id, loading);
    }
  }

  async #find(ids: readonly DataKeyId[], session?: Session): Promise<ReadonlyMap<DataKeyId, DataKeyRecord>> {
    const { kind, store, deadlineMilliseconds = 5_000 } = this.options;
    try {
      const records = await within(store.find(ids, session), deadlineMilliseconds, () =>
        Error(`none within ${deadlineMilliseconds} ms`),
      );
      return new Map(records.filter(({ purpose }) => purpose === kind.purpose).map((record) => [record.id, record]));
    } catch (error) {
      throw keyUnavailable('data keys: want an answer of the database', error);
    }
  }

  async #load(id: DataKeyId, records: Promise<ReadonlyMap<DataKeyId, DataKeyRecord>>): Promise<Key | undefined> {
    const held = this.#held.get(id);
    try {
      const record = (await records).get(id);
      if (record === undefined) {
        this.#held.delete(id);
        return undefined;
      }
      const key = await this.#unwrap(record);
      this.#assertOpen();
      this.#held.set(id, { key, freshUntil: this.#now() + this.options.maxAgeSeconds * 1_000 });
      return key;
    } catch (error) {
      const now = this.#now();
      if (held !== undefined && isOutage(error) && now < this.#servesUntil(held)) {
        held.retryAt = now + retryMilliseconds;
        return held.key;
      }
      this.#held.delete(id);
      throw error;
    }
  }

  async #unwrap(record: DataKeyRecord): Promise<Key> {
    const { kek, kind, databaseId, observer } = this.options;
    const start = performance.now();
    try {
      const key = await kind.open(kek, record, databaseId);
      observer?.dataKeyUnwrapped('OK', performance.now() - start);
      return key;
    } catch (error) {
      if (error instanceof DataEncryptionError) observer?.dataKeyUnwrapped(error.code, performance.now() - start);
      throw error;
    }
  }

  #assertOpen(): void {
    if (this.#isClosed)
      throw new DataEncryptionError('ERR_DATA_CLOSED', 'data encryption: want it open, got it closed');
  }
}
