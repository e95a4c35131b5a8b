import type { Answer, Request, TokenDescription, Verb } from '../agent/protocol.js';
import { type MemberConfig, memberConfigs, type ParsedHsmConfig } from '../config.js';
import { type HsmError } from '../errors.js';
import type { Attempt } from './attempt.js';
import type { FleetCallOptions, FleetVerb } from './call-options.js';
import { Dispatcher } from './dispatcher.js';
import { closed } from './failure.js';
import type { Member } from './member.js';
import { Membership, type MembershipOwner } from './membership.js';
import { guarded, type GuardedObserver, type HsmLoad, type HsmObserver, type MemberStatus } from './observer.js';
import { Prober } from './prober.js';

/** The members of one role, who comes and goes among them (Membership), and the calls that they serve (Dispatcher). */
export class Fleet implements MembershipOwner {
  /**
   * Starts every member and returns when one serves, or when none can for now: those are tried again for ever.
   * @throws {HsmError} when none can and only its operator or the application can mend it
   */
  static async start(config: ParsedHsmConfig, observer: HsmObserver = {}, agentEntry?: string): Promise<Fleet> {
    const fleet = new Fleet(config, guarded(observer), agentEntry);
    try {
      await fleet.#membership.start(memberConfigs(config));
    } catch (error) {
      await fleet.close();
      throw error;
    }
    return fleet;
  }

  readonly #membership: Membership;
  readonly #dispatcher: Dispatcher;
  readonly #prober = new Prober(this);
  readonly #ending = new AbortController();
  #closing: Promise<void> | undefined;

  private constructor(
    private readonly config: ParsedHsmConfig,
    private readonly observer: GuardedObserver,
    agentEntry?: string,
  ) {
    this.#membership = new Membership(this, this.#ending.signal, agentEntry);
    this.#dispatcher = new Dispatcher(config, this.#membership, observer);
  }

  get members(): readonly Member[] {
    return this.#membership.members;
  }

  get load(): HsmLoad {
    const { queued, queuedByClass } = this.#dispatcher;
    const inFlight = this.members.reduce((sum, member) => sum + member.inFlight, 0);
    return { sessions: this.#sessions, inFlight, queued, queuedByClass };
  }

  get #sessions(): number {
    return this.members.reduce((sum, { isReachable, config }) => sum + (isReachable ? config.sessions : 0), 0);
  }

  get status(): readonly MemberStatus[] {
    const now = performance.now();
    return this.members.map((member) => {
      const { name, state, token, inFlight, latency, trouble } = member;
      const isSuspect = member.isSuspect(now);
      return { name, state, token, inFlight, isSuspect, medianMilliseconds: latency.median, trouble };
    });
  }

  /** Makes one call, on whichever member is best. Rejects with an HsmError, never throws. */
  call<V extends FleetVerb>(verb: V, request: Request<V>, options: FleetCallOptions): Promise<Answer<V>> {
    return this.#dispatcher.call(verb, request, options);
  }

  /** Makes one call on that member or not at all. */
  callOn<V extends FleetVerb>(
    member: Member,
    verb: V,
    request: Request<V>,
    options: FleetCallOptions,
  ): Promise<Answer<V>> {
    return this.#dispatcher.callOn(member, verb, request, options);
  }

  /**
   * Takes in and lets go of members until they are these, one such change after the other. Starts that fail are tried again.
   * @throws {HsmError} why none of these could be reached, when another could; nothing is changed then
   */
  become(configs: readonly MemberConfig[]): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(closed(this.config.name));
    return this.#membership.become(configs);
  }

  /** Whether keys really sign: passes when one member does. @throws {HsmError} why the first one did not */
  async probe(): Promise<void> {
    const reachable = this.members.filter(({ isReachable }) => isReachable);
    const probed = reachable.length > 0 ? reachable : this.members;
    await Promise.any(probed.map((member) => this.#prober.probe(member))).catch((error: AggregateError) => {
      throw error.errors[0];
    });
  }

  /** Refuses new calls, waits for the others as long as a caller would, then ends the agents. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#ending.abort();
    this.#prober.stop();
    await this.#dispatcher.close();
    await this.#membership.stop();
  }

  // What members say.

  started(member: Member, token: TokenDescription): void {
    this.observer.agentStarted(token, member.name);
    if (member.state === 'probation' && this.members.length > 1) this.#prober.probeSoon(member);
    this.#dispatcher.dispatch();
  }

  answered(member: Member, attempt: Attempt, answer: Answer<Verb>): void {
    this.#dispatcher.answered(member, attempt, answer);
  }

  failed(member: Member, attempt: Attempt, error: HsmError): void {
    this.#dispatcher.failed(member, attempt, error);
  }

  lost(member: Member, attempts: readonly Attempt[], reason: HsmError): void {
    this.#dispatcher.lost(member, attempts, reason);
  }

  buried(member: Member, reason: HsmError): void {
    this.observer.agentLost(reason, member.name);
  }

  refused(member: Member, reason: HsmError): void {
    this.observer.agentRefused(reason, member.name);
    this.#dispatcher.refused(member, reason);
  }

  left(member: Member): void {
    this.#dispatcher.left(member);
  }
}
