import type { Answer, Request, Verb } from '../agent/protocol.js';
import type { TrafficClass } from '../agent/traffic-class.js';
import type { HsmError, HsmErrorCode } from '../errors.js';
import type { KeyId } from '../key/key.js';
import type { CallPurpose } from './call-options.js';

/** A member, as far as a call knows it: one that may serve it, or could not. */
interface CallMember {
  readonly name: string;
}

export type CallCode = HsmErrorCode | 'OK';

export interface CallTerms {
  /** On the clock of performance.now(), as the deadline is. */
  readonly startedAt: number;
  readonly deadline: number;
  readonly correlationId: string;
  readonly signal?: AbortSignal;
  /** Told when it is settled while members still have it: until when. */
  readonly onLingering?: (ended: Promise<void>) => void;
  /** The one member that may serve it. */
  readonly only?: CallMember;
  /** How often it may go to an agent. */
  readonly attemptsAllowed: number;
  /** Whether it may be on two members at once. */
  readonly mayHedge?: boolean;
  readonly trafficClass: TrafficClass;
  readonly purpose: CallPurpose;
}

/** One caller waiting for one answer. It is settled once: by the answer, its deadline, its signal or the end of the fleet. */
export class Call {
  readonly promise: Promise<Answer<Verb>>;
  readonly startedAt: number;
  readonly deadline: number;
  readonly correlationId: string;
  readonly only: CallMember | undefined;
  readonly attemptsAllowed: number;
  readonly mayHedge: boolean;
  readonly trafficClass: TrafficClass;
  readonly purpose: CallPurpose;
  /** The key it is about, which not every member need have. */
  readonly keyId: KeyId | undefined;
  /** How often it went to an agent. */
  attempts = 0;
  /** When it first did, on the clock of `startedAt`; undefined while it has not. */
  sentAt: number | undefined;
  /** How many of these an agent that was about to end did not take any more. */
  turnedAway = 0;
  /** The member that it was last with. */
  member: CallMember | undefined;
  /** How many of these are still with one. */
  underWay = 0;
  /** The members that could not serve it; another is asked first. */
  tried: CallMember[] | undefined;
  /** What the last of them said, for whoever waits for another in vain. */
  failure: HsmError | undefined;
  /** Its neighbours while it waits in a CallQueue. */
  next: Call | undefined;
  previous: Call | undefined;
  settled = false;
  readonly #signal: AbortSignal | undefined;
  readonly #onLingering: ((ended: Promise<void>) => void) | undefined;
  #lingered: (() => void) | undefined;
  #resolve: (answer: Answer<Verb>) => void;
  #reject: (error: HsmError) => void;
  #onAbort: (() => void) | undefined;

  constructor(
    readonly verb: Verb,
    readonly request: Request<Verb>,
    terms: CallTerms,
    private readonly ended: (call: Call, code: CallCode) => void,
  ) {
    this.startedAt = terms.startedAt;
    this.deadline = terms.deadline;
    this.correlationId = terms.correlationId;
    this.only = terms.only;
    this.attemptsAllowed = terms.attemptsAllowed;
    this.mayHedge = terms.mayHedge ?? false;
    this.trafficClass = terms.trafficClass;
    this.purpose = terms.purpose;
    this.keyId = (request as { keyId?: KeyId }).keyId;
    this.#signal = terms.signal;
    this.#onLingering = terms.onLingering;
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

  attemptBegan(now: number): void {
    this.attempts++;
    this.sentAt ??= now;
    this.underWay++;
  }

  /** It was answered, or its agent is gone. */
  attemptEnded(): void {
    if (--this.underWay === 0) this.#lingered?.();
  }

  /** Another member is asked first from now on. */
  failedOn(member: CallMember, error: HsmError): void {
    (this.tried ??= []).push(member);
    this.failure = error;
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
    if (this.underWay > 0) this.#onLingering?.(new Promise((resolve) => (this.#lingered = resolve)));
    return true;
  }
}
