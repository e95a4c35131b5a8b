import { type CellKey, createDataKey, type DataKeyStore } from './data-key.js';
import type { DataKeyId } from './envelope.js';
import type { DataKeyRing } from './data-key-ring.js';
import { within } from './deadline.js';
import { DataEncryptionError, isOutage, keyUnavailable } from './errors.js';
import { dropOldest, LeaseFailures } from './lease-failures.js';
import type { KeyEncryptionKey } from './key-encryption-key.js';
import { hasCome, later, type Moment, thisMoment } from './moment.js';
import { isShredded } from './tenant.js';
import { type KeyScope, scopeKey, scopeName } from './key-scope.js';

export interface DataKeyLeasesOptions<Session> {
  readonly databaseId: string;
  readonly kek: KeyEncryptionKey;
  readonly store: DataKeyStore<Session>;
  readonly ring: DataKeyRing<Session, CellKey>;
  readonly leaseMessages: number;
  /** How long a key is written with before it is asked whether it has been retired. */
  readonly leaseSeconds: number;
  /** Leases of tenants held at a time. What is left of one that goes is lost. */
  readonly maxLoadedKeys: number;
  /** Makes ready what else a scope needs before it can be written, as it is done before each lease. */
  readonly prepareScope?: (scope: KeyScope) => Promise<void>;
  /** Delay before the first further attempt after a failure; it doubles up to twenty times as much. */
  readonly retryMilliseconds?: number;
  /** How long a caller waits for a key to be made ready. */
  readonly deadlineMilliseconds?: number;
}

export interface DataKeyStatus {
  /** ready: every table can be written · degraded: so, while the HSM is down · unready: some table cannot be written */
  readonly state: 'ready' | 'degraded' | 'unready' | 'closed';
  readonly loadedKeys: number;
  /** Tables, and columns with keys of their own, that cannot be written, with the reason. Tenants are not among them. */
  readonly unready: readonly { readonly tableId: string; readonly columnId: string; readonly reason: string }[];
}

/** Messages reserved of one data key and not yet used. */
interface Lease {
  readonly id: DataKeyId;
  readonly scope: KeyScope;
  /** Until when the key is known not to have been retired. */
  activeUntil: Moment;
  /** All that was reserved of the key, by every process, when this lease was taken. */
  readonly total: number;
  remaining: number;
}

/**
 * The keys a process writes with: per scope the active data key and the messages reserved of it in its row, in blocks, before
 * any is used. A key whose messages are all reserved is retired and another is made.
 *
 * What fails (the HSM down at the start, the table of keys not made yet) is tried again in the background until it succeeds;
 * until then writers get the failure at once. Tables and columns are made ready at the start and kept so; tenants, of which there may be
 * any number, when they are first written for.
 */
export class DataKeyLeases<Session = unknown> {
  readonly #standing = new Map<string, KeyScope>();
  /** In the order in which they were used last. */
  readonly #leases = new Map<string, Lease>();
  readonly #preparing = new Map<string, Promise<void>>();
  readonly #failures: LeaseFailures;
  #isClosed = false;

  constructor(private readonly options: DataKeyLeasesOptions<Session>) {
    const { retryMilliseconds = 250 } = options;
    this.#failures = new LeaseFailures({ retryMilliseconds, tryAgain: (scope) => this.#prepareInBackground(scope) });
  }

  /**
   * Makes the active keys of tables and columns ready. An outage leaves them unready and trying; it is no error here.
   * @throws {DataEncryptionError} ERR_DATA_KEY_REJECTED
   */
  async prepare(scopes: Iterable<KeyScope>): Promise<void> {
    for (const scope of scopes) this.#standing.set(scopeKey(scope), scope);
    const missing = [...this.#standing].filter(([key]) => !this.#leases.has(key));
    const results = await Promise.allSettled(missing.map(([, scope]) => this.#prepareScope(scope)));
    const refused = results.find((result) => result.status === 'rejected' && !isOutage(result.reason));
    if (refused?.status === 'rejected') throw refused.reason;
  }

  /**
   * The key to encrypt a scope's next cells with; their number is counted against its limit.
   * @param messages  at most the 65,535 parameters a statement may have, hence never more than a lease
   * @param session  the connection of the writer, see `DataKeyRing.open`
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CLOSED
   */
  async reserve(scope: KeyScope, messages: number, session?: Session): Promise<CellKey> {
    const key = this.#note(scope);
    for (let attempt = 0; attempt < 3; attempt++) {
      const lease = await this.#take(scope, messages);
      if (lease.remaining < this.options.leaseMessages / 2 || this.#isAging(lease)) this.#renew(scope);
      const cellKey = (await this.options.ring.open([lease.id], session)).get(lease.id);
      if (cellKey !== undefined && !cellKey.isRetired) return cellKey;
      if (this.#leases.get(key) === lease) this.#leases.delete(key);
    }
    throw keyUnavailable(`data key of ${scopeName(scope)}: want an active one, got none after 3 attempts`);
  }

  /**
   * Waits until a scope's keys have been made ready once.
   * @throws {DataEncryptionError} as `reserve`
   */
  async ready(scope: KeyScope): Promise<void> {
    if (!this.#leases.has(this.#note(scope))) await this.#prepareUnlessFailing(scope);
  }

  /** Forgets what was reserved for a tenant. */
  dropTenant(tenant: string): void {
    for (const [key, { scope }] of this.#leases) if (scope.tenant === tenant) this.#leases.delete(key);
  }

  get leaseSeconds(): number {
    return this.options.leaseSeconds;
  }

  /** When a key is retired, how long until no process writes with it any more: what was begun before has ended too. */
  get settleMilliseconds(): number {
    return this.options.leaseSeconds * 2_000;
  }

  /**
   * Puts a new data key in the place of a scope's active one.
   * @throws {DataEncryptionError} as `reserve`
   */
  async rotate(scope: KeyScope): Promise<DataKeyId> {
    const { kek, databaseId, store } = this.options;
    await store.refuseShredded(scope);
    const successor = await createDataKey(kek, databaseId, { purpose: 'cell', ...scope });
    // Ended here, the next writer makes a key.
    const active = await store.findActive(scope);
    if (active !== undefined) await store.retire(active.id);
    await store.add(successor);
    this.#leases.delete(scopeKey(scope));
    await this.ready(scope);
    return (await store.findActive(scope))?.id ?? successor.id;
  }

  /** Asks the HSM for what has grown too old, then says how things are. */
  async check(): Promise<DataKeyStatus> {
    const active = [...this.#standing.keys()].flatMap((key) => this.#leases.get(key)?.id ?? []);
    // What fails shows in the status.
    await Promise.allSettled(active.map((id) => this.options.ring.open([id])));
    return this.status();
  }

  status(): DataKeyStatus {
    const { ring } = this.options;
    const scopes = [...this.#standing].map(([key, { tableId, columnId }]) => {
      const lease = this.#leases.get(key);
      return { key, tableId, columnId, state: lease && ring.state(lease.id) };
    });
    const unready = scopes
      .filter(({ state }) => state === undefined || state === 'expired')
      .map(({ key, tableId, columnId }) => ({
        tableId,
        columnId,
        reason: this.#failures.last(key)?.message ?? 'no data key is loaded',
      }));
    const isDegraded = scopes.some(({ state }) => state === 'outage');
    const state = this.#isClosed ? 'closed' : unready.length > 0 ? 'unready' : isDegraded ? 'degraded' : 'ready';
    return { state, loadedKeys: ring.size, unready };
  }

  close(): void {
    this.#isClosed = true;
    this.#failures.close();
    this.#leases.clear();
  }

  /** Takes messages of a lease. Each round gives a block to those who wait, so every one of them gets its turn. */
  async #take(scope: KeyScope, messages: number): Promise<Lease> {
    const key = scopeKey(scope);
    for (;;) {
      const lease = this.#leases.get(key);
      if (lease !== undefined && lease.remaining >= messages && !hasCome(lease.activeUntil)) {
        // Before anybody else can look.
        lease.remaining -= messages;
        this.#hold(key, lease);
        return lease;
      }
      await this.#prepareUnlessFailing(scope);
    }
  }

  /** @returns its name among leases and failures */
  #note(scope: KeyScope): string {
    const key = scopeKey(scope);
    if (scope.tenant === '') this.#standing.set(key, scope);
    return key;
  }

  #hold(key: string, lease: Lease): void {
    this.#leases.delete(key);
    this.#leases.set(key, lease);
    dropOldest(this.#leases, this.#most, (each) => this.#isOfTenant(each));
  }

  /** Of the tenants; what is standing stays. */
  get #most(): number {
    return this.options.maxLoadedKeys + this.#standing.size;
  }

  #isOfTenant(key: string): boolean {
    return !this.#standing.has(key);
  }

  async #prepareUnlessFailing(scope: KeyScope): Promise<void> {
    const key = scopeKey(scope);
    const failure = this.#failures.standing(key);
    if (failure !== undefined && !this.#preparing.has(key)) throw failure;
    await this.#prepareScope(scope);
  }

  /** Takes the next block before this one is used up, so that writers need not wait. */
  #renew(scope: KeyScope): void {
    const key = scopeKey(scope);
    if (this.#failures.has(key) || this.#preparing.has(key)) return;
    this.#prepareInBackground(scope);
  }

  #prepareInBackground(scope: KeyScope): void {
    // A failure is kept for whoever needs the key, and tried again.
    this.#prepareScope(scope).catch(() => undefined);
  }

  async #prepareScope(scope: KeyScope): Promise<void> {
    const key = scopeKey(scope);
    let preparing = this.#preparing.get(key);
    if (preparing === undefined) {
      preparing = this.#attempt(scope).finally(() => this.#preparing.delete(key));
      this.#preparing.set(key, preparing);
    }
    const { deadlineMilliseconds = 10_000 } = this.options;
    await within(preparing, deadlineMilliseconds, () =>
      keyUnavailable(`data key of ${scopeName(scope)}: want it ready within ${deadlineMilliseconds} ms`),
    );
  }

  async #attempt(scope: KeyScope): Promise<void> {
    const key = scopeKey(scope);
    const lastDelay = this.#failures.begin(key);
    try {
      await this.#lease(scope);
      this.#failures.succeeded(key);
    } catch (error) {
      const reason =
        error instanceof DataEncryptionError
          ? error
          : keyUnavailable(`data key of ${scopeName(scope)}: want it stored`, error);
      if (!this.#isClosed && !isShredded(reason)) {
        this.#failures.note(scope, reason, lastDelay);
        this.#failures.bound(this.#most, (each) => this.#isOfTenant(each));
      }
      throw reason;
    }
  }

  async #lease(scope: KeyScope): Promise<void> {
    const { store, ring, kek, databaseId, leaseMessages } = this.options;
    const key = scopeKey(scope);
    await this.options.prepareScope?.(scope);
    for (let attempt = 0; attempt < 4; attempt++) {
      const activeUntil = later(thisMoment(), this.options.leaseSeconds * 1_000);
      const record = await store.findActive(scope);
      if (record === undefined) {
        await store.refuseShredded(scope);
        // Another process may be faster: whichever is stored is found by the next attempt.
        await store.add(await createDataKey(kek, databaseId, { purpose: 'cell', ...scope }));
        continue;
      }
      await ring.open([record.id]);
      const before = this.#leases.get(key);
      if (before?.id === record.id && before.remaining >= leaseMessages / 2 && this.#isAging(before)) {
        before.activeUntil = activeUntil;
        return;
      }
      const known = before?.id === record.id ? before.total : 0;
      const total = await store.reserve(record.id, leaseMessages, known);
      if (total !== undefined) {
        this.#extend(key, { id: record.id, scope, total, activeUntil });
        return;
      }
      await store.retire(record.id);
    }
    throw keyUnavailable(`data key of ${scopeName(scope)}: want an active one, got none after 4 attempts`);
  }

  #extend(key: string, lease: Omit<Lease, 'remaining'>): void {
    if (this.#isClosed)
      throw new DataEncryptionError('ERR_DATA_CLOSED', 'data encryption: want it open, got it closed');
    const before = this.#leases.get(key);
    const left = before?.id === lease.id ? before.remaining : 0;
    this.#hold(key, { ...lease, remaining: left + this.options.leaseMessages });
  }

  #isAging({ activeUntil }: Lease): boolean {
    return hasCome(later(activeUntil, -this.options.leaseSeconds * 500));
  }
}
