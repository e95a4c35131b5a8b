import { constants } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { HsmError } from '../errors.js';
import type { KeyId } from '../key/key.js';
import { withProcessLock } from '../process-lock.js';
import { type KeyringRecord, keyringRecordSchema } from './keyring-record.js';

const maximumRecordBytes = 256 << 10;

/**
 * What is known of each replicated key, one JSON file a key, in a directory of its own (0700). A file is written whole or not
 * at all, and is on the disk when `write` returns: a key is never further than its record says.
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
    const names = await this.#names(/^[0-9a-f]{32}\.json$/);
    const records = await Promise.all(names.map((name) => this.#read(name)));
    return records.filter((record) => record !== undefined);
  }

  /** @returns undefined when there is none @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  read(id: KeyId): Promise<KeyringRecord | undefined> {
    return this.#read(`${id}.json`);
  }

  /** @returns the record as it was written, one generation on @throws {HsmError} ERR_HSM_KEYRING_UNUSABLE */
  async write(record: KeyringRecord): Promise<KeyringRecord> {
    const next = { ...record, generation: record.generation + 1 };
    const path = join(this.directory, `${record.id}.json`);
    const temporary = `${path}.${process.pid}.new`;
    try {
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(`${JSON.stringify(next, undefined, 2)}\n`);
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
    return next;
  }

  async remove(id: KeyId): Promise<void> {
    const path = join(this.directory, `${id}.json`);
    try {
      await rm(path, { force: true });
      await this.#sync();
    } catch (cause) {
      throw unusable(path, 'want to remove it', cause);
    }
  }

  /** Removes what a write left that was killed. Only inside `locked`. */
  async removeLeftovers(): Promise<void> {
    for (const name of await this.#names(/^[0-9a-f]{32}\.json\.\d+\.new$/)) await rm(join(this.directory, name));
  }

  async #names(pattern: RegExp): Promise<string[]> {
    try {
      return (await readdir(this.directory)).filter((name) => pattern.test(name)).sort();
    } catch (cause) {
      throw unusable(this.directory, 'want to list it', cause);
    }
  }

  async #read(name: string): Promise<KeyringRecord | undefined> {
    const path = join(this.directory, name);
    const text = await readOwn(path);
    if (text === undefined) return undefined;
    const parsed = keyringRecordSchema.safeParse(parseJson(text));
    if (!parsed.success) throw unusable(path, `want a record: ${z.prettifyError(parsed.error).slice(0, 500)}`);
    if (name !== `${parsed.data.id}.json`) throw unusable(path, `want the record of that key, got ${parsed.data.id}`);
    return Object.freeze(parsed.data);
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
