import { HsmError, type HsmErrorCode } from '@nest-hsm/hsm';
import {
  type CellKey,
  cellKeys,
  type DataKeyRecord,
  type DataKeyStore,
  maximumMessages,
  type WrappedDataKey,
} from '../src/data-key.js';
import { DataKeyLeases } from '../src/data-key-lease.js';
import { DataKeyRing } from '../src/data-key-ring.js';
import type { DataKeyId } from '../src/envelope.js';
import { KeyEncryptionKey } from '../src/key-encryption-key.js';
import type { Moment } from '../src/moment.js';
import { type KeyScope, scopeKey } from '../src/key-scope.js';
import { SoftwareKek } from './software-kek.js';

/** Data keys in memory: a database whose outages a test chooses. */
export class MemoryStore implements DataKeyStore<undefined> {
  readonly records = new Map<DataKeyId, DataKeyRecord>();
  fault: Error | undefined;
  hangs = false;

  async findActive(scope: KeyScope): Promise<DataKeyRecord | undefined> {
    await this.#turn();
    return [...this.records.values()].find(
      (record) => record.purpose === 'cell' && scopeKey(record) === scopeKey(scope) && record.state === 'active',
    );
  }

  async find(ids: readonly DataKeyId[]): Promise<readonly DataKeyRecord[]> {
    await this.#turn();
    return ids.flatMap((id) => this.records.get(id) ?? []);
  }

  async findIndexKeys(tableId: string, tenant: string): Promise<readonly DataKeyRecord[]> {
    await this.#turn();
    return [...this.records.values()].filter(
      (record) => record.purpose === 'index' && record.tableId === tableId && record.tenant === tenant,
    );
  }

  async refuseShredded(): Promise<void> {
    await this.#turn();
  }

  async add(record: DataKeyRecord): Promise<boolean> {
    await this.#turn();
    const isSame = (other: DataKeyRecord) => other.purpose === record.purpose && scopeKey(other) === scopeKey(record);
    if ([...this.records.values()].some((other) => isSame(other) && other.state === 'active')) return false;
    this.records.set(record.id, record);
    return true;
  }

  async reserve(id: DataKeyId, messages: number, known: number): Promise<number | undefined> {
    await this.#turn();
    const record = this.records.get(id);
    const total = Math.max(record?.reservedMessages ?? 0, known) + messages;
    if (record?.state !== 'active' || total > maximumMessages) return undefined;
    this.change(id, { reservedMessages: total });
    return total;
  }

  async retire(id: DataKeyId): Promise<void> {
    await this.#turn();
    this.change(id, { state: 'retired' });
  }

  async list(after: DataKeyId | undefined, limit: number): Promise<readonly DataKeyRecord[]> {
    await this.#turn();
    const sorted = [...this.records.values()].toSorted((left, right) => (left.id < right.id ? -1 : 1));
    return sorted.filter(({ id }) => after === undefined || id > after).slice(0, limit);
  }

  async rewrap({ id }: DataKeyRecord, wrapped: WrappedDataKey): Promise<boolean> {
    await this.#turn();
    this.change(id, wrapped);
    return true;
  }

  change(id: DataKeyId, change: Partial<DataKeyRecord>): void {
    const record = this.records.get(id);
    if (record !== undefined) this.records.set(id, { ...record, ...change });
  }

  async #turn(): Promise<void> {
    if (this.hangs) await new Promise(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    if (this.fault !== undefined) throw this.fault;
  }
}

/** Both clocks, which a test moves together or each by itself. */
export class TestClock {
  seconds = 0;
  /** How far the day is ahead of the clock that never goes back. */
  aheadSeconds = 0;

  now(): Moment {
    return { monotonic: this.seconds * 1_000, day: (this.seconds + this.aheadSeconds) * 1_000 };
  }
}

export function openKeys({
  store = new MemoryStore(),
  kek = new SoftwareKek(),
  createKek = true,
  maxLoadedKeys = 100,
  ...timing
}: {
  store?: MemoryStore;
  kek?: SoftwareKek;
  createKek?: boolean;
  maxLoadedKeys?: number;
  retryMilliseconds?: number;
  deadlineMilliseconds?: number;
} = {}) {
  const clock = new TestClock();
  const key = new KeyEncryptionKey({ hsm: kek, label: 'kek', create: createKek });
  const options = { databaseId: 'test', kek: key, store, maxAgeSeconds: 3_600, outageSeconds: 14_400, maxLoadedKeys };
  const { deadlineMilliseconds } = timing;
  const ring = new DataKeyRing<undefined, CellKey>({
    ...options,
    kind: cellKeys,
    deadlineMilliseconds,
    now: () => clock.now(),
  });
  const leases = new DataKeyLeases<undefined>({
    ...options,
    ring,
    leaseMessages: 2 ** 16,
    leaseSeconds: 60,
    ...timing,
  });
  return { leases, ring, kek, store, clock };
}

export function createHsmError(code: HsmErrorCode): HsmError {
  return new HsmError(code, 'HSM: want one thing, got another');
}
