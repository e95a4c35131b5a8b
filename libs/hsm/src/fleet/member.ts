import type { AgentClient } from '../agent/agent-client.js';
import { agentSource } from '../agent/agent-source.js';
import { type Answer, slowVerbs, type TokenDescription, type Verb, verbFacts } from '../agent/protocol.js';
import type { TrafficClass } from '../agent/traffic-class.js';
import type { MemberConfig } from '../config.js';
import { type HsmError } from '../errors.js';
import { Attempt } from './attempt.js';
import { Breaker } from './breaker.js';
import type { Call } from './call.js';
import { hung } from './failure.js';
import { LatencyWindow } from './latency.js';
import type { MemberState } from './member-state.js';
import { Supervisor } from './supervisor.js';

/** The protocol's u32. */
const longestMilliseconds = 2 ** 32 - 1;
/** The protocol's u8. */
const highestAttempt = 255;
/** A call this many times as old as the median, and this old at least, means that the member may be frozen. */
const suspiciousFactor = 10;
const suspiciousMilliseconds = 25;
/** Short, so that a member that turns slow is known for it after some dozen calls. */
const latencyMemory = 128;

export interface MemberOwner {
  /** It is logged in. */
  started(member: Member, token: TokenDescription): void;
  answered(member: Member, attempt: Attempt, answer: Answer<Verb>): void;
  failed(member: Member, attempt: Attempt, error: HsmError): void;
  /** Its agent was lost, with these attempts, and will be replaced. */
  lost(member: Member, attempts: readonly Attempt[], reason: HsmError): void;
  /** The lost agent is gone: the same reason, with how its process ended. */
  buried(member: Member, reason: HsmError): void;
  /** No agent could be started. */
  refused(member: Member, reason: HsmError): void;
}

/**
 * One token of a fleet: its agent, the calls that are with it, and what is known of its health. It never queues: at most
 * `sessions` calls are with the agent, so that each is on the token.
 */
export class Member {
  readonly name: string;
  readonly breaker = new Breaker();
  readonly latency = new LatencyWindow(latencyMemory);
  /** The same of each class by itself: how quick handshakes are says nothing of what a call of another class can hope for. */
  readonly latencyOf: Readonly<Record<TrafficClass, LatencyWindow>> = {
    interactive: new LatencyWindow(latencyMemory),
    data: new LatencyWindow(latencyMemory),
    issuance: new LatencyWindow(latencyMemory),
    management: new LatencyWindow(latencyMemory),
  };
  #state: MemberState = 'starting';
  #token: TokenDescription | undefined;
  #client: AgentClient<Attempt> | undefined;
  #trouble: HsmError | undefined;
  readonly #supervisor: Supervisor;

  constructor(
    readonly config: MemberConfig,
    private readonly owner: MemberOwner,
    agentEntry?: string,
  ) {
    this.name = config.name;
    this.#supervisor = new Supervisor(config, agentSource(config, agentEntry), {
      started: (client, token) => this.#started(client, token),
      answered: (attempt, answer) => this.#answered(attempt, answer),
      failed: (attempt, error) => this.#failed(attempt, error),
      lost: (attempts, reason) => this.#lost(attempts, reason),
      buried: (reason) => {
        this.#trouble = reason;
        this.owner.buried(this, reason);
      },
      refused: (reason, final) => this.#refused(reason, final),
    });
  }

  get state(): MemberState {
    return this.#state === 'serving' && this.breaker.isOpen ? 'probation' : this.#state;
  }

  /** What the agent found when it last logged in. */
  get token(): TokenDescription | undefined {
    return this.#token;
  }

  /** Why it does not serve, as far as it does not. */
  get trouble(): HsmError | undefined {
    return this.#trouble;
  }

  get attempts(): Iterable<Attempt> {
    return this.#client?.unanswered.values() ?? [];
  }

  get inFlight(): number {
    return this.#client?.unanswered.size ?? 0;
  }

  /** Whether an agent is there, on probation or not. */
  get isReachable(): boolean {
    return this.#client !== undefined && (this.#state === 'serving' || this.#state === 'probation');
  }

  get hasRoom(): boolean {
    return this.inFlight < this.config.sessions;
  }

  /** Whether a call has been with it for so long that it may be frozen, though its time is not over yet. */
  isSuspect(now: number): boolean {
    for (const { verb, sentAt } of this.attempts) {
      if (!verbFacts[verb].retrySafe) continue;
      if (sentAt === 0 || now - sentAt < suspiciousMilliseconds) return false;
      return now - sentAt > suspiciousFactor * (this.latency.median ?? 0);
    }
    return false;
  }

  /** Starts the first agent. @throws {HsmError} why it could not; others follow unless that is no use */
  start(): Promise<void> {
    return this.#supervisor.start();
  }

  /** @throws {HsmError} ERR_HSM_ARGUMENT_INVALID when the call does not fit the protocol; nothing was sent then */
  send(call: Call, now: number): void {
    const attempt = new Attempt(call, Math.min(call.attempts + 1, highestAttempt));
    const remaining = Math.min(Math.ceil(call.deadline - now), longestMilliseconds);
    (this.#client as AgentClient<Attempt>).send(attempt, remaining);
    call.attemptBegan(now);
  }

  /** Asks the agent to drop a call that still waits for the token. */
  cancel(attempt: Attempt): void {
    this.#client?.cancel(attempt);
  }

  /** How long a call of that verb may be on the token. */
  hangMilliseconds(verb: Verb): number {
    return slowVerbs.has(verb) ? this.config.generateHangMilliseconds : this.config.hangMilliseconds;
  }

  /** Ends the agent when one of its calls has been on the token for too long. @returns when to look again */
  checkForHang(now: number): number {
    let next = Infinity;
    for (const { verb, sentAt, call } of this.attempts) {
      const limit = this.hangMilliseconds(verb);
      // In a shared agent calls wait for those of others, and it knows itself which are on the token and ends itself. But what
      // still waits at its deadline is cancelled and answered then, so what is not answered so long after that hangs.
      const since = 'socket' in this.config ? Math.max(sentAt, call.deadline) : sentAt || now;
      const hangsAt = since + limit;
      if (hangsAt > now) next = Math.min(next, hangsAt);
      else {
        this.#supervisor.replace(hung(this.name, verb, limit));
        return Infinity;
      }
    }
    return next;
  }

  /** Takes no more calls; those that are with it go on. */
  leave(): void {
    this.#state = 'leaving';
  }

  /** How long its calls took is no longer true. */
  forgetLatency(): void {
    this.latency.clear();
    for (const each of Object.values(this.latencyOf)) each.clear();
  }

  /** It signed as it should: calls may go to it again. */
  passedProbe(): void {
    this.breaker.close();
    this.#trouble = undefined;
    if (this.#state === 'probation') this.#state = 'serving';
  }

  /** Ends the agent, in good order if it still can. */
  async stop(): Promise<void> {
    this.#state = 'leaving';
    await this.#supervisor.stop();
    for (const { call } of this.attempts) call.attemptEnded();
    this.#client = undefined;
  }

  #started(client: AgentClient<Attempt>, token: TokenDescription): void {
    this.#client = client;
    this.#token = token;
    this.breaker.close();
    if (this.#state !== 'leaving') this.#state = this.#state === 'starting' ? 'serving' : 'probation';
    this.owner.started(this, token);
  }

  #answered(attempt: Attempt, answer: Answer<Verb>): void {
    attempt.call.attemptEnded();
    if (verbFacts[attempt.verb].retrySafe) {
      this.latency.add(attempt.milliseconds);
      this.latencyOf[attempt.trafficClass].add(attempt.milliseconds);
    }
    this.breaker.succeeded();
    this.owner.answered(this, attempt, answer);
  }

  #failed(attempt: Attempt, error: HsmError): void {
    attempt.call.attemptEnded();
    const isLeaving = error.code === 'ERR_HSM_UNAVAILABLE' && error.retryable;
    if (isLeaving && this.#state !== 'down') {
      this.#setDown(error);
      this.#supervisor.retire(error);
    } else if (error.fault === 'operator' || (error.fault === 'token' && error.code !== 'ERR_HSM_TIMEOUT')) {
      this.#trouble = error;
      this.breaker.failed(performance.now(), graveCodes.has(error.code));
    }
    this.owner.failed(this, attempt, error);
  }

  #lost(attempts: readonly Attempt[], reason: HsmError): void {
    this.#client = undefined;
    this.#setDown(reason);
    for (const { call } of attempts) call.attemptEnded();
    this.owner.lost(this, attempts, reason);
  }

  #refused(reason: HsmError, final: boolean): void {
    this.#trouble = reason;
    if (final && this.#state !== 'leaving') this.#state = 'refused';
    this.owner.refused(this, reason);
  }

  #setDown(reason: HsmError): void {
    this.#trouble = reason;
    if (this.#state !== 'leaving') this.#state = 'down';
  }
}

/** Of these one is enough: a wrong answer, and a token that asks for a pause. */
const graveCodes: ReadonlySet<string> = new Set(['ERR_HSM_SIGNATURE_INVALID', 'ERR_HSM_THROTTLED']);
