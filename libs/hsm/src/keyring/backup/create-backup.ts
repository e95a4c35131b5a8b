import { createHash, createPublicKey } from 'node:crypto';
import { basename } from 'node:path';
import { fingerprint } from '../../algorithm/encoding-public-key.js';
import { HsmError } from '../../errors.js';
import type { KeyDescription } from '../../key/key.js';
import { lineageOfLabel, newestFirst, newKeyId } from '../../key/key-version.js';
import { infrastructureLabels } from '../infrastructure.js';
import type { KeyManagement } from '../key-management.js';
import type { Keyring } from '../keyring.js';
import type { KeyringRecord } from '../keyring-record.js';
import { decodeBackup, encodeBackup } from './backup-file.js';
import { BackupRegister } from './backup-register.js';
import { writeBackup } from './backup-storage.js';
import { type AbsentKey, blobDigests, type Manifest, toManifestKey } from './manifest.js';

/** What a backup's manifest is signed with, and nothing else. Replicated and backed up as the others are. */
export const backupKeyLabel = 'nest-hsm-backup';

/** Signs a digest with a key of the fleet. */
export type DigestSigner = (key: KeyDescription, sha256: Buffer) => Promise<Buffer>;

export interface BackupSummary {
  readonly number: number;
  readonly file: string;
  /** Of the whole file, hexadecimal. */
  readonly sha256: string;
  readonly keys: Manifest['keys'];
  /** Keys of the fleet that are not in it, with why. */
  readonly absent: readonly AbsentKey[];
  /** PEM of the key that signed it, to be kept where the backup is not. */
  readonly publicKey: string;
  readonly fingerprint: string;
}

export interface BackupSource {
  readonly fleet: string;
  readonly keyring: Keyring;
  readonly keys: KeyManagement;
  readonly sign: DigestSigner;
}

/**
 * Writes every sealed key's recovery forms into one file, with a manifest that the HSM signed.
 * @throws {HsmError} ERR_HSM_BACKUP_REFUSED, and what the fleet says
 */
export async function createBackup(source: BackupSource, path: string): Promise<BackupSummary> {
  const signer = await backupKey(source.keys);
  const spki = signer.spki as Buffer;
  const onTokens = (await source.keys.find({}, {})).keys;
  const register = new BackupRegister(source.keyring);
  return source.keyring.locked(async () => {
    const { manifest, blobs } = await contents(source, register, onTokens);
    const text = Buffer.from(JSON.stringify(manifest));
    const signature = await source.sign(signer, createHash('sha256').update(text).digest());
    const bytes = encodeBackup(spki, signature, text, blobs);
    // A backup that could not be read is found now, not when it is needed.
    const { sha256 } = decodeBackup(bytes, fingerprint(spki));
    const { number, created, keys, absent } = manifest;
    // Registered first: whoever destroys a key is told of every file that may exist.
    await register.add({ number, created, sha256, keys: keys.map(({ id }) => id) });
    try {
      await writeBackup(path, bytes);
    } catch (error) {
      // Where the file may still be there, it is one that could bring keys back.
      if (error instanceof HsmError) await register.withdraw(number);
      throw error;
    }
    const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const pem = publicKey.export({ format: 'pem', type: 'spki' }).toString();
    return { number, file: basename(path), sha256, keys, absent, publicKey: pem, fingerprint: fingerprint(spki) };
  });
}

/** The newest of its label, as all processes find it; made when there is none. */
async function backupKey(keys: KeyManagement): Promise<KeyDescription> {
  const { keys: found } = await keys.find({ label: backupKeyLabel, usage: 'sign' }, {});
  const [newest] = newestFirst(found);
  const terms = { label: backupKeyLabel, algorithm: 'ec-p256', usage: 'sign', extractable: false } as const;
  const id = newKeyId(backupKeyLabel, lineageOfLabel(backupKeyLabel));
  return newest ?? keys.generate({ ...terms, id }, {});
}

async function contents(
  { fleet, keyring }: BackupSource,
  register: BackupRegister,
  onTokens: readonly KeyDescription[],
): Promise<{ manifest: Manifest; blobs: string[] }> {
  const tombstones = await keyring.tombstones();
  const destroyed = new Set(tombstones.map(({ id }) => id));
  const records = (await keyring.list()).filter(({ id }) => !destroyed.has(id));
  const kept = records.filter(({ state, recovery }) => state === 'sealed' && recovery.length > 0);
  const keys = kept.map(toManifestKey);
  const manifest = {
    ...({ format: 'nest-hsm backup', version: 1 } as const),
    ...{ fleet, number: await register.nextNumber(), created: new Date().toISOString() },
    ...{
      keys,
      tombstones,
      absent: absent(
        records,
        kept,
        onTokens.filter(({ id }) => !destroyed.has(id)),
      ),
    },
  };
  const bytes = new Map(kept.flatMap(blobs));
  return { manifest, blobs: blobDigests(keys).map((digest) => bytes.get(digest) as string) };
}

/** What nobody should believe to be in the backup. */
function absent(
  records: readonly KeyringRecord[],
  kept: readonly KeyringRecord[],
  onTokens: readonly KeyDescription[],
): AbsentKey[] {
  const reason = ({ state }: KeyringRecord): string =>
    state === 'sealed' ? 'it was made when no recovery key was configured' : `it is ${state}`;
  const known = new Set(records.map(({ id }) => id));
  return [
    ...records.filter((record) => !kept.includes(record)).map((record) => ({ ...named(record), why: reason(record) })),
    ...onTokens
      .filter(({ id, label }) => !known.has(id) && !infrastructureLabels.includes(label))
      .map((key) => ({ ...named(key), why: 'it was not made for several members, and never left the one it is on' })),
  ];
}

function named({ id, label, algorithm }: Pick<KeyDescription, 'id' | 'label' | 'algorithm'>): Omit<AbsentKey, 'why'> {
  return { id, label, algorithm };
}

function blobs({ recovery }: KeyringRecord): [string, string][] {
  return recovery.flatMap(({ transport, wrapped }) =>
    [transport, wrapped].map(({ sha256, bytes }): [string, string] => [sha256, bytes]),
  );
}
