import { HsmError } from '../../errors.js';
import { Ceremony } from '../recovery/ceremony.js';
import type { Destination } from '../recovery/destination.js';
import type { PlannedKey } from '../recovery/planned-key.js';
import type { RecoveryToken } from '../recovery/recovery-token.js';
import type { Tombstone } from '../tombstone.js';
import type { VerifiedBackup } from './backup-file.js';
import { BackupRegister, type BackupState } from './backup-register.js';

/**
 * Prepares to bring a backup's keys onto a fleet. Nothing is changed yet.
 * @param state  what was kept elsewhere of the keyring that the backup is of, if its own directory is lost
 * @throws {HsmError} ERR_HSM_BACKUP_REFUSED when it is of another fleet or too old
 */
export async function prepareRestore(
  destination: Destination,
  fleet: string,
  backup: VerifiedBackup,
  recovery: RecoveryToken,
  state?: BackupState,
): Promise<Ceremony> {
  const register = new BackupRegister(destination.keyring);
  requireOfFleet(fleet, backup, state);
  requireRecent(backup, Math.max(await register.minimum(), state?.minimum ?? 1));
  const { manifest, records } = backup;
  const destroyed = new Map([...manifest.tombstones, ...(state?.tombstones ?? [])].map((each) => [each.id, each]));
  await requireUnused(destination, [...destroyed.values()]);
  const others = records.flatMap((record) => skipped(record, destroyed.get(record.id)));
  const wanted = records.filter(({ id }) => !destroyed.has(id));
  return Ceremony.prepare(destination, recovery, wanted, others, () =>
    destination.keyring.locked(() => adopt(destination, register, backup, [...destroyed.values()], state)),
  );
}

/** What the keyring knew of keys and backups that are gone, before the first key comes back. */
async function adopt(
  { keyring }: Destination,
  register: BackupRegister,
  { manifest, sha256 }: VerifiedBackup,
  destroyed: readonly Tombstone[],
  state: BackupState | undefined,
): Promise<void> {
  for (const tombstone of destroyed) await keyring.entomb(tombstone);
  if (state !== undefined) await register.raise(state);
  const { number, created, keys } = manifest;
  const isKnown = (await register.entries()).some((entry) => entry.number === number);
  if (!isKnown) await register.add({ number, created, sha256, keys: keys.map(({ id }) => id) });
}

function requireOfFleet(fleet: string, { manifest }: VerifiedBackup, state: BackupState | undefined): void {
  for (const [what, got] of [
    ['backup', manifest.fleet],
    ['state', state?.fleet ?? fleet],
  ] as const) {
    if (got !== fleet) throw new HsmError('ERR_HSM_BACKUP_REFUSED', `${what}: want it of "${fleet}", got "${got}"`);
  }
}

function requireRecent({ manifest: { number, created } }: VerifiedBackup, minimum: number): void {
  if (number >= minimum) return;
  const message = `backup: want number ${minimum} or a later one, got ${number} of ${created}`;
  throw new HsmError('ERR_HSM_BACKUP_REFUSED', message);
}

/** A tombstone from outside must not have a key destroyed that is in use here. */
async function requireUnused({ keyring }: Destination, destroyed: readonly Tombstone[]): Promise<void> {
  for (const { id } of destroyed) {
    if ((await keyring.tombstone(id)) !== undefined || (await keyring.read(id)) === undefined) continue;
    const message = `key ${id}: want it destroyed as the backup or its state says, got it in the keyring`;
    throw new HsmError('ERR_HSM_BACKUP_REFUSED', message);
  }
}

function skipped(
  record: Pick<PlannedKey, 'id' | 'label' | 'algorithm'>,
  tombstone: Tombstone | undefined,
): PlannedKey[] {
  if (tombstone === undefined) return [];
  const { id, label, algorithm } = record;
  return [{ id, label, algorithm, action: 'none', to: [], on: [], why: `destroyed ${tombstone.destroyed}` }];
}
