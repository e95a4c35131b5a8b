import { join } from 'node:path';
import type { NewKey } from '../agent/protocol.js';
import type { ParsedHsmConfig } from '../config.js';
import { HsmError } from '../errors.js';
import type { FleetCallOptions } from '../fleet/call-options.js';
import { closed } from '../fleet/failure.js';
import type { Fleet } from '../fleet/fleet.js';
import type { KeyDescription, KeyId, KeySelector } from '../key/key.js';
import { areVersions, newestFirst, versionOf } from '../key/key-version.js';
import { BackupRegister } from './backup/backup-register.js';
import { auditConsistency, type ConsistencyReport } from './consistency-audit.js';
import { type DestructionOptions, Destructions } from './destruction.js';
import { DestructionStore } from './destruction-store.js';
import { fleetMembers } from './fleet-members.js';
import { type FleetKey, type FoundKeys, type KeyManagement, MemberKeys, notReplicated } from './key-management.js';
import { Keyring } from './keyring.js';
import { type BackupKnowledge, type SignedReceipt } from './receipt.js';
import { receiptKey, receiptSigner } from './receipt-key.js';
import { rotate } from './rotation.js';
import { VendorKeys } from './vendor-keys.js';
import { WrappedKeys } from './wrapped-keys.js';

/** What is found of a name: none, one, or several that nobody can choose between. */
export type Choice = { readonly key: FleetKey } | { readonly count: number };

/** The keys of a fleet through their lives: made, found, followed by their next version, destroyed. */
export class FleetKeys {
  /** @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  static async open(config: ParsedHsmConfig, fleet: Fleet): Promise<FleetKeys> {
    const members = new MemberKeys(fleet, config);
    const { replication: how, name, stateDirectory, deadlineMilliseconds, client } = config;
    const management = how.mode === 'vendor' ? new VendorKeys(members) : await WrappedKeys.open(members, name, how);
    const keyring = management instanceof WrappedKeys ? management.keyring : undefined;
    // What processes that share these keys must share: where keys are wrapped that is the keyring's host.
    const directory = keyring ? join(keyring.directory, 'destroyed') : join(stateDirectory, `${name}.destroyed`);
    const store = await openStore(directory, keyring).catch((error: unknown) => {
      management.close();
      throw error;
    });
    const destructions = new Destructions(store, {
      ...{ fleet: name, client, deadlineMilliseconds },
      members: () => fleetMembers(fleet),
      holders: (id) => management.holders(id),
      forget: (id) => management.forget(id),
      backups: (id) => (keyring ? listedBackups(keyring, id) : Promise.resolve(unknownBackups)),
      signer: () => receiptSigner(management, fleet),
    });
    return new FleetKeys(name, members, management, destructions, store, join(directory, 'rotation.lock'));
  }

  #isClosed = false;

  private constructor(
    private readonly name: string,
    private readonly members: MemberKeys,
    readonly management: KeyManagement,
    private readonly destructions: Destructions,
    private readonly store: DestructionStore,
    private readonly rotationLock: string,
  ) {}

  /** The keys that match and can be used, as `KeyManagement.find`. */
  async find({ version, ...selector }: KeySelector, options: FleetCallOptions): Promise<FoundKeys> {
    await this.store.refresh();
    const { keys, asked } = await this.management.find(selector, options);
    const isMeant = (key: FleetKey): boolean =>
      !this.destructions.has(key.id) && (version === undefined || versionOf(key).version === version);
    return { keys: await this.management.usable(keys.filter(isMeant)), asked };
  }

  /**
   * The one that is meant: of versions of one key the newest that is on enough members.
   * @throws {HsmError} ERR_HSM_KEY_NOT_REPLICATED when none of them is
   */
  choose({ keys: found, asked }: FoundKeys): Choice {
    const lasting = found.filter(({ extractable }) => !extractable);
    // The original of a key in the making has its label, and is no version of anything.
    const keys = lasting.length > 0 ? lasting : found;
    if (keys.length === 0 || !areVersions(keys)) return { count: keys.length };
    const versions = newestFirst(keys);
    const key = versions.find((each) => this.members.isReplicated(each, asked));
    if (key !== undefined) return { key };
    throw notReplicated(versions[0], versions[0].members.length, Math.min(this.members.quorum, asked));
  }

  generate(key: NewKey, options: FleetCallOptions): Promise<FleetKey> {
    return this.management.generate(key, options);
  }

  /** As Destructions.destroy. */
  async destroy(key: KeyDescription, options: DestructionOptions): Promise<SignedReceipt> {
    this.#requireOpen();
    // What a receipt says of a key is what a token says, not what the caller holds; one that is damaged no token describes.
    const found = await this.management.find({ id: key.id }, options).catch(() => undefined);
    return this.destructions.destroy(found?.keys[0] ?? key, options);
  }

  async receipts(): Promise<readonly SignedReceipt[]> {
    this.#requireOpen();
    return this.destructions.receipts();
  }

  receiptKey(): Promise<KeyDescription & { readonly spki: Buffer }> {
    return receiptKey(this.management);
  }

  /** As rotation.ts says. */
  rotate(label: string, options: FleetCallOptions): Promise<FleetKey> {
    const newest = async (): Promise<FleetKey> => {
      const choice = this.choose(await this.find({ label }, options));
      if ('key' in choice) return choice.key;
      const code = choice.count === 0 ? 'ERR_HSM_KEY_NOT_FOUND' : 'ERR_HSM_KEY_AMBIGUOUS';
      throw new HsmError(code, `key "${label}": want one to follow, got ${choice.count || 'none'}`);
    };
    return rotate(this.management, label, this.rotationLock, newest, options);
  }

  /** As consistency-audit.ts says. */
  async audit(options: FleetCallOptions): Promise<ConsistencyReport> {
    this.#requireOpen();
    await this.store.refresh();
    const { management, members } = this;
    const records = management instanceof WrappedKeys ? await management.keyring.list() : undefined;
    const expectations = { quorum: members.quorum, records, isDestroyed: (id: KeyId) => this.destructions.has(id) };
    return auditConsistency(fleetMembers(members.fleet), expectations, options);
  }

  /** @throws {HsmError} ERR_HSM_KEY_NOT_FOUND when the key was destroyed, or is being so wherever it still is */
  requireUsable(...ids: readonly KeyId[]): void {
    const destroyed = ids.find((id) => this.destructions.has(id));
    if (destroyed === undefined) return;
    throw new HsmError(
      'ERR_HSM_KEY_NOT_FOUND',
      `key ${destroyed}: want one to use, got one whose destruction has begun`,
    );
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.management.close();
    await this.destructions.close();
  }

  #requireOpen(): void {
    if (this.#isClosed) throw closed(this.name);
  }
}

async function openStore(directory: string, keyring: Keyring | undefined): Promise<DestructionStore> {
  return DestructionStore.open(await Keyring.open(directory), keyring);
}

const unknownBackups: BackupKnowledge = {
  knowledge: 'unknown',
  restorable: [],
  remark:
    "The devices' own backups are not known here. A backup that was made before the destruction may hold the key.",
};

async function listedBackups(keyring: Keyring, id: KeyId): Promise<BackupKnowledge> {
  const register = new BackupRegister(keyring);
  const minimum = await register.minimum();
  const holding = (await register.entries()).filter(({ number, keys }) => number >= minimum && keys.includes(id));
  const named = holding
    .slice(-maximumNamed)
    .map(({ number, created, sha256 }) => `backup ${number} of ${created}, SHA-256 ${sha256}`);
  const others = holding.length - named.length;
  const restorable = others === 0 ? named : [`${others} older ones`, ...named];
  return { knowledge: 'listed', restorable, remark: backupRemark(minimum) };
}

/** A receipt, of which a record keeps several, has a size. */
const maximumNamed = 200;

function backupRemark(minimum: number): string {
  const retired = minimum > 1 ? ` Those before number ${minimum} count as destroyed because the operator said so.` : '';
  return `Backups made with nest-hsm from this keyring.${retired} Whether the key was migrated to another fleet, or the keyring copied, is not known here.`;
}
