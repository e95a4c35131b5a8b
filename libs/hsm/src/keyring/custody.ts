import type { KeyDescription } from '../key/key.js';
import { type BackupEntry, BackupRegister, type BackupState } from './backup/backup-register.js';
import { type BackupSummary, backupKeyLabel, createBackup } from './backup/create-backup.js';
import type { VerifiedBackup } from './backup/backup-file.js';
import { prepareRestore } from './backup/restore.js';
import { infrastructureLabels } from './infrastructure.js';
import type { KeyManagement, MemberKeys } from './key-management.js';
import type { KeyringRecord } from './keyring-record.js';
import { requirePossession } from './possession.js';
import { receiptKeyLabel } from './receipt.js';
import { Ceremony } from './recovery/ceremony.js';
import type { Destination } from './recovery/destination.js';
import type { PlannedKey } from './recovery/planned-key.js';
import type { RecoveryToken } from './recovery/recovery-token.js';

/** What leaves one fleet for another. */
export interface Departure {
  /** Keys with a form for a recovery key. */
  readonly records: readonly KeyringRecord[];
  /** Keys that stay, with why. */
  readonly others: readonly PlannedKey[];
}

/**
 * Keeps wrapped keys: gives them to members that joined late, backs them up, restores them, has them move to another fleet. For
 * whoever runs the fleet, not for applications: what brings keys back needs the recovery token, which they do not have.
 */
export class KeyCustody {
  readonly #register: BackupRegister;

  constructor(
    private readonly fleet: string,
    private readonly keys: MemberKeys,
    private readonly management: KeyManagement,
    private readonly destination: Destination,
  ) {
    this.#register = new BackupRegister(destination.keyring);
  }

  /** Prepares to give sealed keys to enrolled members that lack them. */
  async prepareResync(recovery: RecoveryToken): Promise<Ceremony> {
    return Ceremony.prepare(this.destination, recovery, await this.#sealed());
  }

  /** Prepares to bring a backup's keys back. @throws {HsmError} ERR_HSM_BACKUP_REFUSED */
  prepareRestore(backup: VerifiedBackup, recovery: RecoveryToken, state?: BackupState): Promise<Ceremony> {
    return prepareRestore(this.destination, this.fleet, backup, recovery, state);
  }

  /** Prepares to take in keys of another fleet. */
  prepareArrival({ records, others }: Departure, recovery: RecoveryToken): Promise<Ceremony> {
    return Ceremony.prepare(this.destination, recovery, records, others);
  }

  /**
   * Writes a backup to a new file.
   * @throws {HsmError} ERR_HSM_BACKUP_REFUSED
   */
  createBackup(path: string): Promise<BackupSummary> {
    const { fleet, destination, management } = this;
    const sign = async (key: KeyDescription, sha256: Buffer): Promise<Buffer> => {
      // Verified when the backup is read back, before it is written.
      const terms = { scheme: 'ecdsa-sha256', input: 'digest', format: 'der', verify: false } as const;
      return (await this.keys.fleet.call('sign', { ...terms, keyId: key.id, data: sha256 }, {})).signature;
    };
    return createBackup({ fleet, keyring: destination.keyring, keys: management, sign }, path);
  }

  /** The backups that were made, wherever their files are now. Those below the minimum are refused. */
  async backups(): Promise<readonly BackupEntry[]> {
    return this.#register.entries();
  }

  /** Has backups below this number refused from now on. */
  async retireBackups(minimum: number): Promise<void> {
    await this.destination.keyring.locked(() => this.#register.raise({ minimum }));
  }

  /** What to keep somewhere else, so that a restore refuses what this keyring would refuse. */
  backupState(): Promise<BackupState> {
    return this.#register.state(this.fleet);
  }

  /** What could leave for another fleet: sealed keys that members were shown to hold. */
  async departure(): Promise<Departure> {
    const destroyed = new Set((await this.destination.keyring.tombstones()).map(({ id }) => id));
    const sealed = (await this.#sealed()).filter(({ id }) => !destroyed.has(id));
    const known = new Set([...sealed.map(({ id }) => id), ...destroyed]);
    const { keys } = await this.keys.find({}, {});
    const strays = keys.filter(({ id, label }) => !known.has(id) && !infrastructureLabels.includes(label));
    const others = strays.map((key) => staying(key, 'cannot', neverLeft));
    const records: KeyringRecord[] = [];
    for (const record of sealed) {
      const isOwn = fleetsOwnLabels.includes(record.label);
      const why = isOwn ? ownKey : await this.#doubt(record);
      if (why === undefined) records.push(record);
      else others.push(staying(record, isOwn ? 'none' : 'cannot', why));
    }
    return { records, others };
  }

  async #sealed(): Promise<KeyringRecord[]> {
    return (await this.destination.keyring.list()).filter(({ state }) => state === 'sealed');
  }

  /** Why a member that should hold the key is not to be believed. */
  async #doubt(record: KeyringRecord): Promise<string | undefined> {
    if (record.recovery.length === 0) return 'it was made when no recovery key was configured';
    const holders = this.destination
      .members()
      .filter(({ name, isReachable }) => isReachable && record.members.includes(name));
    if (holders.length === 0) return 'no member that holds it can be reached';
    try {
      await Promise.all(holders.map((member) => requirePossession(member, record)));
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }
}

const neverLeft =
  'it was made on one device and never left it: make a new one, and use both until the old is done with';
/** Signed with by each fleet for itself. */
const fleetsOwnLabels: readonly string[] = [backupKeyLabel, receiptKeyLabel];
const ownKey = 'the other fleet has one of its own';

/** Keys that stay where they are, whoever keeps them. */
export function staying(
  { id, label, algorithm }: Pick<KeyDescription, 'id' | 'label' | 'algorithm'>,
  action: PlannedKey['action'],
  why: string,
): PlannedKey {
  return { id, label, algorithm, action, to: [], on: [], why };
}

/** What leaves a fleet whose devices copy their keys: nothing. */
export function noDeparture(keys: readonly KeyDescription[]): Departure {
  const ours = keys.filter(({ label }) => !infrastructureLabels.includes(label));
  return { records: [], others: ours.map((key) => staying(key, 'cannot', neverLeft)) };
}
