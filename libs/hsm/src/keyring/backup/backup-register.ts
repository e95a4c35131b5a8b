/**
 * Which backups were made of a keyring, and which of them are still accepted: kept in the keyring's directory, outside the files
 * themselves, so that an old file cannot say that it is good.
 */
import { z } from 'zod';
import { hexDigest, keyIdSchema } from '../keyring-record.js';
import type { Keyring } from '../keyring.js';
import { type Tombstone, tombstoneSchema } from '../tombstone.js';

const backupNumber = z.int().min(1).max(Number.MAX_SAFE_INTEGER);

const entrySchema = z.strictObject({
  version: z.literal(1),
  number: backupNumber,
  created: z.iso.datetime(),
  /** Of the whole file. */
  sha256: hexDigest,
  /** The keys that can be restored from it. */
  keys: z.array(keyIdSchema),
});
/** A backup that was made. It may be anywhere; only its number and digest are known. */
export type BackupEntry = Readonly<z.output<typeof entrySchema>>;

const numbersSchema = z.strictObject({
  version: z.literal(1),
  minimum: backupNumber,
  /** Of the last backup that is known of, where its entry is not. */
  last: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
});
type Numbers = Omit<z.output<typeof numbersSchema>, 'version'>;

/** What must outlive the keyring for its backups to be restored as it would: kept somewhere else. */
export const backupStateSchema = z.strictObject({
  format: z.literal('nest-hsm backup state'),
  version: z.literal(1),
  fleet: z.string(),
  /** Backups of a lower number are refused. */
  minimum: backupNumber,
  /** The number of the last backup; 0 before the first. */
  last: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
  tombstones: z.array(tombstoneSchema),
});
export type BackupState = Readonly<z.output<typeof backupStateSchema>>;

const numbersFile = 'backup-numbers.json';
const entryFile = (number: number): string => `backup-${String(number).padStart(6, '0')}.json`;
const entryPattern = /^backup-\d{6,16}\.json$/;

export class BackupRegister {
  constructor(private readonly keyring: Keyring) {}

  /** In the order of their numbers. @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  async entries(): Promise<BackupEntry[]> {
    const names = await this.keyring.fileNames(entryPattern);
    const entries: BackupEntry[] = [];
    for (const name of names) {
      const entry = await this.keyring.readFile(name, entrySchema);
      if (entry !== undefined) entries.push(entry);
    }
    return entries.sort((a, b) => a.number - b.number);
  }

  /** Backups of a lower number are refused. */
  async minimum(): Promise<number> {
    return (await this.#numbers()).minimum;
  }

  /** Refuses backups below the minimum, and gives numbers above the last, from now on. Neither goes back. */
  async raise({ minimum = 1, last = 0 }: Partial<Numbers>): Promise<void> {
    const known = await this.#numbers();
    if (minimum <= known.minimum && last <= known.last) return;
    const raised = { minimum: Math.max(minimum, known.minimum), last: Math.max(last, known.last) };
    await this.keyring.writeFile(numbersFile, { version: 1, ...raised });
  }

  /** The number of the next backup: one that no earlier one has, and that is accepted. */
  async nextNumber(): Promise<number> {
    return Math.max((await this.#last()) + 1, await this.minimum());
  }

  async add(entry: Omit<BackupEntry, 'version'>): Promise<void> {
    await this.keyring.writeFile(entryFile(entry.number), { version: 1, ...entry });
  }

  /** Of a backup whose file was not written. */
  async withdraw(number: number): Promise<void> {
    await this.keyring.removeFile(entryFile(number));
  }

  async state(fleet: string): Promise<BackupState> {
    const tombstones: Tombstone[] = await this.keyring.tombstones();
    const facts = { minimum: await this.minimum(), last: await this.#last(), tombstones };
    return { format: 'nest-hsm backup state', version: 1, fleet, ...facts };
  }

  async #last(): Promise<number> {
    return Math.max((await this.entries()).at(-1)?.number ?? 0, (await this.#numbers()).last);
  }

  async #numbers(): Promise<Numbers> {
    return (await this.keyring.readFile(numbersFile, numbersSchema)) ?? { minimum: 1, last: 0 };
  }
}
