import { within } from '../deadline.js';
import { DataEncryptionError, keyUnavailable } from '../errors.js';
import { scopeName } from '../key-scope.js';
import { elapsedSince, longAgo, thisMoment } from '../moment.js';
import { shredded, type Tenant } from '../tenant.js';

/** Where it is written which tenants are shredded, and who has seen it. Failures are the database's own errors. */
export interface TombstoneStore {
  /** Tenants whose shredding waits until every process has forgotten their keys. */
  waiting(): Promise<readonly Tenant[]>;
  /**
   * Says that this process is there and has forgotten the keys of all that it read before.
   * @returns false when nobody knew of it: it is new, or somebody has given up waiting for it
   */
  beat(processId: string): Promise<boolean>;
  leave(processId: string): Promise<void>;
  /** Whether nothing that is read or written now is certain: SQLite's one connection is in a transaction of the application. */
  readonly isBusy: boolean;
}

export interface TombstonesOptions {
  readonly processId: string;
  readonly store: TombstoneStore;
  /** See `leaseSeconds` of the configuration. */
  readonly leaseSeconds: number;
  /** Forgets the keys of a tenant. */
  readonly forget: (tenant: Tenant) => void;
  /** Forgets the keys of every tenant. */
  readonly forgetAll: () => void;
}

/**
 * What this process knows of shredded tenants. It looks every half `leaseSeconds`, forgets the keys of those it finds, and says so. Having not
 * been able to look for two `leaseSeconds` and a second it uses no tenant's key, so that whoever waits for it needs not wait longer.
 */
export class Tombstones {
  readonly #shredded = new Set<Tenant>();
  #lookedAt = longAgo;
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(private readonly options: TombstonesOptions) {}

  /** Milliseconds after which a process that has not been seen uses no tenant's key. */
  static silence(leaseSeconds: number): number {
    return leaseSeconds * 2_000 + 1_000;
  }

  /**
   * Looks unless it has just done so.
   * @throws {DataEncryptionError} ERR_DATA_KEY_UNAVAILABLE when it has not been able to for too long
   */
  async refresh(): Promise<void> {
    if (elapsedSince(this.#lookedAt) < this.options.leaseSeconds * 1_000) return;
    try {
      const milliseconds = 5_000;
      // A writer may hold the last connection of the pool.
      await within(this.look(), milliseconds, () => new Error(`none within ${milliseconds} ms`));
    } catch (error) {
      if (elapsedSince(this.#lookedAt) >= Tombstones.silence(this.options.leaseSeconds)) throw unknownTombstones(error);
    }
  }

  /** @throws {DataEncryptionError} ERR_DATA_SHREDDED | ERR_DATA_KEY_UNAVAILABLE | ERR_DATA_CLOSED */
  admit(tenant: Tenant): void {
    if (this.#isClosed) throw closed();
    if (this.#shredded.has(tenant)) throw shredded(scopeName({ tableId: 'keys', columnId: '', tenant }));
    if (elapsedSince(this.#lookedAt) >= Tombstones.silence(this.options.leaseSeconds)) throw unknownTombstones();
  }

  /** @throws the database's error */
  async look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    await this.#looking;
  }

  /** Forgets the keys of every tenant and then says so. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#looking?.catch(() => undefined);
    this.options.forgetAll();
    // Whoever waits for it waits no longer than for one that was killed.
    if (this.#hasLooked) await this.options.store.leave(this.options.processId).catch(() => undefined);
  }

  async #look(): Promise<void> {
    const { store, processId, forget, forgetAll, leaseSeconds } = this.options;
    if (this.#isClosed) throw closed();
    this.#schedule(leaseSeconds * 500);
    if (store.isBusy) throw busy();
    const begun = thisMoment();
    // Before the first key is used: whoever shreds must know of this process.
    if (!this.#hasLooked) await store.beat(processId);
    for (const tenant of await store.waiting()) {
      this.#shredded.add(tenant);
      forget(tenant);
    }
    // Whoever gave up waiting took the row away before going on: what was shredded since waits for nobody any more.
    if (!(await store.beat(processId))) forgetAll();
    if (store.isBusy) throw busy();
    this.#lookedAt = begun;
  }

  #schedule(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // What fails shows where a key is wanted.
      this.look().catch(() => undefined);
    }, milliseconds).unref();
  }

  get #hasLooked(): boolean {
    return this.#lookedAt !== longAgo;
  }
}

function closed(): DataEncryptionError {
  return new DataEncryptionError('ERR_DATA_CLOSED', 'data encryption: want it open, got it closed');
}

function busy(): Error {
  return new Error('a transaction of the application on its one connection');
}

function unknownTombstones(cause?: unknown): DataEncryptionError {
  return keyUnavailable('keys of tenants: want to know which tenants are shredded', cause);
}
