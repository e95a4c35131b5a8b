import { join } from 'node:path';
import type { NewKey } from '../agent/protocol.js';
import { noStateDirectory, type ParsedHsmConfig } from '../config.js';
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

/** What processes of a host that share keys must share about their lives. */
interface SharedRecords {
  readonly destructions: Destructions;
  readonly store: DestructionStore;
  readonly rotationLock: string;
}

/** The keys of a fleet through their lives: made, found, followed by their next version, destroyed. */
export class FleetKeys {
  /** @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  static async open(config: ParsedHsmConfig, fleet: Fleet): Promise<FleetKeys> {
    const members = new MemberKeys(fleet, config);
    const { replication: how, name, stateDirectory, deadlineMilliseconds, client } = config;
    const management = how.mode === 'vendor' ? new VendorKeys(members) : await WrappedKeys.open(members, name, how);
    const keyring = management instanceof WrappedKeys ? management.keyring : undefined;
    // Where keys are wrapped the keyring is what is shared.
    const directory = keyring
      ? join(keyring.directory, 'destroyed')
      : stateDirectory && join(stateDirectory, `${name}.destroyed`);
    if (directory === undefined) return new FleetKeys(config, members, management);
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
    const shared = { destructions, store, rotationLock: join(directory, 'rotation.lock') };
    return new FleetKeys(config, members, management, shared);
  }

  #isClosed = false;

  /** @param shared  absent for an application without a directory of its own, which then neither destroys nor rotates keys */
  private constructor(
    private readonly config: ParsedHsmConfig,
    private readonly members: MemberKeys,
    readonly management: KeyManagement,
    private readonly shared?: SharedRecords,
  ) {}

  /** The keys that match and can be used, as `KeyManagement.find`. */
  async find({ version, ...selector }: KeySelector, options: FleetCallOptions): Promise<FoundKeys> {
    await this.shared?.store.refresh();
    const { keys, asked } = await this.management.find(selector, options);
    const isMeant = (key: FleetKey): boolean =>
      !this.#isDestroyed(key.id) && (version === undefined || versionOf(key).version === version);
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

  /** Before a key is made that is to be destroyed. @throws {HsmError} ERR_HSM_CONFIG_INVALID where none can be */
  requireRecords(): void {
    void this.#records;
  }

  /** As Destructions.destroy. */
  async destroy(key: KeyDescription, options: DestructionOptions): Promise<SignedReceipt> {
    const { destructions } = this.#records;
    // What a receipt says of a key is what a token says, not what the caller holds; one that is damaged no token describes.
    const found = await this.management.find({ id: key.id }, options).catch(() => undefined);
    return destructions.destroy(found?.keys[0] ?? key, options);
  }

  async receipts(): Promise<readonly SignedReceipt[]> {
    return this.#records.destructions.receipts();
  }

  receiptKey(): Promise<KeyDescription & { readonly spki: Buffer }> {
    return receiptKey(this.management);
  }

  /** As rotation.ts says. */
  async rotate(label: string, options: FleetCallOptions): Promise<FleetKey> {
    const { rotationLock } = this.#records;
    const newest = async (): Promise<FleetKey> => {
      const choice = this.choose(await this.find({ label }, options));
      if ('key' in choice) return choice.key;
      const code = choice.count === 0 ? 'ERR_HSM_KEY_NOT_FOUND' : 'ERR_HSM_KEY_AMBIGUOUS';
      throw new HsmError(code, `key "${label}": want one to follow, got ${choice.count || 'none'}`);
    };
    return rotate(this.management, label, rotationLock, newest, options);
  }

  /** As consistency-audit.ts says. */
  async audit(options: FleetCallOptions): Promise<ConsistencyReport> {
    this.#requireOpen();
    await this.shared?.store.refresh();
    const { management, members } = this;
    const records = management instanceof WrappedKeys ? await management.keyring.list() : undefined;
    const expectations = { quorum: members.quorum, records, isDestroyed: (id: KeyId) => this.#isDestroyed(id) };
    return auditConsistency(fleetMembers(members.fleet), expectations, options);
  }

  /** @throws {HsmError} ERR_HSM_KEY_NOT_FOUND when the key was destroyed, or is being so wherever it still is */
  requireUsable(...ids: readonly KeyId[]): void {
    const destroyed = ids.find((id) => this.#isDestroyed(id));
    if (destroyed === undefined) return;
    throw new HsmError(
      'ERR_HSM_KEY_NOT_FOUND',
      `key ${destroyed}: want one to use, got one whose destruction has begun`,
    );
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.management.close();
    await this.shared?.destructions.close();
  }

  /** @throws {HsmError} ERR_HSM_CONFIG_INVALID when this application keeps none */
  get #records(): SharedRecords {
    this.#requireOpen();
    if (this.shared !== undefined) return this.shared;
    throw noStateDirectory(this.config);
  }

  #isDestroyed(id: KeyId): boolean {
    return this.shared?.destructions.has(id) ?? false;
  }

  #requireOpen(): void {
    if (this.#isClosed) throw closed(this.config.name);
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
