import { type FSWatcher, watch } from 'node:fs';
import type { KeyId } from '../key/key.js';
import { type DestructionRecord, destructionRecordSchema } from './destruction-record.js';
import type { Keyring } from './keyring.js';

const recordName = /^([0-9a-f]{32})\.json$/;
const tombstoneName = /^([0-9a-f]{32})\.tombstone\.json$/;

/**
 * The records of destructions, one file a key, never removed; and which keys they are of, known at any time: another process's
 * intent is seen as soon as its file is there.
 */
export class DestructionStore {
  /**
   * @param records  a directory of their own
   * @param keyring  whose tombstones keep a key from being given back, where keys are replicated wrapped
   * @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE
   */
  static async open(records: Keyring, keyring?: Keyring): Promise<DestructionStore> {
    const store = new DestructionStore(records, keyring);
    await records.locked(() => records.removeLeftovers());
    await store.refresh();
    return store;
  }

  readonly #watchers: readonly FSWatcher[];
  #ids: ReadonlySet<KeyId> = new Set();

  private constructor(
    private readonly records: Keyring,
    private readonly keyring?: Keyring,
  ) {
    const changed = (): void => void this.refresh().catch(() => undefined);
    this.#watchers = [records, ...(keyring ? [keyring] : [])].flatMap(({ directory }) => watched(directory, changed));
  }

  /** Keys that were destroyed or are being so. */
  get ids(): ReadonlySet<KeyId> {
    return this.#ids;
  }

  has(id: KeyId): boolean {
    return this.#ids.has(id);
  }

  /**
   * Looks again: where a directory cannot be watched (a network's file system) nothing else does.
   * @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE
   */
  async refresh(): Promise<void> {
    const recorded = await idsIn(this.records, recordName);
    const buried = this.keyring ? await idsIn(this.keyring, tombstoneName) : [];
    this.#ids = new Set([...recorded, ...buried]);
  }

  /** @returns undefined when there is none @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  read(id: KeyId): Promise<DestructionRecord | undefined> {
    return this.records.readFile(`${id}.json`, destructionRecordSchema);
  }

  async list(): Promise<DestructionRecord[]> {
    const ids = await idsIn(this.records, recordName);
    const records = await Promise.all(ids.map((id) => this.read(id)));
    return records.filter((record) => record !== undefined);
  }

  /** On the disk when it returns; only inside `locked`. @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  async write(record: DestructionRecord): Promise<void> {
    await this.records.writeFile(`${record.id}.json`, record);
    this.#ids = new Set([...this.#ids, record.id]);
  }

  /** Has no backup give the key back any more. */
  async bury({ id, label, algorithm, usage, intended }: DestructionRecord): Promise<void> {
    const tombstone = { version: 1, id, destroyed: intended, label, algorithm, usage } as const;
    await this.keyring?.locked(async () => this.keyring?.entomb(tombstone));
  }

  /** Takes an intent back that came to nothing. */
  async remove(id: KeyId): Promise<void> {
    await this.keyring?.locked(async () => this.keyring?.exhume(id));
    await this.records.remove(id);
    await this.refresh();
  }

  /** While no other process goes on with a destruction. */
  locked<T>(work: () => Promise<T>): Promise<T> {
    return this.records.locked(work);
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close();
  }
}

async function idsIn(keyring: Keyring, pattern: RegExp): Promise<KeyId[]> {
  return (await keyring.fileNames(pattern)).flatMap((name) => pattern.exec(name)?.slice(1) ?? []) as KeyId[];
}

function watched(directory: string, changed: () => void): FSWatcher[] {
  try {
    const watcher = watch(directory, { persistent: false }, changed);
    // E.g. the directory is gone; it is looked at now and then in any case.
    watcher.on('error', () => watcher.close());
    return [watcher];
  } catch {
    return [];
  }
}
