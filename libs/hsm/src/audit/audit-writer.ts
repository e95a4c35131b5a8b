import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HsmError } from '../errors.js';
import type { AuditEvent } from './audit-event.js';

/** Characters that may wait for a slow disk; lines beyond are lost, and counted. */
const maximumPendingLength = 8 << 20;

/** Lines that are written together. */
interface Batch {
  readonly lines: string[];
  /** Whether they reached the file. */
  written: Promise<boolean>;
}

/**
 * Appends events to a file, one JSON object a line, mode 0600. What comes in while a write is under way goes out in the next
 * one, so that recording a hot operation costs the agent some microseconds. Losing lines is never silent: `onLoss` is
 * told when it begins, and the file itself says how many are missing once it can be written again.
 */
export class AuditWriter {
  #open: Batch | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #pendingLength = 0;
  #lost = 0;

  /** @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE */
  static async open(path: string, onLoss: (error: HsmError) => void = () => undefined): Promise<AuditWriter> {
    // A link would let whoever owns its directory choose what is appended to.
    const flags = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW;
    try {
      const file = await open(path, flags, 0o600);
      const stats = await file.stat();
      if (stats.isFile() && (stats.mode & 0o077) !== 0) await file.chmod(0o600);
      return new AuditWriter(file, path, onLoss);
    } catch (cause) {
      throw unavailable(path, cause);
    }
  }

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    private readonly onLoss: (error: HsmError) => void,
  ) {}

  /** Lines lost that the file does not tell of yet. */
  get lostLines(): number {
    return this.#lost;
  }

  /** Records what happened, soon. */
  record(event: AuditEvent): void {
    void this.#append(event);
  }

  /**
   * Records what is about to be done; when it returns, the line is on the disk.
   * @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE: then it must not be done
   */
  async recordDurably(event: AuditEvent): Promise<void> {
    if (!(await this.#append(event))) throw unavailable(this.path);
    try {
      await this.file.datasync();
    } catch (cause) {
      throw unavailable(this.path, cause);
    }
  }

  /** Writes what is pending. */
  async close(): Promise<void> {
    await this.#tail;
    await this.file.close();
  }

  #append(event: AuditEvent): Promise<boolean> {
    const line = `${JSON.stringify(event)}\n`;
    if (this.#pendingLength + line.length > maximumPendingLength) {
      this.#lose(1);
      return Promise.resolve(false);
    }
    this.#pendingLength += line.length;
    this.#open ??= this.#startBatch();
    this.#open.lines.push(line);
    return this.#open.written;
  }

  #startBatch(): Batch {
    const batch: Batch = { lines: [], written: Promise.resolve(false) };
    batch.written = this.#tail.then(() => nextTurn()).then(() => this.#write(batch));
    this.#tail = batch.written;
    return batch;
  }

  async #write({ lines }: Batch): Promise<boolean> {
    this.#open = undefined;
    const text = lines.join('');
    this.#pendingLength -= text.length;
    const lost = this.#lost;
    try {
      await this.file.appendFile(gapLine(lost) + text);
      this.#lost -= lost;
      return true;
    } catch (cause) {
      this.#lose(lines.length, cause);
      return false;
    }
  }

  #lose(count: number, cause?: unknown): void {
    if (this.#lost === 0) this.onLoss(unavailable(this.path, cause));
    this.#lost += count;
  }
}

function gapLine(lost: number): string {
  return lost === 0 ? '' : `${JSON.stringify({ time: new Date().toISOString(), kind: 'gap', lost })}\n`;
}

function unavailable(path: string, cause?: unknown): HsmError {
  const got = (cause as NodeJS.ErrnoException | undefined)?.code;
  return new HsmError(
    'ERR_HSM_AUDIT_UNAVAILABLE',
    `audit file ${path}: want to append to it${got ? `, got ${got}` : ''}`,
    {
      cause,
    },
  );
}
