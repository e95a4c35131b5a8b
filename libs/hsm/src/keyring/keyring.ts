import { constants } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { HsmError } from '../errors.js';
import type { KeyId } from '../key/key.js';
import { withProcessLock } from '../process-lock.js';
import { type KeyringRecord, keyringRecordSchema } from './keyring-record.js';
import { type Tombstone, tombstoneSchema } from './tombstone.js';

/** The ids of ten thousand keys. */
const maximumRecordBytes = 1 << 20;

/**
 * What is known of each replicated key, one JSON file a key, and of each one destroyed, in a directory of its own (0700). A file
 * is written whole or not at all, and is on the disk when `write` returns: a key is never further than its record says.
 */
export class Keyring {
  /** @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  static async open(directory: string): Promise<Keyring> {
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const stats = await stat(directory);
      if (stats.uid !== process.getuid?.()) throw unusable(directory, 'want it owned by this user');
      if ((stats.mode & 0o077) !== 0) await chmod(directory, 0o700);
    } catch (cause) {
      throw cause instanceof HsmError ? cause : unusable(directory, 'want a directory to write to', cause);
    }
    return new Keyring(directory);
  }

  private constructor(readonly directory: string) {}

  /** Runs `work` while no other process of this machine changes what this keyring holds. */
  locked<T>(work: () => Promise<T>): Promise<T> {
    return withProcessLock(join(this.directory, 'keyring.lock'), work);
  }

  /** @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE naming the file that is not a record */
  async list(): Promise<KeyringRecord[]> {
    const names = await this.fileNames(/^[0-9a-f]{32}\.json$/);
    return all(names, (name) => this.#read(name));
  }

  /** @returns undefined when there is none @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  read(id: KeyId): Promise<KeyringRecord | undefined> {
    return this.#read(`${id}.json`);
  }

  /** @returns the record as it was written, one generation on @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  async write(record: KeyringRecord): Promise<KeyringRecord> {
    const next = { ...record, generation: record.generation + 1 };
    await this.writeFile(`${record.id}.json`, next);
    return next;
  }

  async remove(id: KeyId): Promise<void> {
    await this.removeFile(`${id}.json`);
  }

  /** @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  async tombstones(): Promise<Tombstone[]> {
    const names = await this.fileNames(/^[0-9a-f]{32}\.tombstone\.json$/);
    return all(names, (name) => this.readFile(name, tombstoneSchema));
  }

  /** @returns undefined when the key was not destroyed @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  tombstone(id: KeyId): Promise<Tombstone | undefined> {
    return this.readFile(`${id}.tombstone.json`, tombstoneSchema);
  }

  /** The first tombstone of a key stays. @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  async entomb(tombstone: Tombstone): Promise<void> {
    if ((await this.tombstone(tombstone.id)) !== undefined) return;
    await this.writeFile(`${tombstone.id}.tombstone.json`, tombstone);
  }

  /** Takes a tombstone away whose key was not destroyed after all. */
  async exhume(id: KeyId): Promise<void> {
    await this.removeFile(`${id}.tombstone.json`);
  }

  /** Removes what a write left that was killed. Only inside `locked`. */
  async removeLeftovers(): Promise<void> {
    for (const name of await this.fileNames(/\.json\.\d+\.new$/)) await rm(join(this.directory, name));
  }

  /** Whole or not at all, and on the disk when this returns. @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  async writeFile(name: string, content: object): Promise<void> {
    const path = join(this.directory, name);
    const temporary = `${path}.${process.pid}.new`;
    try {
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(`${JSON.stringify(content, undefined, 2)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      await this.#sync();
    } catch (cause) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw unusable(path, 'want to write it', cause);
    }
  }

  /** @returns undefined when there is none @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE when it is another kind of file */
  async readFile<T>(name: string, schema: z.ZodType<T>): Promise<T | undefined> {
    const path = join(this.directory, name);
    const text = await readOwn(path);
    if (text === undefined) return undefined;
    const parsed = schema.safeParse(parseJson(text));
    if (!parsed.success) throw unusable(path, `want a record: ${z.prettifyError(parsed.error).slice(0, 500)}`);
    return Object.freeze(parsed.data);
  }

  async removeFile(name: string): Promise<void> {
    const path = join(this.directory, name);
    try {
      await rm(path, { force: true });
      await this.#sync();
    } catch (cause) {
      throw unusable(path, 'want to remove it', cause);
    }
  }

  /** Names of files in it, sorted. @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  async fileNames(pattern: RegExp): Promise<string[]> {
    try {
      return (await readdir(this.directory)).filter((name) => pattern.test(name)).sort();
    } catch (cause) {
      throw unusable(this.directory, 'want to list it', cause);
    }
  }

  async #read(name: string): Promise<KeyringRecord | undefined> {
    const record = await this.readFile(name, keyringRecordSchema);
    if (record === undefined || name === `${record.id}.json`) return record;
    throw unusable(join(this.directory, name), `want the record of that key, got ${record.id}`);
  }

  /** A renamed or removed file is lasting once its directory is. */
  async #sync(): Promise<void> {
    const directory = await open(this.directory, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

/** One after the other: a process has only so many files. What is gone meanwhile is left out. */
async function all<T>(names: readonly string[], read: (name: string) => Promise<T | undefined>): Promise<T[]> {
  const found: T[] = [];
  for (const name of names) {
    const content = await read(name);
    if (content !== undefined) found.push(content);
  }
  return found;
}

/** Only what its owner alone may write: whoever changes a record chooses what a key is taken for. */
async function readOwn(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stats = await file.stat();
      if (!stats.isFile() || stats.size > maximumRecordBytes) throw unusable(path, 'want a file of a record');
      if ((stats.mode & 0o077) !== 0) throw unusable(path, 'want mode 0600');
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw cause instanceof HsmError ? cause : unusable(path, 'want to read it', cause);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unusable(path: string, fault: string, cause?: unknown): HsmError {
  const got = (cause as NodeJS.ErrnoException | undefined)?.code;
  const message = `keyring ${path}: ${fault}${got === undefined ? '' : `, got ${got}`}`;
  return new HsmError('ERR_HSM_KEYRING_UNUSABLE', message, { cause });
}
