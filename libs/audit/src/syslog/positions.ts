import { constants } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { withProcessLock } from '@nest-hsm/hsm';
import { z } from 'zod';
import { AuditError, fileFault } from '../errors.js';
import { openRegular } from '../trail/lines.js';

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);

const positionsSchema = z
  .strictObject({
    version: z.literal(1),
    /** The last record of each chain that the collector has, by the chain's name. */
    chains: z.record(
      z.string(),
      z.strictObject({ id: z.string(), segment: z.string(), offset: count, seq: count, hash: sha256Hex }).readonly(),
    ),
    /** The last checkpoint that it has. */
    checkpoint: z.strictObject({ offset: count, hash: sha256Hex }).readonly().optional(),
  })
  .readonly();
export type Positions = z.output<typeof positionsSchema>;

/** How far a trail was forwarded. Written whole or not at all, and on the disk before anything is sent after it. */
export class PositionsFile {
  constructor(readonly path: string) {}

  /** Runs `work` while no other process of this machine forwards from here. */
  locked<T>(work: () => Promise<T>): Promise<T> {
    return withProcessLock(`${this.path}.lock`, work);
  }

  /** @returns the very beginning when there is no file yet @throws {AuditError} ERR_AUDIT_FILE_UNUSABLE */
  async read(): Promise<Positions> {
    try {
      const file = await openRegular(this.path, constants.O_RDONLY);
      const text = await file.readFile('utf8').finally(() => file.close());
      const parsed = positionsSchema.safeParse(JSON.parse(text));
      if (parsed.success) return parsed.data;
      const want = `${this.path}: want positions as they were written`;
      throw new AuditError('ERR_AUDIT_FILE_UNUSABLE', `${want}, got ${z.prettifyError(parsed.error)}`);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { version: 1, chains: {} };
      throw fileFault('ERR_AUDIT_FILE_UNUSABLE', this.path, 'a file of positions', cause);
    }
  }

  /** @throws {AuditError} ERR_AUDIT_FILE_UNUSABLE */
  async write(positions: Positions): Promise<void> {
    const temporary = `${this.path}.new`;
    try {
      const file = await openRegular(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
      try {
        await file.writeFile(`${JSON.stringify(positions, undefined, 2)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.path);
      const directory = await open(dirname(this.path));
      await directory.sync().finally(() => directory.close());
    } catch (cause) {
      throw fileFault('ERR_AUDIT_FILE_UNUSABLE', this.path, 'a file of positions to write', cause);
    }
  }
}
