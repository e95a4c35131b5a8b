import type { AgentRequest } from '../agent/agent-client.js';
import type { Answer, Request, Verb } from '../agent/protocol.js';
import type { HsmError, HsmErrorCode } from '../errors.js';

export type CallCode = HsmErrorCode | 'OK';

export interface CallTerms {
  /** On the clock of performance.now(). */
  readonly deadline: number;
  readonly correlationId: string;
  readonly signal?: AbortSignal;
}

/** One caller waiting for one answer. It is settled once: by the answer, its deadline, its signal or the end of the member. */
export class Call implements AgentRequest {
  readonly promise: Promise<Answer<Verb>>;
  readonly deadline: number;
  readonly correlationId: string;
  readonly startedAt = performance.now();
  requestId = 0;
  sentAt = 0;
  /** How often it went to an agent. */
  attempts = 0;
  /** Its neighbours while it waits in a CallQueue. */
  next: Call | undefined;
  previous: Call | undefined;
  settled = false;
  readonly #signal: AbortSignal | undefined;
  #resolve: (answer: Answer<Verb>) => void;
  #reject: (error: HsmError) => void;
  #onAbort: (() => void) | undefined;

  constructor(
    readonly verb: Verb,
    readonly request: Request<Verb>,
    terms: CallTerms,
    private readonly ended: (call: Call, code: CallCode) => void,
  ) {
    this.deadline = terms.deadline;
    this.correlationId = terms.correlationId;
    this.#signal = terms.signal;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Watches the caller's signal, if there is one, until the call is settled. */
  onAbort(listener: () => void): void {
    if (this.#signal === undefined) return;
    this.#onAbort = listener;
    this.#signal.addEventListener('abort', listener, { once: true });
  }

  resolve(answer: Answer<Verb>): void {
    if (this.#settle('OK')) this.#resolve(answer);
  }

  reject(error: HsmError): void {
    if (this.#settle(error.code)) this.#reject(error);
  }

  #settle(code: CallCode): boolean {
    if (this.settled) return false;
    this.settled = true;
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener('abort', this.#onAbort);
    this.ended(this, code);
    return true;
  }
}
