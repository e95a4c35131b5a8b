import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { type SegmentName, segmentName } from './segment-name.js';

/** A link would let whoever made it choose what is appended to. */
const flags = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The segment that an agent appends to: mode 0600, its name on the disk before its first line. */
export class SegmentFile {
  /** @throws what the file system says */
  static async open(directory: string, name: SegmentName): Promise<SegmentFile> {
    const file = await open(join(directory, segmentName(name)), flags, 0o600);
    try {
      const stats = await file.stat();
      if (!stats.isFile()) throw Object.assign(new Error('want a regular file'), { code: 'EFTYPE' });
      if ((stats.mode & 0o077) !== 0) await file.chmod(0o600);
      await syncDirectory(directory);
      return new SegmentFile(name, file, stats.size);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private constructor(
    readonly name: SegmentName,
    private readonly file: FileHandle,
    private size_: number,
  ) {}

  /** Why some of it may never be on the disk. */
  #syncFailure: Error | undefined;

  /** Whether what is appended can still be relied on to get onto the disk. */
  get isSound(): boolean {
    return this.#syncFailure === undefined;
  }

  /** In bytes, of whole lines. */
  get size(): number {
    return this.size_;
  }

  /**
   * Appends whole lines.
   * @throws what the file system says; `isWhole` tells whether the bytes that were written all the same could be taken back
   */
  async append(lines: Buffer): Promise<void> {
    let written = 0;
    try {
      while (written < lines.length) written += (await this.file.write(lines, written)).bytesWritten;
      this.size_ += lines.length;
    } catch (cause) {
      throw new AppendError(written === 0 || (await this.#takeBack()), cause);
    }
  }

  /**
   * Returns when all that was appended is on the disk. After one failure it never does: the system then takes what it could not
   * write for written, and would not try again.
   */
  async sync(): Promise<void> {
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    try {
      await this.file.datasync();
    } catch (cause) {
      this.#syncFailure = cause as Error;
      throw cause;
    }
  }

  close(): Promise<void> {
    return this.file.close();
  }

  async #takeBack(): Promise<boolean> {
    try {
      await this.file.truncate(this.size_);
      return true;
    } catch {
      // An append-only file (chattr +a) keeps them: they are told of in the next segment.
      return false;
    }
  }
}

export class AppendError extends Error {
  constructor(
    readonly isWhole: boolean,
    override readonly cause: unknown,
  ) {
    super('the lines could not be appended', { cause });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
