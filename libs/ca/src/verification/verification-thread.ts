import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { CaError } from '../errors.js';
import { checkOutcomes, type CheckOutcome, encodeChecks, type SignatureCheck } from './signature-check.js';

/** Checks of one message: a few milliseconds, so that what follows from the first ones goes on while the next are made. */
const checksAtOnce = 16;
/** One that is worked on, and the next. */
const messagesUnderWay = 2;

/** The built one, from src as from dist. */
const threadMain = fileURLToPath(new URL('../../dist/verification/thread-main.js', import.meta.url));

interface Waiting {
  readonly check: SignatureCheck;
  readonly resolve: (outcome: CheckOutcome) => void;
  readonly reject: (error: CaError) => void;
}

/**
 * A thread that verifies signatures, many in one message. `crypto.verify` with a callback has a thread of libuv's pool woken for each,
 * which costs the event loop as much as all else that is done for a certificate, and what waits for the disk waits behind them in the pool.
 * Those who ask are bounded by what admits them.
 */
export class VerificationThread {
  #worker: Worker | undefined;
  #waiting: Waiting[] = [];
  /** The messages that are not answered yet, in order. */
  #underWay: Waiting[][] = [];
  #isFlushing = false;

  constructor(private readonly entry = threadMain) {}

  /** @throws {CaError} ERR_CA_VERIFICATION_UNAVAILABLE when the thread ends before it has answered; the next call has a new one */
  check(check: SignatureCheck): Promise<CheckOutcome> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ check, resolve, reject });
      if (this.#waiting.length >= checksAtOnce) this.#send();
      else this.#sendSoon();
    });
  }

  /** What is asked in one turn of the event loop shares a message, and so does what is asked while the thread has enough to do. */
  #sendSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      this.#send();
    });
  }

  #send(): void {
    while (this.#waiting.length > 0 && this.#underWay.length < messagesUnderWay) {
      const batch = this.#waiting.splice(0, checksAtOnce);
      try {
        const worker = (this.#worker ??= this.#start());
        const encoded = encodeChecks(batch.map(({ check }) => check));
        worker.postMessage(encoded, [encoded.buffer as ArrayBuffer]);
        // While somebody waits for it the process does not end.
        worker.ref();
        this.#underWay.push(batch);
      } catch (cause) {
        fail(batch, cause);
      }
    }
  }

  #start(): Worker {
    // What the application has preloaded (`node --import`) is for itself, not for this thread.
    const worker = new Worker(this.entry, { execArgv: [], env: {} });
    let cause: Error | undefined;
    worker.on('message', (outcomes: Uint8Array) => this.#answered(worker, outcomes));
    worker.on('error', (error: Error) => (cause = error));
    worker.on('exit', () => this.#ended(cause));
    return worker;
  }

  #answered(worker: Worker, outcomes: Uint8Array): void {
    const batch = this.#underWay.shift() ?? [];
    this.#send();
    if (this.#underWay.length === 0) worker.unref();
    batch.forEach(({ resolve }, index) => resolve(checkOutcomes[outcomes[index]]));
  }

  #ended(cause: unknown): void {
    const lost = this.#underWay.flat();
    this.#worker = undefined;
    this.#underWay = [];
    fail(lost, cause);
    this.#send();
  }
}

function fail(batch: readonly Waiting[], cause: unknown): void {
  const message = 'signature: want the thread that verifies it to answer, got its end';
  for (const { reject } of batch) reject(new CaError('ERR_CA_VERIFICATION_UNAVAILABLE', message, { cause }));
}
