/** Whether a token may be initialised although it was in use: what it holds is gone then. */
import { existsSync } from 'node:fs';
import { HsmError } from '../errors.js';
import { type BackupEntry, BackupRegister } from '../keyring/backup/backup-register.js';
import { infrastructureLabels } from '../keyring/infrastructure.js';
import { Keyring } from '../keyring/keyring.js';
import type { TokenContents, TokenState } from './protocol.js';

/** What whoever provisions said about tokens that hold keys. */
export interface ErasureConsent {
  /** Labels of the tokens that may go because the newest backup has every key of them. */
  readonly backedUp: readonly string[];
  /** Labels of the tokens whose keys are to be destroyed, backed up or not. */
  readonly destroyKeys: readonly string[];
}

/**
 * @param contents  undefined when nobody could look: then it may hold anything
 * @param keyring  the directory where the fleet's backups are on record, if it has one
 * @throws {HsmError} ERR_HSM_TOKEN_HOLDS_KEYS | ERR_HSM_KEYRING_UNUSABLE
 */
export async function assertMayErase(
  { label, serial, hasUserPin }: TokenState,
  contents: TokenContents | undefined,
  { backedUp, destroyKeys }: ErasureConsent,
  keyring: string | undefined,
): Promise<void> {
  // Those are made anew on every token, so nothing is lost with them.
  const keys = contents?.keys.filter((key) => !infrastructureLabels.includes(key.label));
  // Without a user there is nobody whose private objects it could hold.
  const isEmpty = keys === undefined ? !hasUserPin : keys.length === 0;
  if (isEmpty || destroyKeys.includes(label)) return;
  const token = `token "${label}" (serial ${serial})`;
  if (keys === undefined) throw holdsKeys(`${token} may hold keys, and nobody could look for them`, label);
  const backup = keyring === undefined ? undefined : await newestBackup(keyring);
  const missing = keys.filter(({ id }) => !backup?.keys.some((backedUpId) => backedUpId === id));
  if (missing.length === 0) {
    if (backedUp.includes(label)) return;
    const how = `--confirm ${JSON.stringify(label)}, since backup ${backup?.number} has them all, or`;
    throw holdsKeys(`${token} holds ${keys.length} keys`, label, how);
  }
  const named = missing.slice(0, 3).map((key) => `"${key.label}"`).join(', '); // prettier-ignore
  throw holdsKeys(`${token} holds ${missing.length} keys that the newest backup has not (${named})`, label);
}

/** By its number: later ones hold what was made later. */
async function newestBackup(keyring: string): Promise<BackupEntry | undefined> {
  if (!existsSync(keyring)) return undefined;
  const register = new BackupRegister(await Keyring.open(keyring));
  const newest = (await register.entries()).at(-1);
  return newest !== undefined && newest.number >= (await register.minimum()) ? newest : undefined;
}

function holdsKeys(what: string, label: string, how = ''): HsmError {
  const want = `${how} --destroy-keys ${JSON.stringify(label)}`.trim();
  return new HsmError('ERR_HSM_TOKEN_HOLDS_KEYS', `${what}: want ${want} to initialise it`);
}
