/**
 * The record of a PIN that the token refused, so that respawns, restarts and other processes never try it again until it
 * changes: a handful of attempts locks a token for good. Only a salted scrypt digest is kept, mode 0600, in a 0700 directory.
 */
import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HsmError } from '../../../errors.js';
import { base64, fits, record, type ShapeOf, text } from '../../../shape.js';

// 32 MiB and some 60 ms a guess: a stolen record must not give up a PIN of eight digits in an afternoon.
const scryptCost = { N: 1 << 15, r: 8, p: 1, maxmem: 64 << 20 };
const digestBytes = 32;
const deriveKey = promisify<Buffer, Buffer, number, typeof scryptCost, Buffer>(scrypt);

const recordShape = record({ salt: base64, digest: base64, refusedAt: text() });

export class RefusedPinRecord {
  readonly #path: string;

  /** @param tokenIdentity  what tells this token from others on the machine, e.g. manufacturer, model and serial */
  constructor(stateDirectory: string, tokenIdentity: string) {
    const name = createHash('sha256').update(tokenIdentity).digest('hex').slice(0, 32);
    this.#path = join(stateDirectory, `refused-pin-${name}.json`);
  }

  /** Whether the token refused this very PIN. @throws {HsmError} ERR_HSM_PIN_SOURCE when the record is unreadable */
  async holds(pin: Buffer): Promise<boolean> {
    const record = await this.#read();
    if (!record) return false;
    const digest = await deriveKey(pin, Buffer.from(record.salt, 'base64'), digestBytes, scryptCost);
    const recorded = Buffer.from(record.digest, 'base64');
    return recorded.length === digest.length && timingSafeEqual(recorded, digest);
  }

  /** When a PIN was refused, ISO 8601; undefined when the last one was not. */
  async refusedAt(): Promise<string | undefined> {
    return (await this.#read())?.refusedAt;
  }

  async write(pin: Buffer): Promise<void> {
    const salt = randomBytes(16);
    const digest = await deriveKey(pin, salt, digestBytes, scryptCost);
    const record = {
      salt: salt.toString('base64'),
      digest: digest.toString('base64'),
      refusedAt: new Date().toISOString(),
    };
    const temporary = `${this.#path}.${process.pid}`;
    await writeFile(temporary, `${JSON.stringify(record)}\n`, { mode: 0o600, flush: true });
    await rename(temporary, this.#path);
  }

  async clear(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async #read(): Promise<ShapeOf<typeof recordShape> | undefined> {
    try {
      const value: unknown = JSON.parse(await readFile(this.#path, 'utf8'));
      if (fits(recordShape, value)) return value;
      throw new Error(recordShape(value));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      // Taking a damaged record for none would try a PIN that may have been refused.
      throw new HsmError('ERR_HSM_PIN_SOURCE', `record of a refused PIN ${this.#path}: want it readable or removed`, {
        cause,
      });
    }
  }
}
