import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import {
  type Answer,
  maximumCorrelationIdBytes,
  type NewKey,
  type Request,
  type TokenDescription,
  type Verb,
  verbFacts,
} from '../agent/protocol.js';
import { type MemberConfig, memberConfigs, type ParsedHsmConfig } from '../config.js';
import { HsmError } from '../errors.js';
import { Alarm } from './alarm.js';
import type { Attempt } from './attempt.js';
import type { FleetCallOptions, FleetVerb } from './call-options.js';
import { Call, type CallCode, type CallTerms } from './call.js';
import { CallQueue } from './call-queue.js';
import { aborted, closed, outcomeUnknown, overloaded, timedOut } from './failure.js';
import { Hedging } from './hedging.js';
import { KeyHolders } from './key-holders.js';
import { Member, type MemberOwner, slowVerbs } from './member.js';
import { guarded, type HsmLoad, type HsmObserver, type MemberStatus } from './observer.js';
import { Prober } from './prober.js';
import { route } from './routing.js';

const drainPollMilliseconds = 10;
/** How often those who wait are looked at, beside every answer. */
const rerouteMilliseconds = 25;

/**
 * The members of one role and the callers who wait for them. Calls wait in one bounded queue, from which whichever member has
 * room takes them. A call is settled exactly once: by an answer, its deadline, its signal, or `close`.
 *
 * When a member fails a call that may be made again, another member makes it, or the same one when its agent was replaced.
 * What became of a key in the making is looked up on its member; of anything else it is unknown.
 */
export class Fleet implements MemberOwner {
  /**
   * Starts every member and returns when one serves, or when none can for now: those are tried again for ever.
   * @throws {HsmError} when none can and only its operator or the application can mend it
   */
  static async start(config: ParsedHsmConfig, observer: HsmObserver = {}, agentEntry?: string): Promise<Fleet> {
    const fleet = new Fleet(config, observer, agentEntry);
    try {
      await fleet.#firstToServe(memberConfigs(config).map((member) => fleet.#join(member)));
    } catch (error) {
      await fleet.close();
      throw error;
    }
    return fleet;
  }

  readonly #queue = new CallQueue();
  readonly #alarm = new Alarm(() => this.#sweep());
  readonly #holders = new KeyHolders();
  readonly #hedging = new Hedging();
  readonly #prober = new Prober(this);
  readonly #observer: Required<HsmObserver>;
  #members: readonly Member[] = [];
  /** The change of members that is under way, if one is. */
  #changing: Promise<void> = Promise.resolve();
  #unsettled = 0;
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  private constructor(
    private readonly config: ParsedHsmConfig,
    observer: HsmObserver,
    private readonly agentEntry?: string,
  ) {
    this.#observer = guarded(observer);
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  get load(): HsmLoad {
    return { inFlight: this.#members.reduce((sum, { inFlight }) => sum + inFlight, 0), queued: this.#queue.length };
  }

  get status(): readonly MemberStatus[] {
    return this.#members.map(({ name, state, token, inFlight, latency, trouble }) => {
      return { name, state, token, inFlight, medianMilliseconds: latency.median, trouble };
    });
  }

  /** Makes one call, on whichever member is best. Rejects with an HsmError, never throws. */
  call<V extends FleetVerb>(verb: V, request: Request<V>, options: FleetCallOptions): Promise<Answer<V>> {
    // For one member a lost agent and its successor; for several each of them, and the first one's successor.
    return this.#call(verb, request, options, { attemptsAllowed: Math.max(2, this.#members.length + 1) });
  }

  /** Makes one call on that member or not at all. */
  callOn<V extends FleetVerb>(
    only: Member,
    verb: V,
    request: Request<V>,
    options: FleetCallOptions,
  ): Promise<Answer<V>> {
    if (only.state === 'refused' && only.trouble !== undefined) return Promise.reject(only.trouble);
    if (only.state === 'leaving') return Promise.reject(closed(only.name));
    return this.#call(verb, request, options, { only, attemptsAllowed: 1 });
  }

  /**
   * Takes in and lets go of members until they are these, one such change after the other. Starts that fail are tried again.
   * @throws {HsmError} why none of these could be reached, when another could; nothing is changed then
   */
  become(configs: readonly MemberConfig[]): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(closed(this.config.name));
    const change = this.#changing.then(() => this.#become(configs));
    this.#changing = change.catch(() => undefined);
    return change;
  }

  /** Whether keys really sign: passes when one member does. @throws {HsmError} why the first one did not */
  async probe(): Promise<void> {
    const reachable = this.#members.filter(({ isReachable }) => isReachable);
    const probed = reachable.length > 0 ? reachable : this.#members;
    await Promise.any(probed.map((member) => this.#prober.probe(member))).catch((error: AggregateError) => {
      throw error.errors[0];
    });
  }

  /** Refuses new calls, waits for the others as long as a caller would, then ends the agents. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  // What members say.

  started(member: Member, token: TokenDescription): void {
    this.#observer.agentStarted(token, member.name);
    if (member.state === 'probation' && this.#members.length > 1) this.#prober.probeSoon(member);
    this.#dispatch();
  }

  answered(member: Member, { call, sentAt }: Attempt, answer: Answer<Verb>): void {
    if (call.keyId !== undefined) this.#holders.present(member, call.keyId);
    if (verbFacts[call.verb].retrySafe) this.#hedging.answered(performance.now() - sentAt);
    // Where there is no other to go to, doing what was asked is the probe.
    if (this.#members.length === 1) member.passedProbe();
    if (call.settled) discard(answer);
    else {
      call.resolve(answer);
      if (call.underWay > 0) this.#cancelAttempts(call);
    }
    this.#dispatch();
  }

  failed(member: Member, { call }: Attempt, error: HsmError): void {
    // Wrapping is about two keys, and the error does not say which is missing.
    if (error.code === 'ERR_HSM_KEY_NOT_FOUND' && call.keyId !== undefined && call.verb !== 'wrapKey') {
      this.#holders.absent(member, call.keyId, performance.now());
    }
    if (!call.settled && call.underWay === 0) this.#failOver(call, member, error);
    this.#dispatch();
  }

  lost(member: Member, attempts: readonly Attempt[], reason: HsmError): void {
    for (const { call } of attempts.toReversed()) {
      if (!call.settled && call.underWay === 0) this.#failOver(call, member, reason);
    }
    this.#dispatch();
  }

  buried(member: Member, reason: HsmError): void {
    this.#observer.agentLost(reason, member.name);
  }

  refused(member: Member, reason: HsmError): void {
    this.#observer.agentRefused(reason, member.name);
    // While one may come back, callers wait for it.
    const isOver = this.#members.every(({ state }) => state === 'refused');
    for (const call of this.#queue) {
      if (isOver || (call.only === member && member.state === 'refused')) this.#giveUp(call, reason);
    }
  }

  // Coming and going of calls.

  #call<V extends FleetVerb>(
    verb: V,
    request: Request<V>,
    options: FleetCallOptions,
    terms: Pick<CallTerms, 'only' | 'attemptsAllowed'>,
  ): Promise<Answer<V>> {
    const refusal = this.#refuse(options, terms.only);
    if (refusal !== undefined) return Promise.reject(refusal);
    const call = this.#newCall(verb, request, {
      ...terms,
      deadline: performance.now() + (options.deadlineMilliseconds ?? this.#deadlineMilliseconds(verb)),
      correlationId: options.correlationId ?? '',
      signal: options.signal,
      mayHedge: options.hedge === true && verbFacts[verb].retrySafe,
    });
    const now = performance.now();
    this.#alarm.at(call.deadline);
    // It overtakes nobody: whoever waits could not be placed when something last changed.
    const member = route(this.#members, call, this.#holders, now);
    if (member !== undefined) this.#send(member, call, now);
    else this.#wait(call, now);
    return call.promise as Promise<Answer<V>>;
  }

  #wait(call: Call, now: number): void {
    if (call.only === undefined) this.#queue.push(call);
    else this.#queue.unshift(call);
    // What routing looks at changes with time too.
    this.#alarm.at(now + rerouteMilliseconds);
  }

  #refuse({ deadlineMilliseconds, signal, correlationId }: FleetCallOptions, only?: unknown): HsmError | undefined {
    const { name, queueLimit } = this.config;
    if (this.#closing !== undefined) return closed(name);
    if (this.#members.every(({ state }) => state === 'refused')) return this.#trouble;
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
    this.#observer.callEnded(call.verb, code, performance.now() - call.startedAt);
    if (--this.#unsettled === 0) this.#drained?.();
  };

  #giveUp(call: Call, reason: HsmError): void {
    this.#queue.remove(call);
    call.reject(call.failure ?? reason);
  }

  #abort(call: Call, signal: AbortSignal | undefined): void {
    this.#queue.remove(call);
    this.#cancelAttempts(call);
    call.reject(aborted(this.config.name, signal));
  }

  #dispatch(): void {
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
      this.#alarm.at(now + member.hangMilliseconds(call.verb));
      if (call.mayHedge && call.underWay === 1) this.#alarm.at(now + this.#hedging.delayMilliseconds);
    } catch (cause) {
      call.reject(cause instanceof HsmError ? cause : invalid(`${call.verb}: want arguments as declared`, cause));
    }
  }

  // Failures.

  /** A member could not do it: another may, or its own next agent. */
  #failOver(call: Call, member: Member, error: HsmError): void {
    const isLost = error.code === 'ERR_HSM_UNAVAILABLE' && error.retryable;
    if (verbFacts[call.verb].retrySafe && call.attempts < call.attemptsAllowed) {
      // A lost agent is replaced, so its member may be asked again.
      if (isLost || this.#mayOtherServe(call, member, error)) {
        this.#observer.callMoved(member.name, error.code);
        return this.#queue.unshift(call);
      }
    }
    if (isLost && !verbFacts[call.verb].retrySafe) this.#lookUp(call, member, outcomeUnknown(member.name, call, error));
    else if (error.code === 'ERR_HSM_OUTCOME_UNKNOWN') this.#lookUp(call, member, error);
    else call.reject(error);
  }

  /** Whether the fault is the member's own, and another that has not been asked yet is there, or may come with the key. */
  #mayOtherServe(call: Call, member: Member, error: HsmError): boolean {
    const { code, fault } = error;
    const isOfMember = fault === 'token' || fault === 'operator' || ofMember.has(code);
    if (!isOfMember || code === 'ERR_HSM_TIMEOUT') return false;
    (call.tried ??= []).push(member);
    call.failure = error;
    const isAwaited = ({ isReachable, state }: Member): boolean =>
      isReachable || (code === 'ERR_HSM_KEY_NOT_FOUND' && (state === 'down' || state === 'starting'));
    return this.#members.some(
      (each) => call.tried?.includes(each) !== true && (call.only ?? each) === each && isAwaited(each),
    );
  }

  /**
   * The id of a key in the making was chosen before, so the member's next agent can say whether the key came to be.
   * @param otherwise  what the caller is told when it did not, or when the call makes no key
   */
  #lookUp(call: Call, only: Member, otherwise: HsmError): void {
    const key = keyInTheMaking(call);
    if (key === undefined) return call.reject(otherwise);
    const { deadline, correlationId } = call;
    const lookup = this.#newCall('findKeys', { id: key.id }, { deadline, correlationId, only, attemptsAllowed: 2 });
    this.#queue.unshift(lookup);
    this.#alarm.at(deadline);
    lookup.promise.then(
      (found) => {
        const [made] = found as Answer<'findKeys'>;
        if (made === undefined) call.reject(otherwise);
        else call.resolve(made);
      },
      (cause: unknown) => call.reject(outcomeUnknown(only.name, call, cause)),
    );
  }

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
    this.#dispatch();
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
    this.#observer.callHedged(member.name, other.name);
    this.#send(other, call, now);
    return Infinity;
  }

  #expire(call: Call): void {
    this.#cancelAttempts(call);
    const { name } = this.config;
    if (mayBeDone(call)) call.reject(outcomeUnknown(name, call));
    else call.reject(call.failure ?? timedOut(name, call, this.#trouble));
  }

  #cancelAttempts(call: Call): void {
    if (call.underWay === 0) return;
    for (const member of this.#members) {
      for (const attempt of member.attempts) if (attempt.call === call) member.cancel(attempt);
    }
  }

  /** Why calls go unserved, as far as a member knows. */
  get #trouble(): HsmError | undefined {
    return this.#members.find(({ state, trouble }) => state !== 'serving' && trouble !== undefined)?.trouble;
  }

  // Coming and going of members.

  #join(config: MemberConfig): Promise<void> {
    const member = new Member(config, this, this.agentEntry);
    this.#members = [...this.#members, member];
    return member.start();
  }

  async #become(configs: readonly MemberConfig[]): Promise<void> {
    // A member that was refused is asked for anew: perhaps its PIN was mended.
    const isThere = (config: MemberConfig, { config: own, state }: Member): boolean =>
      state !== 'refused' && isDeepStrictEqual(config, own);
    const leaving = this.#members.filter((member) => !configs.some((config) => isThere(config, member)));
    const coming = configs.filter((config) => !this.#members.some((member) => isThere(config, member)));
    // New ones first, so that there is always one to go to.
    const starts = await Promise.allSettled(coming.map((config) => this.#join(config)));
    const wanted = this.#members.filter((member) => !leaving.includes(member));
    const failed = starts.find((start) => start.status === 'rejected');
    if (failed !== undefined && !wanted.some(({ isReachable }) => isReachable) && this.#closing === undefined) {
      await Promise.all(wanted.filter(({ config }) => coming.includes(config)).map((member) => this.#drain(member)));
      throw failed.reason;
    }
    await Promise.all(leaving.map((member) => this.#drain(member)));
  }

  async #drain(member: Member): Promise<void> {
    member.leave();
    // Until its last call is answered or found hanging it is looked after as the others are.
    while (member.inFlight > 0 && this.#closing === undefined) await pause(drainPollMilliseconds);
    this.#members = this.#members.filter((each) => each !== member);
    for (const call of this.#queue) if (call.only === member) this.#giveUp(call, closed(member.name));
    await member.stop();
  }

  async #firstToServe(starts: readonly Promise<void>[]): Promise<void> {
    try {
      await Promise.any(starts);
    } catch (error) {
      const reasons = (error as AggregateError).errors as HsmError[];
      if (reasons.some(({ fault }) => fault === 'token')) return;
      throw reasons[0];
    }
  }

  async #close(): Promise<void> {
    const { name } = this.config;
    this.#prober.stop();
    if (this.#unsettled > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.config.deadlineMilliseconds);
        this.#drained = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const underWay = this.#members.flatMap(({ attempts }) => Array.from(attempts, ({ call }) => call));
    for (const call of [...this.#queue, ...underWay]) {
      call.reject(mayBeDone(call) ? outcomeUnknown(name, call) : closed(name));
    }
    this.#alarm.stop();
    await Promise.all(this.#members.map((member) => member.stop()));
    await this.#changing;
  }

  /** Making an RSA-4096 key takes seconds, so its callers wait as long as the token may take. */
  #deadlineMilliseconds(verb: Verb): number {
    const { deadlineMilliseconds, generateHangMilliseconds } = this.config;
    return slowVerbs.has(verb) ? Math.max(deadlineMilliseconds, generateHangMilliseconds) : deadlineMilliseconds;
  }
}

/** The caller's fault on one member, and none on another that has the key, can do more, or is not broken. */
const ofMember: ReadonlySet<string> = new Set([
  'ERR_HSM_KEY_NOT_FOUND',
  'ERR_HSM_MECHANISM_UNSUPPORTED',
  'ERR_HSM_DECRYPTION_FAILED',
]);

/** Sent, and of lasting effect if the token did it. */
function mayBeDone({ attempts, verb }: Call): boolean {
  return attempts > 0 && !verbFacts[verb].retrySafe;
}

/** The durable key that a call makes; a session object is gone with its agent. */
function keyInTheMaking({ verb, request }: Call): NewKey | undefined {
  if (verb === 'generateKey') {
    const key = request as Request<'generateKey'>;
    return key.extractable ? undefined : key;
  }
  return verb === 'unwrapKey' ? (request as Request<'unwrapKey'>).key : undefined;
}

/** A late answer may hold a data key that nobody will zero. */
function discard(answer: Answer<Verb>): void {
  if ('data' in answer) answer.data.fill(0);
}

function invalid(fault: string, cause?: unknown): HsmError {
  return new HsmError('ERR_HSM_ARGUMENT_INVALID', fault, { cause });
}
