import {
  type Answer,
  maximumCorrelationIdBytes,
  type Request,
  slowVerbs,
  type Verb,
  verbFacts,
} from '../agent/protocol.js';
import type { ParsedHsmConfig } from '../config.js';
import { HsmError } from '../errors.js';
import type { KeyId } from '../key/key.js';
import { Alarm } from './alarm.js';
import type { Attempt } from './attempt.js';
import type { FleetCallOptions, FleetVerb } from './call-options.js';
import { Call, type CallCode, type CallTerms } from './call.js';
import { CallQueue } from './call-queue.js';
import { keyInTheMaking, mayBeDone, remedyFor } from './failover.js';
import { aborted, closed, isTurnedAway, outcomeUnknown, overloaded, timedOut } from './failure.js';
import { Hedging } from './hedging.js';
import { KeyHolders } from './key-holders.js';
import type { Member } from './member.js';
import type { GuardedObserver } from './observer.js';
import { route } from './routing.js';

/** How often those who wait are looked at, beside every answer. */
const rerouteMilliseconds = 25;

/**
 * The callers of a fleet, and what its members make of their calls. Calls wait in one bounded queue, from which whichever
 * member has room takes them. A call is settled exactly once: by an answer, its deadline, its signal, or `close`.
 *
 * When a member fails a call that may be made again, another member makes it, or the same one when its agent was replaced.
 * What became of a key in the making is looked up on its member; of anything else it is unknown.
 */
export class Dispatcher {
  readonly #queue = new CallQueue();
  readonly #alarm = new Alarm(() => this.#sweep());
  readonly #holders = new KeyHolders();
  readonly #hedging = new Hedging();
  #unsettled = 0;
  #isClosed = false;
  #drained: (() => void) | undefined;

  constructor(
    private readonly config: ParsedHsmConfig,
    private readonly fleet: { readonly members: readonly Member[] },
    private readonly observer: GuardedObserver,
  ) {}

  /** How many calls wait. */
  get queued(): number {
    return this.#queue.length;
  }

  /** Makes one call, on whichever member is best. Rejects with an HsmError, never throws. */
  call<V extends FleetVerb>(verb: V, request: Request<V>, options: FleetCallOptions): Promise<Answer<V>> {
    // For one member a lost agent and its successor; for several each of them, and the first one's successor.
    return this.#call(verb, request, options, Math.max(2, this.#members.length + 1));
  }

  /** Makes one call on that member or not at all. */
  callOn<V extends FleetVerb>(
    only: Member,
    verb: V,
    request: Request<V>,
    options: FleetCallOptions,
  ): Promise<Answer<V>> {
    if (only.state === 'refused' && only.trouble !== undefined) return Promise.reject(only.trouble);
    if (only.state === 'leaving') return Promise.reject(closed(this.config.name, { member: only }));
    return this.#call(verb, request, options, 1, only);
  }

  /** Refuses new calls, waits for the others as long as a caller would, then rejects what is left. */
  async close(): Promise<void> {
    const { name, deadlineMilliseconds } = this.config;
    this.#isClosed = true;
    if (this.#unsettled > 0) await this.#settled(deadlineMilliseconds);
    const underWay = this.#members.flatMap(({ attempts }) => Array.from(attempts, ({ call }) => call));
    for (const call of [...this.#queue, ...underWay]) {
      call.reject(mayBeDone(call) ? outcomeUnknown(name, call) : closed(name, call));
    }
    this.#alarm.stop();
  }

  // What members say.

  answered(member: Member, attempt: Attempt, answer: Answer<Verb>): void {
    const { call } = attempt;
    this.#attemptEnded(member, attempt, 'OK');
    if (call.keyId !== undefined) this.#holders.present(member, call.keyId);
    if (verbFacts[call.verb].retrySafe) this.#hedging.answered(attempt.milliseconds);
    // Where there is no other to go to, doing what was asked is the probe.
    if (this.#members.length === 1) member.passedProbe();
    if (call.settled) discard(answer);
    else {
      call.resolve(answer);
      if (call.underWay > 0) this.#cancelAttempts(call);
    }
    this.dispatch();
  }

  failed(member: Member, attempt: Attempt, error: HsmError): void {
    const { call } = attempt;
    this.#attemptEnded(member, attempt, error.code);
    // Wrapping is about two keys, and the error does not say which is missing.
    if (error.code === 'ERR_HSM_KEY_NOT_FOUND' && call.keyId !== undefined && call.verb !== 'wrapKey') {
      this.#holders.absent(member, call.keyId, performance.now());
    }
    // It did not reach the token: as if it still waited for the next agent.
    if (isTurnedAway(error)) call.turnedAway++;
    if (!call.settled && call.underWay === 0) this.#failOver(call, member, error);
    this.dispatch();
  }

  lost(member: Member, attempts: readonly Attempt[], reason: HsmError): void {
    for (const attempt of attempts.toReversed()) {
      const { call } = attempt;
      this.#attemptEnded(member, attempt, reason.code);
      if (!call.settled && call.underWay === 0) this.#failOver(call, member, reason);
    }
    this.dispatch();
  }

  refused(member: Member, reason: HsmError): void {
    // While one may come back, callers wait for it.
    const isOver = this.#isRefused;
    for (const call of this.#queue) {
      if (isOver || (call.only === member && member.state === 'refused')) this.#giveUp(call, reason);
    }
  }

  left(member: Member): void {
    for (const call of this.#queue) if (call.only === member) this.#giveUp(call, closed(this.config.name, { member }));
    this.#holders.forget(member);
  }

  #attemptEnded({ name: member }: Member, { call: { verb, purpose }, milliseconds }: Attempt, code: CallCode): void {
    this.observer.attemptEnded?.({ member, verb, code, milliseconds, purpose });
  }

  // From the caller to a member.

  #call<V extends FleetVerb>(
    verb: V,
    request: Request<V>,
    options: FleetCallOptions,
    attemptsAllowed: number,
    only?: Member,
  ): Promise<Answer<V>> {
    const refusal = this.#refusal(options, only);
    if (refusal !== undefined) return Promise.reject(refusal);
    const now = performance.now();
    const call = this.#newCall(verb, request, {
      only,
      attemptsAllowed,
      startedAt: now,
      deadline: now + (options.deadlineMilliseconds ?? this.#deadlineMilliseconds(verb)),
      correlationId: options.correlationId ?? '',
      signal: options.signal,
      onLingering: options.onLingering,
      mayHedge: options.hedge === true && verbFacts[verb].retrySafe,
      purpose: options.purpose ?? 'application',
    });
    this.#alarm.at(call.deadline);
    // It overtakes nobody: whoever waits could not be placed when something last changed.
    const member = route(this.#members, call, this.#holders, now);
    if (member !== undefined) this.#send(member, call, now);
    else this.#wait(call, now);
    return call.promise as Promise<Answer<V>>;
  }

  #refusal({ deadlineMilliseconds, signal, correlationId }: FleetCallOptions, only?: unknown): HsmError | undefined {
    const { name, queueLimit } = this.config;
    if (this.#isClosed) return closed(name);
    if (this.#isRefused) return this.#trouble;
    if (signal?.aborted === true) return aborted(name, signal);
    if (deadlineMilliseconds !== undefined && !(deadlineMilliseconds >= 0)) {
      return invalid(`deadline: want milliseconds, got ${deadlineMilliseconds}`);
    }
    if (correlationId !== undefined && Buffer.byteLength(correlationId) > maximumCorrelationIdBytes) {
      return invalid(`correlation id: want at most ${maximumCorrelationIdBytes} bytes`);
    }
    // Calls for one member are few and ours: without its probe a member would never take its share of an overload.
    return this.#queue.length < queueLimit || only !== undefined ? undefined : overloaded(name, queueLimit);
  }

  #newCall(verb: Verb, request: Request<Verb>, terms: CallTerms): Call {
    this.#unsettled++;
    const call = new Call(verb, request, terms, this.#onEnded);
    if (terms.signal !== undefined) call.onAbort(() => this.#abort(call, terms.signal));
    return call;
  }

  readonly #onEnded = (call: Call, code: CallCode): void => {
    this.observer.callEnded?.({
      verb: call.verb,
      code,
      milliseconds: performance.now() - call.startedAt,
      purpose: call.purpose,
      client: this.config.client,
      correlationId: call.correlationId,
      keyId: keyOf(call),
      member: call.member?.name,
      attempts: call.attempts,
    });
    if (--this.#unsettled === 0) this.#drained?.();
  };

  #wait(call: Call, now: number): void {
    if (call.only === undefined) this.#queue.push(call);
    else this.#queue.unshift(call);
    // What routing looks at changes with time too.
    this.#alarm.at(now + rerouteMilliseconds);
  }

  /** Gives those who wait to the members that have room for them. */
  dispatch(): void {
    if (this.#queue.length === 0) return;
    const now = performance.now();
    for (const call of this.#queue) {
      if (!this.#members.some((member) => member.isReachable && member.hasRoom)) return;
      const member = route(this.#members, call, this.#holders, now);
      if (member === undefined) continue;
      this.#queue.remove(call);
      this.#send(member, call, now);
    }
  }

  #send(member: Member, call: Call, now: number): void {
    if (call.deadline <= now) return this.#expire(call);
    try {
      member.send(call, now);
      call.member = member;
      this.#alarm.at(now + member.hangMilliseconds(call.verb));
      if (call.mayHedge && call.underWay === 1) this.#alarm.at(now + this.#hedging.delayMilliseconds);
    } catch (cause) {
      call.reject(cause instanceof HsmError ? cause : invalid(`${call.verb}: want arguments as declared`, cause));
    }
  }

  // When a member could not do it.

  #failOver(call: Call, member: Member, error: HsmError): void {
    const remedy = remedyFor(call, member, error, this.#members);
    if (remedy === 'again') {
      this.observer.callMoved(member.name, error.code);
      this.#queue.unshift(call);
    } else if (remedy === 'look up') {
      const isSaid = error.code === 'ERR_HSM_OUTCOME_UNKNOWN';
      this.#lookUp(call, member, isSaid ? error : outcomeUnknown(this.config.name, call, error));
    } else call.reject(error);
  }

  /**
   * The id of a key in the making was chosen before, so the member's next agent can say whether the key came to be.
   * @param otherwise  what the caller is told when it did not, or when the call makes no key
   */
  #lookUp(call: Call, only: Member, otherwise: HsmError): void {
    const key = keyInTheMaking(call);
    if (key === undefined) return call.reject(otherwise);
    const { deadline, correlationId } = call;
    const startedAt = performance.now();
    const terms = { startedAt, deadline, correlationId, only, attemptsAllowed: 2, purpose: 'look-up' } as const;
    const lookup = this.#newCall('findKeys', { id: key.id }, terms);
    this.#queue.unshift(lookup);
    this.#alarm.at(deadline);
    lookup.promise.then(
      (found) => {
        const [made] = found as Answer<'findKeys'>;
        if (made === undefined) call.reject(otherwise);
        else call.resolve(made);
      },
      (cause: unknown) => call.reject(outcomeUnknown(this.config.name, call, cause)),
    );
  }

  // When it takes long.

  /** Settles what is late, makes late calls a second time where that is wanted, and replaces agents that are hung. */
  #sweep(): void {
    const now = performance.now();
    let next = Infinity;
    for (const call of this.#queue) {
      if (call.deadline <= now) {
        this.#queue.remove(call);
        this.#expire(call);
      } else next = Math.min(next, call.deadline, now + rerouteMilliseconds);
    }
    for (const member of this.#members) {
      for (const attempt of member.attempts) {
        const { call } = attempt;
        if (call.settled) continue;
        if (call.deadline <= now) this.#expire(call);
        else next = Math.min(next, call.deadline, this.#hedge(member, attempt, now));
      }
      next = Math.min(next, member.checkForHang(now));
    }
    if (next < Infinity) this.#alarm.at(next);
    this.dispatch();
  }

  /** @returns when to look again */
  #hedge(member: Member, { call, sentAt }: Attempt, now: number): number {
    if (!call.mayHedge || call.underWay !== 1 || this.#members.length === 1) return Infinity;
    const hedgeAt = (sentAt || now) + this.#hedging.delayMilliseconds;
    if (hedgeAt > now) return hedgeAt;
    const others = this.#members.filter((each) => each !== member);
    const other = route(others, call, this.#holders, now);
    // Never one on probation: it may answer fast and wrongly.
    if (other?.state !== 'serving' || !this.#hedging.mayHedge()) return Infinity;
    this.observer.callHedged(member.name, other.name);
    this.#send(other, call, now);
    return Infinity;
  }

  #expire(call: Call): void {
    this.#cancelAttempts(call);
    const { name } = this.config;
    if (mayBeDone(call)) call.reject(outcomeUnknown(name, call));
    else call.reject(call.failure ?? timedOut(name, call, this.#trouble));
  }

  #abort(call: Call, signal: AbortSignal | undefined): void {
    this.#queue.remove(call);
    this.#cancelAttempts(call);
    call.reject(aborted(this.config.name, signal, call));
  }

  #giveUp(call: Call, reason: HsmError): void {
    this.#queue.remove(call);
    call.reject(call.failure ?? reason);
  }

  #cancelAttempts(call: Call): void {
    if (call.underWay === 0) return;
    for (const member of this.#members) {
      for (const attempt of member.attempts) if (attempt.call === call) member.cancel(attempt);
    }
  }

  #settled(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#drained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  get #members(): readonly Member[] {
    return this.fleet.members;
  }

  get #isRefused(): boolean {
    return this.#members.every(({ state }) => state === 'refused');
  }

  /** Why calls go unserved, as far as a member knows. */
  get #trouble(): HsmError | undefined {
    return this.#members.find(({ state, trouble }) => state !== 'serving' && trouble !== undefined)?.trouble;
  }

  /** Making an RSA-4096 key takes seconds, so its callers wait as long as the token may take. */
  #deadlineMilliseconds(verb: Verb): number {
    const { deadlineMilliseconds, generateHangMilliseconds } = this.config;
    return slowVerbs.has(verb) ? Math.max(deadlineMilliseconds, generateHangMilliseconds) : deadlineMilliseconds;
  }
}

/** The one key that it uses, destroys or makes. */
function keyOf({ keyId, request }: Call): KeyId | undefined {
  const { id, key } = request as { id?: KeyId; key?: { id: KeyId } };
  return keyId ?? id ?? key?.id;
}

/** A late answer may hold a data key that nobody will zero. */
function discard(answer: Answer<Verb>): void {
  if ('data' in answer) answer.data.fill(0);
}

function invalid(fault: string, cause?: unknown): HsmError {
  return new HsmError('ERR_HSM_ARGUMENT_INVALID', fault, { cause });
}
