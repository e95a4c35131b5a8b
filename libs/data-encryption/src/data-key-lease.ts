import { type CellKey, createDataKey, type DataKeyStore } from './data-key.js';
import type { DataKeyId } from './envelope.js';
import type { DataKeyRing } from './data-key-ring.js';
import { within } from './deadline.js';
import { DataEncryptionError, isOutage, keyUnavailable } from './errors.js';
import type { KeyEncryptionKey } from './key-encryption-key.js';

export interface DataKeyLeasesOptions<Session> {
  readonly databaseId: string;
  readonly kek: KeyEncryptionKey;
  readonly store: DataKeyStore<Session>;
  readonly ring: DataKeyRing<Session, CellKey>;
  readonly leaseMessages: number;
  /** How long a key is written with before it is asked whether it has been retired. */
  readonly leaseSeconds: number;
  /** Makes ready what else a table needs before it can be written, as it is done before each lease. */
  readonly prepareTable?: (tableId: string) => Promise<void>;
  /** Delay before the first further attempt after a failure; it doubles up to twenty times as much. */
  readonly retryMilliseconds?: number;
  /** How long a caller waits for a table's key to be made ready. */
  readonly deadlineMilliseconds?: number;
}

export interface DataKeyStatus {
  /** ready: every table can be written · degraded: so, while the HSM is down · unready: some table cannot be written */
  readonly state: 'ready' | 'degraded' | 'unready' | 'closed';
  readonly loadedKeys: number;
  /** Tables that cannot be written, with the reason. */
  readonly unready: readonly { readonly tableId: string; readonly reason: string }[];
}

/** Messages reserved of one data key and not yet used. */
interface Lease {
  readonly id: DataKeyId;
  /** Milliseconds of `performance.now()`: until when the key is known not to have been retired. */
  activeUntil: number;
  /** All that was reserved of the key, by every process, when this lease was taken. */
  readonly total: number;
  remaining: number;
}

interface Failure {
  readonly error: DataEncryptionError;
  readonly delay: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * The keys a process writes with: per table the active data key and the messages reserved of it in its row, in blocks, before
 * any is used. A key whose messages are all reserved is retired and another is made.
 *
 * What fails (the HSM down at the start, the table of keys not made yet) is tried again in the background until it succeeds;
 * until then writers get the failure at once.
 */
export class DataKeyLeases<Session = unknown> {
  readonly #tableIds = new Set<string>();
  readonly #leases = new Map<string, Lease>();
  readonly #preparing = new Map<string, Promise<void>>();
  readonly #failures = new Map<string, Failure>();
  readonly #retryMilliseconds: number;
  #isClosed = false;

  constructor(private readonly options: DataKeyLeasesOptions<Session>) {
    this.#retryMilliseconds = options.retryMilliseconds ?? 250;
  }

  /**
   * Makes the active keys of tables ready. An outage leaves them unready and trying; it is no error here.
   * @throws {DataEncryptionError} ERR_DATA_KEY_REJECTED
   */
  async prepare(tableIds: Iterable<string>): Promise<void> {
    for (const tableId of tableIds) this.#tableIds.add(tableId);
    const missing = [...this.#tableIds].filter((tableId) => !this.#leases.has(tableId));
    const results = await Promise.allSettled(missing.map((tableId) => this.#prepareTable(tableId)));
    const refused = results.find((result) => result.status === 'rejected' && !isOutage(result.reason));
    if (refused?.status === 'rejected') throw refused.reason;
  }

  /**
   * The key to encrypt a table's next cells with; their number is counted against its limit.
   * @param messages  at most the 65,535 parameters a statement may have, hence never more than a lease
   * @param session  the connection of the writer, see `DataKeyRing.open`
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_KEY_REJECTED | ERR_DATA_CLOSED
   */
  async reserve(tableId: string, messages: number, session?: Session): Promise<CellKey> {
    this.#tableIds.add(tableId);
    for (let attempt = 0; attempt < 3; attempt++) {
      const lease = await this.#take(tableId, messages);
      if (lease.remaining < this.options.leaseMessages / 2 || this.#isAging(lease)) this.#renew(tableId);
      const cellKey = (await this.options.ring.open([lease.id], session)).get(lease.id);
      if (cellKey !== undefined && !cellKey.isRetired) return cellKey;
      if (this.#leases.get(tableId) === lease) this.#leases.delete(tableId);
    }
    throw keyUnavailable(`data key of ${tableId}: want an active one, got none after 3 attempts`);
  }

  /**
   * Waits until a table's keys have been made ready once.
   * @throws {DataEncryptionError} as `reserve`
   */
  async ready(tableId: string): Promise<void> {
    this.#tableIds.add(tableId);
    if (!this.#leases.has(tableId)) await this.#prepareUnlessFailing(tableId);
  }

  /** When a key is retired, how long until no process writes with it any more: what was begun before has ended too. */
  get settleMilliseconds(): number {
    return this.options.leaseSeconds * 2_000;
  }

  /**
   * Puts a new data key in the place of a table's active one.
   * @throws {DataEncryptionError} as `reserve`
   */
  async rotate(tableId: string): Promise<DataKeyId> {
    const { kek, databaseId, store } = this.options;
    const successor = await createDataKey(kek, databaseId, { purpose: 'cell', tableId, columnId: '' });
    // Ended here, the next writer makes a key.
    const active = await store.findActive(tableId);
    if (active !== undefined) await store.retire(active.id);
    await store.add(successor);
    this.#leases.delete(tableId);
    await this.ready(tableId);
    return (await store.findActive(tableId))?.id ?? successor.id;
  }

  /** Asks the HSM for what has grown too old, then says how things are. */
  async check(): Promise<DataKeyStatus> {
    const active = [...this.#leases.values()].map((lease) => lease.id);
    // What fails shows in the status.
    await Promise.allSettled(active.map((id) => this.options.ring.open([id])));
    return this.status();
  }

  status(): DataKeyStatus {
    const { ring } = this.options;
    const tables = [...this.#tableIds].map((tableId) => {
      const lease = this.#leases.get(tableId);
      return { tableId, state: lease && ring.state(lease.id) };
    });
    const unready = tables
      .filter(({ state }) => state === undefined || state === 'expired')
      .map(({ tableId }) => ({
        tableId,
        reason: this.#failures.get(tableId)?.error.message ?? 'no data key is loaded',
      }));
    const isDegraded = tables.some(({ state }) => state === 'outage');
    const state = this.#isClosed ? 'closed' : unready.length > 0 ? 'unready' : isDegraded ? 'degraded' : 'ready';
    return { state, loadedKeys: ring.size, unready };
  }

  close(): void {
    this.#isClosed = true;
    for (const failure of this.#failures.values()) clearTimeout(failure.timer);
    this.#failures.clear();
    this.#leases.clear();
  }

  /** Takes messages of a lease. Each round gives a block to those who wait, so every one of them gets its turn. */
  async #take(tableId: string, messages: number): Promise<Lease> {
    for (;;) {
      const lease = this.#leases.get(tableId);
      if (lease !== undefined && lease.remaining >= messages && performance.now() < lease.activeUntil) {
        // Before anybody else can look.
        lease.remaining -= messages;
        return lease;
      }
      await this.#prepareUnlessFailing(tableId);
    }
  }

  async #prepareUnlessFailing(tableId: string): Promise<void> {
    const failure = this.#failures.get(tableId);
    if (failure !== undefined && !this.#preparing.has(tableId)) throw failure.error;
    await this.#prepareTable(tableId);
  }

  /** Takes the next block before this one is used up, so that writers need not wait. */
  #renew(tableId: string): void {
    if (this.#failures.has(tableId) || this.#preparing.has(tableId)) return;
    this.#prepareInBackground(tableId);
  }

  #prepareInBackground(tableId: string): void {
    // A failure is kept for whoever needs the key, and tried again.
    this.#prepareTable(tableId).catch(() => undefined);
  }

  async #prepareTable(tableId: string): Promise<void> {
    let preparing = this.#preparing.get(tableId);
    if (preparing === undefined) {
      preparing = this.#attempt(tableId).finally(() => this.#preparing.delete(tableId));
      this.#preparing.set(tableId, preparing);
    }
    const { deadlineMilliseconds = 10_000 } = this.options;
    await within(preparing, deadlineMilliseconds, () =>
      keyUnavailable(`data key of ${tableId}: want it ready within ${deadlineMilliseconds} ms`),
    );
  }

  async #attempt(tableId: string): Promise<void> {
    const earlier = this.#failures.get(tableId);
    clearTimeout(earlier?.timer);
    try {
      await this.#lease(tableId);
      this.#failures.delete(tableId);
    } catch (error) {
      const reason =
        error instanceof DataEncryptionError ? error : keyUnavailable(`data key of ${tableId}: want it stored`, error);
      if (!this.#isClosed) this.#tryAgain(tableId, reason, earlier?.delay);
      throw reason;
    }
  }

  #tryAgain(tableId: string, error: DataEncryptionError, lastDelay?: number): void {
    const delay =
      lastDelay === undefined ? this.#retryMilliseconds : Math.min(lastDelay * 2, this.#retryMilliseconds * 20);
    const timer = setTimeout(() => this.#prepareInBackground(tableId), delay).unref();
    this.#failures.set(tableId, { error, delay, timer });
  }

  async #lease(tableId: string): Promise<void> {
    const { store, ring, kek, databaseId, leaseMessages } = this.options;
    await this.options.prepareTable?.(tableId);
    for (let attempt = 0; attempt < 4; attempt++) {
      const activeUntil = performance.now() + this.options.leaseSeconds * 1_000;
      const record = await store.findActive(tableId);
      if (record === undefined) {
        // Another process may be faster: whichever is stored is found by the next attempt.
        await store.add(await createDataKey(kek, databaseId, { purpose: 'cell', tableId, columnId: '' }));
        continue;
      }
      await ring.open([record.id]);
      const before = this.#leases.get(tableId);
      if (before?.id === record.id && before.remaining >= leaseMessages / 2 && this.#isAging(before)) {
        before.activeUntil = activeUntil;
        return;
      }
      const known = before?.id === record.id ? before.total : 0;
      const total = await store.reserve(record.id, leaseMessages, known);
      if (total !== undefined) {
        this.#extend(tableId, { id: record.id, total, activeUntil });
        return;
      }
      await store.retire(record.id);
    }
    throw keyUnavailable(`data key of ${tableId}: want an active one, got none after 4 attempts`);
  }

  #extend(tableId: string, lease: Omit<Lease, 'remaining'>): void {
    if (this.#isClosed)
      throw new DataEncryptionError('ERR_DATA_CLOSED', 'data encryption: want it open, got it closed');
    const before = this.#leases.get(tableId);
    const left = before?.id === lease.id ? before.remaining : 0;
    this.#leases.set(tableId, { ...lease, remaining: left + this.options.leaseMessages });
  }

  #isAging({ activeUntil }: Lease): boolean {
    return performance.now() > activeUntil - this.options.leaseSeconds * 500;
  }
}
