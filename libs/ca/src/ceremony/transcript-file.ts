import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CaError } from '../errors.js';
import {
  canonical,
  hashOf,
  maximumTranscriptBytes,
  parseTranscript,
  type TranscriptLine,
  type WrittenLine,
} from './transcript.js';

/** A transcript that is being written: each line is on the disk before the next step begins. */
export class TranscriptFile {
  private constructor(
    private readonly file: FileHandle,
    readonly lines: WrittenLine[],
  ) {}

  /**
   * Opens a transcript, or begins one. What a crash left of a line is taken off: it was never acted upon.
   * @throws {CaError} ERR_CA_TRANSCRIPT_INVALID | ERR_CA_CEREMONY_REFUSED when the file cannot be written
   */
  static async open(path: string): Promise<TranscriptFile> {
    const file = await opened(path);
    try {
      const { size } = await file.stat();
      if (size > maximumTranscriptBytes)
        throw new CaError(
          'ERR_CA_TRANSCRIPT_INVALID',
          `transcript: want at most ${maximumTranscriptBytes} octets, got ${size}`,
        );
      const octets = Buffer.alloc(size);
      await file.read(octets, 0, size, 0);
      const whole = octets.subarray(0, octets.lastIndexOf(0x0a) + 1);
      const lines = parseTranscript(whole);
      if (whole.length < size) await file.truncate(whole.length);
      return new TranscriptFile(file, lines);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** The place of the next line. */
  get next(): { readonly seq: number; readonly prev: string } {
    return { seq: this.lines.length + 1, prev: hashOf(this.lines.at(-1)) };
  }

  async append(line: TranscriptLine): Promise<void> {
    const octets = Buffer.from(canonical(line));
    await this.file.appendFile(Buffer.concat([octets, Buffer.of(0x0a)]));
    await this.file.sync();
    this.lines.push({ line, octets });
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

async function opened(path: string): Promise<FileHandle> {
  try {
    const file = await open(path, 'a+', 0o644);
    // The name of a new file is on the disk only when its directory is.
    const directory = await open(dirname(path), 'r');
    await directory.sync().finally(() => directory.close());
    return file;
  } catch (error) {
    throw new CaError('ERR_CA_CEREMONY_REFUSED', `transcript: want to write ${path}, got ${(error as Error).message}`, {
      cause: error,
    });
  }
}
