import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { HsmError } from '../errors.js';
import type { AuditEvent } from './audit-event.js';

/** Lines that may wait for a slow disk before further ones are counted as lost. */
const maximumPendingBytes = 8 << 20;

/**
 * Appends events to a file, one JSON object a line, mode 0600. Lines of one tick go out in one write, so that recording a
 * hot operation costs the agent some microseconds. Losing lines is never silent: the file itself says how many are missing.
 */
export class AuditWriter {
  #pending: string[] = [];
  #pendingBytes = 0;
  #lost = 0;
  #writing: Promise<void> | undefined;

  /** @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE */
  static async open(path: string): Promise<AuditWriter> {
    const flags = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW;
    try {
      const file = await open(path, flags, 0o600);
      await file.chmod(0o600);
      return new AuditWriter(file, path);
    } catch (cause) {
      throw unavailable(path, cause);
    }
  }

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
  ) {}

  /** Records what happened, soon. A line that cannot be written is counted, and the count is written when writing works again. */
  record(event: AuditEvent): void {
    if (this.#pendingBytes > maximumPendingBytes) {
      this.#lost++;
      return;
    }
    const line = `${JSON.stringify(event)}\n`;
    this.#pending.push(line);
    this.#pendingBytes += line.length;
    this.#writing ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#drain());
  }

  /**
   * Records what is about to be done; when it returns, the line is on the disk.
   * @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE: then it must not be done
   */
  async recordDurably(event: AuditEvent): Promise<void> {
    const lostBefore = this.#lost;
    this.record(event);
    await this.#writing;
    try {
      await this.file.datasync();
    } catch (cause) {
      throw unavailable(this.path, cause);
    }
    if (this.#lost !== lostBefore) throw unavailable(this.path, undefined);
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.file.close();
  }

  async #drain(): Promise<void> {
    while (this.#pending.length > 0) {
      const lines = this.#pending;
      this.#pending = [];
      this.#pendingBytes = 0;
      await this.#write(lines);
    }
    this.#writing = undefined;
  }

  async #write(lines: readonly string[]): Promise<void> {
    const gap =
      this.#lost > 0 ? `${JSON.stringify({ time: new Date().toISOString(), kind: 'gap', lost: this.#lost })}\n` : '';
    try {
      await this.file.appendFile(gap + lines.join(''));
      if (gap !== '') this.#lost = 0;
    } catch {
      this.#lost += lines.length;
    }
  }
}

function unavailable(path: string, cause: unknown): HsmError {
  return new HsmError('ERR_HSM_AUDIT_UNAVAILABLE', `audit file ${path}: want to append to it`, { cause });
}
