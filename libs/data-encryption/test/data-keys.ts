import { HsmError, type HsmErrorCode } from '@nest-hsm/hsm';
import type { DataKeyRecord, DataKeyStore } from '../src/data-key.js';
import { maximumMessages } from '../src/data-key.js';
import { DataKeyLeases } from '../src/data-key-lease.js';
import { DataKeyRing } from '../src/data-key-ring.js';
import type { DataKeyId } from '../src/envelope.js';
import { KeyEncryptionKey } from '../src/key-encryption-key.js';
import { SoftwareKek } from './software-kek.js';

/** Data keys in memory: a database whose outages a test chooses. */
export class MemoryStore implements DataKeyStore<undefined> {
  readonly records = new Map<DataKeyId, DataKeyRecord>();
  fault: Error | undefined;
  hangs = false;

  async findActive(tableId: string): Promise<DataKeyRecord | undefined> {
    await this.#turn();
    return [...this.records.values()].find((record) => record.tableId === tableId && record.state === 'active');
  }

  async find(ids: readonly DataKeyId[]): Promise<readonly DataKeyRecord[]> {
    await this.#turn();
    return ids.flatMap((id) => this.records.get(id) ?? []);
  }

  async add(record: DataKeyRecord): Promise<boolean> {
    await this.#turn();
    if ((await this.findActive(record.tableId)) !== undefined) return false;
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

export function openKeys({
  store = new MemoryStore(),
  kek = new SoftwareKek(),
  createKek = true,
  ...timing
}: {
  store?: MemoryStore;
  kek?: SoftwareKek;
  createKek?: boolean;
  retryMilliseconds?: number;
  deadlineMilliseconds?: number;
} = {}) {
  const clock = { seconds: 0 };
  const key = new KeyEncryptionKey({ hsm: kek, label: 'kek', create: createKek });
  const options = { databaseId: 'test', kek: key, store, maxAgeSeconds: 3_600, outageSeconds: 14_400 };
  const { deadlineMilliseconds } = timing;
  const ring = new DataKeyRing<undefined>({ ...options, deadlineMilliseconds, now: () => clock.seconds * 1_000 });
  const leases = new DataKeyLeases<undefined>({ ...options, ring, leaseMessages: 2 ** 16, ...timing });
  return { leases, ring, kek, store, clock };
}

export function createHsmError(code: HsmErrorCode): HsmError {
  return new HsmError(code, 'HSM: want one thing, got another');
}
