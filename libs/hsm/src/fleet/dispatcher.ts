import type { Answer, Request, Verb } from '../agent/protocol.js';
import type { TrafficClass } from '../agent/traffic-class.js';
import type { ParsedHsmConfig } from '../config.js';
import { HsmError } from '../errors.js';
import type { Attempt } from './attempt.js';
import type { FleetCallOptions, FleetVerb } from './call-options.js';
import type { Call, CallCode } from './call.js';
import { keyInTheMaking, mayBeDone, remedyFor } from './failover.js';
import { aborted, closed, hopeless, isTurnedAway, outcomeUnknown, overloaded, timedOut } from './failure.js';
import { KeyHolders } from './key-holders.js';
import type { Member } from './member.js';
import type { GuardedObserver } from './observer.js';
import { isHopeless, isWaste } from './pace.js';
import { invalid, Reception } from './reception.js';
import { isServer, route } from './routing.js';
import { Timekeeper, type TimekeeperOwner } from './timekeeper.js';
import { WaitingCalls } from './waiting-calls.js';

/**
 * The callers of a fleet, and what its members make of their calls. Calls wait in bounded lines (WaitingCalls), from which
 * whichever member has room takes them. A call is settled exactly once: by an answer, its deadline, its signal, or `close`.
 *
 * When a member fails a call that may be made again, another member makes it, or the same one when its agent was replaced.
 * What became of a key in the making is looked up on its member; of anything else it is unknown.
 */
export class Dispatcher implements TimekeeperOwner {
  readonly #reception: Reception;
  readonly #waiting: WaitingCalls;
  readonly #holders = new KeyHolders();
  readonly #timekeeper: Timekeeper;

  constructor(
    private readonly config: ParsedHsmConfig,
    private readonly fleet: { readonly members: readonly Member[] },
    private readonly observer: GuardedObserver,
  ) {
    this.#reception = new Reception(config, observer);
    this.#waiting = new WaitingCalls(config.queueLimit);
    this.#timekeeper = new Timekeeper(fleet, this.#waiting, this.#holders, this);
  }

  /** How many calls wait. */
  get queued(): number {
    return this.#waiting.length;
  }

  get queuedByClass(): Readonly<Record<TrafficClass, number>> {
    return this.#waiting.lengths;
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
    this.#reception.close();
    await this.#reception.settled(deadlineMilliseconds);
    const underWay = this.#members.flatMap(({ attempts }) => Array.from(attempts, ({ call }) => call));
    for (const call of [...this.#waiting, ...underWay]) {
      call.reject(mayBeDone(call) ? outcomeUnknown(name, call) : closed(name, call));
    }
    this.#timekeeper.stop();
  }

  // What members say.

  answered(member: Member, attempt: Attempt, answer: Answer<Verb>): void {
    const { call } = attempt;
    this.#attemptEnded(member, attempt, 'OK');
    if (call.keyId !== undefined) this.#holders.present(member, call.keyId);
    this.#timekeeper.answered(attempt);
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
    for (const call of this.#waiting) {
      if (isOver || (call.only === member && member.state === 'refused')) this.#giveUp(call, reason);
    }
  }

  left(member: Member): void {
    for (const call of this.#waiting)
      if (call.only === member) this.#giveUp(call, closed(this.config.name, { member }));
    this.#holders.forget(member);
  }

  #attemptEnded({ name: member }: Member, { call, milliseconds }: Attempt, code: CallCode): void {
    const { verb, purpose, trafficClass } = call;
    this.#waiting.shares.give(trafficClass);
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
    const refusal = this.#reception.refusal(options) ?? (this.#isRefused ? this.#trouble : undefined);
    if (refusal !== undefined) return Promise.reject(refusal);
    const call = this.#take(verb, request, options, attemptsAllowed, only);
    const { startedAt: now } = call;
    // It overtakes nobody: whoever waits could not be placed when something last changed.
    const member = route(this.#members, call, this.#holders, now);
    if (member !== undefined) this.#send(member, call, now);
    else this.#wait(call, now);
    return call.promise as Promise<Answer<V>>;
  }

  #take(verb: Verb, request: Request<Verb>, options: FleetCallOptions, attemptsAllowed: number, only?: Member): Call {
    const call = this.#reception.take(verb, request, options, attemptsAllowed, only);
    if (options.signal !== undefined) call.onAbort(() => this.#abort(call, options.signal));
    this.#timekeeper.taken(call);
    return call;
  }

  #wait(call: Call, now: number): void {
    const { name, queueLimit } = this.config;
    // Calls for one member are few and ours: without its probe a member would never take its share of an overload.
    if (call.only !== undefined) this.#waiting.unshift(call);
    else if (!this.#waiting.hasPlaceFor(call)) return call.reject(overloaded(name, call, queueLimit));
    else if (this.#isHopeless(call, this.#waiting.lengthOf(call.trafficClass), now)) {
      return call.reject(hopeless(name, call));
    } else this.#waiting.push(call);
    this.#timekeeper.waits(now);
  }

  /** Gives those who wait to the members that have room for them. */
  dispatch(): void {
    if (this.#waiting.length === 0) return;
    const now = performance.now();
    for (const call of this.#waiting.inTurns()) {
      if (!this.#members.some((member) => member.isReachable && member.hasRoom)) return;
      let member = route(this.#members, call, this.#holders, now);
      if (member === undefined) continue;
      const isFit = (each: Member): boolean => !isWaste(call, each, this.#waiting, now);
      if (!isFit(member)) member = route(this.#members.filter(isFit), call, this.#holders, now);
      if (member !== undefined) {
        this.#waiting.remove(call);
        this.#send(member, call, now);
      } else if (this.#isHopeless(call, 0, now)) this.#giveUp(call, hopeless(this.config.name, call));
    }
  }

  /** @param ahead  calls that are before it in its line */
  #isHopeless(call: Call, ahead: number, now: number): boolean {
    const servers = this.#members.filter((member) => isServer(member, call, this.#holders, now));
    return isHopeless(call, servers, ahead, now);
  }

  #send(member: Member, call: Call, now: number): void {
    if (call.deadline <= now) return this.expire(call);
    try {
      member.send(call, now);
    } catch (cause) {
      return call.reject(
        cause instanceof HsmError ? cause : invalid(`${call.verb}: want arguments as declared`, cause),
      );
    }
    call.member = member;
    this.#waiting.shares.take(call.trafficClass);
    this.#timekeeper.sent(call, member, now);
  }

  // When a member could not do it.

  #failOver(call: Call, member: Member, error: HsmError): void {
    const remedy = remedyFor(call, member, error, this.#members);
    if (remedy === 'again') {
      this.observer.callMoved(member.name, error.code);
      this.#waiting.unshift(call);
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
    const { correlationId } = call;
    const deadlineMilliseconds = call.deadline - performance.now();
    const options = { deadlineMilliseconds, correlationId, purpose: 'look-up' } as const;
    const lookup = this.#take('findKeys', { id: key.id }, options, 2, only);
    this.#waiting.unshift(lookup);
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

  hedge(call: Call, member: Member, other: Member, now: number): void {
    this.observer.callHedged(member.name, other.name);
    this.#send(other, call, now);
  }

  expire(call: Call): void {
    this.#cancelAttempts(call);
    const { name } = this.config;
    if (mayBeDone(call)) call.reject(outcomeUnknown(name, call));
    else call.reject(call.failure ?? timedOut(name, call, this.#trouble));
  }

  #abort(call: Call, signal: AbortSignal | undefined): void {
    this.#waiting.remove(call);
    this.#cancelAttempts(call);
    call.reject(aborted(this.config.name, signal, call));
  }

  #giveUp(call: Call, reason: HsmError): void {
    this.#waiting.remove(call);
    call.reject(call.failure ?? reason);
  }

  #cancelAttempts(call: Call): void {
    if (call.underWay === 0) return;
    for (const member of this.#members) {
      for (const attempt of member.attempts) if (attempt.call === call) member.cancel(attempt);
    }
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
}

/** A late answer may hold a data key that nobody will zero. */
function discard(answer: Answer<Verb>): void {
  if ('data' in answer) answer.data.fill(0);
}
