import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { HsmError } from '../errors.js';
import { type HeldLock, tryProcessLock } from '../process-lock.js';
import { type ChainPosition, chainStart, hashOfLine } from './chain.js';
import { ChainSegments, type ChainSegmentsSettings } from './chain-segments.js';
import { gapFields, rfc3339 } from './record-fields.js';
import { AppendError, type SegmentFile } from './segment-file.js';
import { maximumChains } from './segment-name.js';

/** Records that may wait for a slow disk; those beyond are lost, and counted. */
const maximumPending = 16_384;
/** From one write to the next that nobody waits for, so that a busy agent writes many lines at once. */
const writeEachMilliseconds = 5;
/** How long the disk may take; well below what an agent may take for a call before it is killed. */
const patienceMilliseconds = 1_500;
/** How often a trail that could not be written is tried again while nothing else is to be recorded, and a disk that does not sync. */
const retryMilliseconds = 1_000;

/** A record on its way to the file. */
interface Entry {
  /** Milliseconds since 1970. */
  readonly time: number;
  /** As record-fields.ts makes them, perhaps not before they are written; absent when what is before is to be on the disk. */
  readonly fields?: string | (() => string);
  /** How many operations it tells of. */
  readonly operations: number;
  readonly durable: boolean;
  /** 0 until it is known, and again when it was lost. */
  seq: number;
  readonly done?: (entry: Entry) => void;
  readonly failed?: (error: HsmError) => void;
}

/**
 * The one writer of a chain. What comes in while a write is under way goes out in the next one, and one fdatasync is for all
 * that wait for it, so that a record costs a busy agent some microseconds. What cannot be written is counted, and the chain
 * itself says so as soon as it can be written again.
 */
export class ChainWriter {
  /**
   * Takes up the member's first chain that no living agent holds, or begins it.
   * @param alarm  told when records begin to be lost
   * @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE
   */
  static async open(settings: ChainSegmentsSettings, alarm: (error: HsmError) => void): Promise<ChainWriter> {
    const { directory, member } = settings;
    try {
      for (let slot = 1; slot <= maximumChains; slot++) {
        const lock = tryProcessLock(join(directory, `${member}.${slot}.lock`));
        if (lock === undefined) continue;
        const writer = new ChainWriter(directory, new ChainSegments(settings, slot), lock, alarm);
        await writer.#takeUp().catch((error: unknown) => {
          lock.release();
          throw error;
        });
        return writer;
      }
    } catch (cause) {
      throw unavailable(directory, cause);
    }
    throw unavailable(directory, `${maximumChains} agents that write for ${member}`);
  }

  #position: ChainPosition = chainStart;
  #pending: Entry[] = [];
  /** Whether a write is under way, or the next thing that is done. */
  #isBusy = false;
  /** Whether somebody waits for what is pending. */
  #isAwaited = false;
  #later: NodeJS.Timeout | undefined;
  #wroteAt = 0;
  #unsynced: Entry[] = [];
  #syncing: Promise<void> | undefined;
  /** Since the last one that succeeded. */
  #failedSync: { readonly error: HsmError; readonly at: number } | undefined;
  #failure: HsmError | undefined;
  #lost = { records: 0, operations: 0, since: 0 };
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(
    private readonly directory: string,
    private readonly segments: ChainSegments,
    private readonly lock: HeldLock,
    private readonly alarm: (error: HsmError) => void,
  ) {}

  /** Why records are being lost, if they are. */
  get failure(): HsmError | undefined {
    return this.#failure;
  }

  /**
   * Records soon.
   * @param operations  how many the record tells of
   * @returns where its `seq` will be read; 0 while it is not in the chain
   */
  append(fields: string | (() => string), operations: number): { readonly seq: number } {
    const entry = { time: Date.now(), fields, operations, durable: false, seq: 0 };
    this.#enqueue(entry);
    return entry;
  }

  /** Records; when it returns, the operating system has the line. @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE */
  async write(fields: string, operations: number): Promise<void> {
    await this.#record(fields, operations, false);
  }

  /**
   * Records; when it returns, the line is on the disk.
   * @returns its `seq`
   * @throws {HsmError} ERR_HSM_AUDIT_UNAVAILABLE
   */
  commit(fields: string, operations: number): Promise<number> {
    // Each try costs a segment.
    if (this.#isSyncPaused && this.#failedSync !== undefined) return Promise.reject(this.#failedSync.error);
    return this.#record(fields, operations, true);
  }

  /**
   * Writes what is pending and, when all is on the disk, one record more, and leaves the chain to others. What comes later is
   * lost.
   */
  async close(lastFields: string): Promise<void> {
    try {
      await this.#record(undefined, 0, true);
      // Not synced after it: whoever finds it last may go on in this segment, and could not know that its sync failed.
      await this.#record(lastFields, 0, false);
    } catch {
      // Whoever comes next begins a new segment.
    }
    this.#isClosed = true;
    clearTimeout(this.#retry);
    await Promise.race([this.#letGo(), pause(patienceMilliseconds, undefined, { ref: false })]);
    this.lock.release();
  }

  #record(fields: string | undefined, operations: number, durable: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(unavailable(this.directory, 'a disk that hangs')), patienceMilliseconds);
      const done = ({ seq }: Entry): void => {
        clearTimeout(timer);
        resolve(seq);
      };
      const failed = (error: HsmError): void => {
        clearTimeout(timer);
        reject(error);
      };
      this.#enqueue({ time: Date.now(), fields, operations, durable, seq: 0, done, failed });
    });
  }

  #enqueue(entry: Entry): void {
    const { directory } = this;
    if (this.#isClosed) return this.#lose([entry], unavailable(directory, 'a record after its end'));
    if (this.#pending.length >= maximumPending) return this.#lose([entry], unavailable(directory, 'a slow disk'));
    this.#pending.push(entry);
    this.#isAwaited ||= entry.done !== undefined;
    this.#wake();
  }

  #wake(): void {
    if (this.#isBusy || (this.#later !== undefined && !this.#isAwaited)) return;
    const early = this.#isAwaited ? 0 : this.#wroteAt + writeEachMilliseconds - performance.now();
    if (early > 0) {
      this.#later = setTimeout(this.#flush, early);
      return;
    }
    // Or it would write beside the one that is next.
    clearTimeout(this.#later);
    this.#isBusy = true;
    setImmediate(this.#flush);
  }

  readonly #flush = (): void => void this.#writePending();

  async #writePending(): Promise<void> {
    // By then the chain may be another's.
    if (this.#isClosed) return;
    const entries = this.#pending;
    this.#pending = [];
    this.#isBusy = true;
    this.#isAwaited = false;
    this.#later = undefined;
    this.#wroteAt = performance.now();
    if (entries.length > 0 || this.#lost.records > 0) await this.#write(entries);
    this.#isBusy = false;
    if (this.#pending.length > 0) this.#wake();
  }

  async #write(entries: readonly Entry[]): Promise<void> {
    const { records, operations } = this.#lost;
    try {
      const segment = await this.#writableSegment();
      const { lines, position } = this.#chained(entries);
      await segment.append(lines);
      this.#position = position;
    } catch (cause) {
      if (cause instanceof AppendError && !cause.isWhole) await this.#letGo();
      return this.#lose(entries, unavailable(this.directory, cause));
    }
    this.segments.begun();
    this.#failure = undefined;
    this.#lost.records -= records;
    this.#lost.operations -= operations;
    for (const entry of entries) {
      if (entry.durable) this.#unsynced.push(entry);
      else entry.done?.(entry);
    }
    if (this.#unsynced.length > 0) this.#syncing ??= this.#sync();
  }

  /** The lines that follow the chain's last one: a segment's head, what was lost, the records. */
  #chained(entries: readonly Entry[]): { lines: Buffer; position: ChainPosition } {
    let { seq, hash } = this.#position;
    let lines = '';
    const add = (time: number, fields: string): void => {
      const line = `{"seq":${++seq},"prev":"${hash}","time":"${rfc3339(time)}"${fields}`;
      hash = hashOfLine(line);
      lines += `${line}\n`;
    };
    const now = entries[0]?.time ?? Date.now();
    const { head } = this.segments;
    if (head !== undefined) add(now, head);
    const { records: lost, operations, since } = this.#lost;
    if (lost > 0) add(now, gapFields({ lost, operations, since: rfc3339(since) }));
    for (const entry of entries) {
      const { fields } = entry;
      if (fields !== undefined) add(entry.time, typeof fields === 'string' ? fields : fields());
      entry.seq = seq;
    }
    return { lines: Buffer.from(lines, 'utf8'), position: { seq, hash } };
  }

  /** Group commit: what is written while the disk syncs is synced together afterwards. */
  async #sync(): Promise<void> {
    while (this.#unsynced.length > 0) {
      const group = this.#unsynced;
      this.#unsynced = [];
      try {
        const { current } = this.segments;
        if (current === undefined) throw new Error('want the segment that they are in');
        await current.sync();
        this.#failedSync = undefined;
        for (const entry of group) entry.done?.(entry);
      } catch (cause) {
        const error = unavailable(this.directory, cause);
        if (this.#failedSync === undefined) this.alarm(error);
        this.#failedSync = { error, at: performance.now() };
        for (const entry of group) entry.failed?.(error);
      }
    }
    this.#syncing = undefined;
  }

  get #isSyncPaused(): boolean {
    return this.#failedSync !== undefined && performance.now() - this.#failedSync.at < retryMilliseconds;
  }

  #lose(entries: readonly Entry[], error: HsmError): void {
    if (this.#failure === undefined) this.alarm(error);
    this.#failure = error;
    if (this.#lost.records === 0) this.#lost.since = Date.now();
    this.#lost.records += entries.length;
    for (const entry of entries) {
      this.#lost.operations += entry.operations;
      entry.seq = 0;
      entry.failed?.(error);
    }
    if (this.#isClosed) return;
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#wake();
    }, retryMilliseconds).unref();
  }

  async #writableSegment(): Promise<SegmentFile> {
    const { segments } = this;
    const { current } = segments;
    if (current !== undefined && segments.isSpent(current)) {
      await this.#syncing;
      await segments.rotate(current);
    }
    return segments.current ?? this.#takeUp();
  }

  async #takeUp(): Promise<SegmentFile> {
    this.#position = await this.segments.takeUp();
    return this.segments.current as SegmentFile;
  }

  async #letGo(): Promise<void> {
    await this.#syncing;
    await this.segments.letGo();
  }
}

function unavailable(directory: string, cause: unknown): HsmError {
  const { code, message } = (cause instanceof AppendError ? cause.cause : cause) as NodeJS.ErrnoException;
  const got = typeof cause === 'string' ? cause : cause instanceof HsmError ? message : (code ?? message);
  return new HsmError('ERR_HSM_AUDIT_UNAVAILABLE', `audit trail in ${directory}: want to write it, got ${got}`, {
    cause,
  });
}
