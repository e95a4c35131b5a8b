import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { withProcessLock } from '@nest-hsm/hsm';
import { AuditError, fileFault } from '../errors.js';
import { openRegular } from '../trail/lines.js';
import { formatCheckpoint, maximumCheckpointBytes, parseCheckpoint, type SignedCheckpoint } from './checkpoint.js';

/** The checkpoints of a trail, one a line, appended; on the disk when `append` returns. */
export class CheckpointFile {
  constructor(readonly path: string) {}

  /** Runs `work` while no other process of this machine adds to this file. */
  locked<T>(work: () => Promise<T>): Promise<T> {
    return withProcessLock(`${this.path}.lock`, work);
  }

  /**
   * The last checkpoint, whose signature is not looked at; undefined when there is none.
   * @throws {AuditError} ERR_AUDIT_CHECKPOINTS_ALTERED | ERR_AUDIT_FILE_UNUSABLE
   */
  async last(): Promise<SignedCheckpoint | undefined> {
    return this.#withFile(async (file) => {
      const { bytes } = await this.#lastLine(file);
      if (bytes.length === 0) return undefined;
      const checkpoint = parseCheckpoint(bytes.toString('latin1'));
      if (checkpoint !== undefined) return checkpoint;
      throw new AuditError(
        'ERR_AUDIT_CHECKPOINTS_ALTERED',
        `${this.path}: want a checkpoint in the last line, got none`,
      );
    });
  }

  /** @throws {AuditError} ERR_AUDIT_FILE_UNUSABLE */
  async append(checkpoint: SignedCheckpoint): Promise<void> {
    await this.#withFile(async (file) => {
      // What a crash, or a full disk, left of a line was never given out.
      await file.truncate((await this.#lastLine(file)).end);
      await file.appendFile(`${formatCheckpoint(checkpoint)}\n`);
      await file.sync();
    });
    const directory = await open(dirname(this.path));
    await directory.sync().finally(() => directory.close());
  }

  /** @returns the last whole line without its newline, empty when there is none, and where the line after it begins */
  async #lastLine(file: FileHandle): Promise<{ bytes: Buffer; end: number }> {
    const { size } = await file.stat();
    // A torn line may stand after it.
    const length = Math.min(size, 2 * (maximumCheckpointBytes + 1));
    const tail = Buffer.alloc(length);
    await file.read(tail, 0, length, size - length);
    const end = tail.lastIndexOf('\n');
    const begin = end <= 0 ? 0 : tail.lastIndexOf('\n', end - 1) + 1;
    if (begin === 0 && length < size) {
      throw new AuditError(
        'ERR_AUDIT_CHECKPOINTS_ALTERED',
        `${this.path}: want lines of checkpoints, got none at its end`,
      );
    }
    return { bytes: tail.subarray(begin, Math.max(end, 0)), end: size - length + end + 1 };
  }

  async #withFile<T>(work: (file: FileHandle) => Promise<T>): Promise<T> {
    try {
      const flags = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND;
      const file = await openRegular(this.path, flags, 0o600);
      return await work(file).finally(() => file.close());
    } catch (cause) {
      throw fileFault('ERR_AUDIT_FILE_UNUSABLE', this.path, 'a file of checkpoints to append to', cause);
    }
  }
}
