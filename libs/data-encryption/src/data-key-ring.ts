import type { DataKeyKind, DataKeyRecord, DataKeyStore } from './data-key.js';
import { within } from './deadline.js';
import type { DataKeyId } from './envelope.js';
import { DataEncryptionError, isOutage, keyUnavailable } from './errors.js';
import type { KeyEncryptionKey } from './key-encryption-key.js';
import { type KeyScope, scopeName } from './key-scope.js';
import { hasCome, later, longAgo, type Moment, thisMoment } from './moment.js';
import type { DataEncryptionObserver } from './observer.js';
import { isShredded, shredded } from './tenant.js';

export interface DataKeyRingOptions<Session, Key> {
  /** Keys of another purpose are not found. */
  readonly kind: DataKeyKind<Key>;
  readonly databaseId: string;
  readonly kek: KeyEncryptionKey;
  readonly store: DataKeyStore<Session>;
  readonly maxAgeSeconds: number;
  readonly outageSeconds: number;
  /** Keys held at a time: that of a tenant which was unused for longest makes room. */
  readonly maxLoadedKeys: number;
  readonly observer?: Required<DataEncryptionObserver>;
  /** Throws when the keys of a tenant must not be used any more, or it is not known whether they may. */
  readonly admit?: (tenant: string) => void;
  /** How long the database may take to answer: its pool may be used up by those who wait for the key. */
  readonly deadlineMilliseconds?: number;
  readonly now?: () => Moment;
}

/** fresh: in use · outage: in use only because the HSM is down · expired: not in use until the HSM decrypts it again */
export type HeldKeyState = 'fresh' | 'outage' | 'expired';

interface HeldKey<Key> {
  readonly key: Key;
  readonly freshUntil: Moment;
  readonly scope: KeyScope;
  /** Set while the HSM is down: when to ask it again. */
  retryAt?: Moment;
}

/** While the HSM is down, how long a stale key serves before the HSM is asked again. */
const retryMilliseconds = 5_000;
/** How often keys that expired unused are looked for. */
const sweepMilliseconds = 1_000;

/**
 * The data keys a process holds, by the ids that cells name. A key is decrypted by the HSM once, by one call however many
 * ask, and again when it is older than `maxAgeSeconds`. While the HSM is down an older key serves for `outageSeconds` more,
 * then it is forgotten. A refusal (the KEK is gone, the key was altered) is no outage: it drops the key at once.
 *
 * The bytes of a key are inside OpenSSL, which overwrites them when nobody holds the key any more: a statement that is being built
 * finishes with a key that the ring has dropped.
 */
export class DataKeyRing<Session, Key> {
  readonly #held = new Map<DataKeyId, HeldKey<Key>>();
  readonly #loading = new Map<DataKeyId, Promise<Key | undefined>>();
  readonly #now: () => Moment;
  #sweepAt = longAgo;
  /** How often the keys of all tenants were forgotten. */
  #droppings = 0;
  #isClosed = false;

  constructor(private readonly options: DataKeyRingOptions<Session, Key>) {
    this.#now = options.now ?? thisMoment;
  }

  /**
   * The keys of these ids; one that is not stored is missing from the result.
   * @param session  read the stored keys through it: whoever holds a connection and waits here must not wait for another
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_SHREDDED | ERR_DATA_CLOSED
   */
  async open(ids: Iterable<DataKeyId>, session?: Session): Promise<ReadonlyMap<DataKeyId, Key>> {
    const { opened, failures } = await this.#open(ids, session);
    for (const error of failures.values()) throw error;
    return opened;
  }

  /**
   * `open` where nobody needs to be asked.
   * @returns undefined when a key is not held or too old
   * @throws {DataEncryptionError} ERR_DATA_SHREDDED | ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_CLOSED
   */
  held(ids: Iterable<DataKeyId>): ReadonlyMap<DataKeyId, Key> | undefined {
    this.#assertOpen();
    this.#forgetExpired();
    const held = new Map<DataKeyId, Key>();
    for (const id of ids) {
      const key = this.#usable(id);
      if (key === undefined) return undefined;
      held.set(id, key);
    }
    return held;
  }

  /**
   * `open` for whoever looks at everything that is stored.
   * @returns beside the keys which of the ids are those of shredded ones
   */
  async openRemaining(
    ids: Iterable<DataKeyId>,
    session?: Session,
  ): Promise<{ readonly opened: ReadonlyMap<DataKeyId, Key>; readonly shredded: ReadonlySet<DataKeyId> }> {
    const { opened, failures } = await this.#open(ids, session);
    for (const error of failures.values()) if (!isShredded(error)) throw error;
    return { opened, shredded: new Set(failures.keys()) };
  }

  async #open(ids: Iterable<DataKeyId>, session?: Session) {
    this.#assertOpen();
    this.#forgetExpired();
    const opened = new Map<DataKeyId, Key>();
    const failures = new Map<DataKeyId, unknown>();
    const missing: DataKeyId[] = [];
    for (const id of ids) {
      try {
        const key = this.#usable(id);
        if (key === undefined) missing.push(id);
        else opened.set(id, key);
      } catch (error) {
        failures.set(id, error);
      }
    }
    if (missing.length === 0) return { opened, failures };

    this.#startLoading(
      missing.filter((id) => !this.#loading.has(id)),
      session,
    );
    const results = await Promise.allSettled(missing.map(async (id) => this.#loading.get(id)));
    for (const [index, result] of results.entries()) {
      if (result.status === 'rejected') failures.set(missing[index], result.reason);
      else if (result.value !== undefined) opened.set(missing[index], result.value);
    }
    return { opened, failures };
  }

  /** A key that is held and serves, without asking anybody. */
  peek(id: DataKeyId): Key | undefined {
    const held = this.#held.get(id);
    if (held === undefined || hasCome(this.#servesUntil(held), this.#now())) return undefined;
    return this.#use(id, held);
  }

  /** Forgets the keys of a tenant. */
  dropTenant(tenant: string): void {
    for (const [id, { scope }] of this.#held) if (scope.tenant === tenant) this.#held.delete(id);
  }

  /** Forgets the keys of every tenant. */
  dropTenants(): void {
    this.#droppings++;
    for (const [id, { scope }] of this.#held) if (scope.tenant !== '') this.#held.delete(id);
  }

  /** @returns undefined for a key that is not held */
  state(id: DataKeyId): HeldKeyState | undefined {
    const held = this.#held.get(id);
    if (held === undefined) return undefined;
    if (hasCome(this.#servesUntil(held), this.#now())) return 'expired';
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
    if (!hasCome(this.#sweepAt, now)) return;
    this.#sweepAt = later(now, sweepMilliseconds);
    for (const [id, held] of this.#held) if (hasCome(this.#servesUntil(held), now)) this.#held.delete(id);
  }

  /** In the order in which keys were used last. */
  #hold(id: DataKeyId, held: HeldKey<Key>): void {
    this.#held.delete(id);
    this.#held.set(id, held);
    if (this.#held.size <= this.options.maxLoadedKeys) return;
    for (const [oldest, { scope }] of this.#held) {
      if (scope.tenant === '') continue;
      this.#held.delete(oldest);
      return;
    }
  }

  #usable(id: DataKeyId): Key | undefined {
    const held = this.#held.get(id);
    if (held === undefined) return undefined;
    const now = this.#now();
    if (hasCome(this.#servesUntil(held), now)) {
      this.#held.delete(id);
      return undefined;
    }
    const isUsable = !hasCome(held.freshUntil, now) || (held.retryAt !== undefined && !hasCome(held.retryAt, now));
    if (!isUsable) return undefined;
    return this.#use(id, held);
  }

  #use(id: DataKeyId, held: HeldKey<Key>): Key {
    // Others make no room: nobody asks when they were used.
    if (held.scope.tenant !== '') {
      this.#admit(held.scope);
      this.#hold(id, held);
    }
    return held.key;
  }

  #admit({ tenant }: KeyScope): void {
    if (tenant !== '') this.options.admit?.(tenant);
  }

  #servesUntil(held: HeldKey<Key>): Moment {
    return later(held.freshUntil, this.options.outageSeconds * 1_000);
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
    const droppings = this.#droppings;
    try {
      const record = (await records).get(id);
      if (record === undefined) {
        this.#held.delete(id);
        return undefined;
      }
      if (record.state === 'shredded') throw shredded(scopeName(record));
      const key = await this.#unwrap(record);
      this.#assertOpen();
      const { tableId, columnId, tenant } = record;
      const scope = { tableId, columnId, tenant };
      this.#admit(scope);
      // It may have been shredded since its row was read.
      if (tenant !== '' && droppings !== this.#droppings) throw keyUnavailable('data key: want its row read anew');
      this.#hold(id, { key, scope, freshUntil: later(this.#now(), this.options.maxAgeSeconds * 1_000) });
      return key;
    } catch (error) {
      const now = this.#now();
      if (held !== undefined && isOutage(error) && !hasCome(this.#servesUntil(held), now)) {
        this.#admit(held.scope);
        held.retryAt = later(now, retryMilliseconds);
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
