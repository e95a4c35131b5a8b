import { createPublicKey } from 'node:crypto';
import type { NewKey, Recipient } from '../agent/protocol.js';
import type { TransportAlgorithm } from '../algorithm/wrapping-algorithm.js';
import type { ParsedHsmConfig } from '../config.js';
import type { FleetCallOptions } from '../fleet/call-options.js';
import type { KeyId, KeySelector } from '../key/key.js';
import { KeyCustody } from './custody.js';
import { fleetMembers } from './fleet-members.js';
import { type FleetKey, type FoundKeys, type KeyManagement, type MemberKeys, unlessAborted } from './key-management.js';
import { Keyring } from './keyring.js';
import type { KeyringRecord } from './keyring-record.js';
import type { Destination } from './recovery/destination.js';
import { Replication } from './replication.js';
import type { ReplicationMember } from './replication-member.js';

const settleMilliseconds = 5_000;

type WrappedReplication = Extract<ParsedHsmConfig['replication'], { mode: 'wrapped' }>;

/** Keys of members whose devices do not copy them: each goes to each of them wrapped, and the keyring knows of all. */
export class WrappedKeys implements KeyManagement {
  /**
   * Settles first what an earlier process left unfinished, as far as members can be reached.
   * @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE
   */
  static async open(keys: MemberKeys, fleetName: string, how: WrappedReplication): Promise<WrappedKeys> {
    const terms = { quorum: () => keys.quorum, recovery: how.recoveryKeys.map(recipient) };
    const keyring = await Keyring.open(how.keyring);
    const members = (): ReplicationMember[] => fleetMembers(keys.fleet);
    const replication = new Replication(keyring, members, terms);
    const opened = new WrappedKeys(keys, replication, fleetName, { keyring, replication, terms, members });
    await opened.#settle();
    return opened;
  }

  readonly custody: KeyCustody;
  readonly keyring: Keyring;
  #settling: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(
    private readonly keys: MemberKeys,
    private readonly replication: Replication,
    fleetName: string,
    destination: Destination,
  ) {
    this.keyring = destination.keyring;
    this.custody = new KeyCustody(fleetName, keys, this, destination);
  }

  find(selector: KeySelector, options: FleetCallOptions): Promise<FoundKeys> {
    return this.keys.find(selector, options);
  }

  /** Makes a key on as many members as can be reached. An extractable one is a session object of one member. */
  async generate(key: NewKey, options: FleetCallOptions): Promise<FleetKey> {
    if (key.extractable) return this.keys.generateOnOne(key, options);
    await this.#untilReachable(options);
    try {
      const record = await this.replication.replicate(key, options.correlationId);
      if (record.filling !== undefined) this.#settleLater();
      return described(record);
    } catch (error) {
      this.#settleLater();
      throw error;
    }
  }

  /** Without those in the making: they are sealed or destroyed, and what was encrypted under one would go with it. */
  async usable(keys: readonly FleetKey[]): Promise<FleetKey[]> {
    const records = await Promise.all(keys.map(({ id }) => this.keyring.read(id).catch(() => undefined)));
    return keys.filter((_, index) => (records[index]?.state ?? 'sealed') === 'sealed');
  }

  async holders(id: KeyId): Promise<readonly string[]> {
    const record = await this.keyring.read(id);
    return [...new Set([...(record?.members ?? []), ...(record?.filling ?? [])])];
  }

  /** Its record goes, and its recovery forms with it. */
  forget(id: KeyId): Promise<void> {
    return this.replication.forget(id);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#settling);
  }

  /** What is settled only with members that are away is tried again until it is. */
  async #settle(): Promise<void> {
    const unsettled = await this.replication.resume();
    if (unsettled.length > 0) this.#settleLater();
  }

  #settleLater(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#settling);
    // A keyring that became unusable meanwhile is told of by whoever writes to it.
    const again = (): void => void this.#settle().catch(() => this.#settleLater());
    this.#settling = setTimeout(again, settleMilliseconds).unref();
  }

  /** Members that are still starting are waited for; replication itself says what too few of them mean. */
  async #untilReachable(options: FleetCallOptions): Promise<void> {
    const giveUpAt = this.keys.giveUpAt(options);
    const reachable = (): number => this.keys.fleet.members.filter(({ isReachable }) => isReachable).length;
    while (reachable() < this.keys.quorum && performance.now() < giveUpAt) await unlessAborted(options);
  }
}

function described({ id, label, algorithm, usage, spki, members }: KeyringRecord): FleetKey {
  const publicHalf = spki === undefined ? undefined : Buffer.from(spki, 'base64');
  return { id, label, algorithm, usage, spki: publicHalf, extractable: false, members };
}

function recipient({ publicKey, algorithm }: { publicKey: string; algorithm: TransportAlgorithm }): Recipient {
  return { spki: createPublicKey(publicKey).export({ format: 'der', type: 'spki' }), algorithm };
}
