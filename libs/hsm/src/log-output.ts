import { constants, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** Of lines that wait until they can be written. */
const maximumWaitingBytes = 1 << 20;

/**
 * Where the lines of a service's log go: standard output, and never in the way of what the service is for. A line is written at once.
 * While that is not possible, since whoever reads the pipe stands still or the disk is full, 1 MiB of lines waits, and further
 * ones are lost and counted; when half of what waits has been taken, a line says how many, and the log goes on.
 *
 * A destination of pino, whose own ones either wait within `write`, or have a thread wait that keeps the process from its end.
 */
export class LogOutput {
  readonly #waiting: string[] = [];
  #waitingBytes = 0;
  #linesLost = 0;
  /** Of these, since a line told of some. */
  #untold = 0;
  /** Some of a line may have been written before the disk was full. */
  #isTorn = false;
  #emptied: (() => void) | undefined;

  /** @param stream  that writes what it can at once and keeps the rest, as `process.stdout` does with pipes and sockets */
  constructor(private readonly stream: Writable = standardOutput()) {
    // Each write is told of its own.
    stream.on('error', () => undefined);
  }

  get linesLost(): number {
    return this.#linesLost;
  }

  /** @param line  with its end */
  write(line: string): void {
    const room = this.#untold > 0 ? maximumWaitingBytes / 2 : maximumWaitingBytes;
    if (this.#waitingBytes + Buffer.byteLength(line) > room) {
      this.#untold++;
      this.#linesLost++;
    } else {
      this.#tellOfLost();
      this.#wait(line);
    }
    this.#writeOn();
  }

  /** @returns when nothing waits any more, or that time is over */
  async flush(milliseconds: number): Promise<void> {
    this.#writeOn();
    if (this.#waiting.length === 0 && this.stream.writableLength === 0) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#emptied = resolve;
      timer = setTimeout(resolve, milliseconds);
    });
    clearTimeout(timer);
  }

  /** One at a time: so no other process that shares the pipe comes between the halves of a line (of PIPE_BUF, 4 KiB, at most). */
  #writeOn(): void {
    while (this.stream.writableLength === 0 && this.stream.errored === null) {
      const line = this.#waiting.shift();
      if (line === undefined) return this.#emptied?.();
      this.#waitingBytes -= Buffer.byteLength(line);
      const start = this.#isTorn ? '\n' : '';
      this.#isTorn = false;
      this.stream.write(start + line, (error) => {
        if (error == null) return this.#onWritten();
        // The next line tries again: to do so now would fail too, and so without end.
        this.#isTorn = true;
        this.#waiting.unshift(line);
        this.#waitingBytes += Buffer.byteLength(line);
      });
    }
  }

  #onWritten(): void {
    if (this.#waitingBytes <= maximumWaitingBytes / 2) this.#tellOfLost();
    this.#writeOn();
  }

  #tellOfLost(): void {
    if (this.#untold === 0) return;
    const linesLost = this.#untold;
    this.#untold = 0;
    const msg = 'lines of this log were lost: nobody read them in time, or they could not be written';
    this.#wait(`${JSON.stringify({ level: 40, time: Date.now(), pid: process.pid, msg, linesLost })}\n`);
  }

  #wait(line: string): void {
    this.#waiting.push(line);
    this.#waitingBytes += Buffer.byteLength(line);
  }
}

/**
 * A pipe is opened anew: whether writes to it wait is a flag of the opened file, which every process that has inherited it shares,
 * and Node.js clears it there whenever one of them is started or ends.
 */
function standardOutput(): Writable {
  if (!fstatSync(process.stdout.fd).isFIFO()) return process.stdout;
  try {
    const fd = openSync(`/dev/fd/${process.stdout.fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
    return new Socket({ fd, readable: false, writable: true });
  } catch {
    // Another user's pipe, or one that nobody reads.
    return process.stdout;
  }
}
