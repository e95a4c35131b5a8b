import type { AgentClient } from '../agent/agent-client.js';
import {
  type Answer,
  maximumCorrelationIdBytes,
  type NewKey,
  type Request,
  type TokenDescription,
  type Verb,
  verbFacts,
} from '../agent/protocol.js';
import type { ParsedHsmConfig } from '../config.js';
import { HsmError } from '../errors.js';
import { Alarm } from './alarm.js';
import { Call, type CallCode, type CallTerms } from './call.js';
import { CallQueue } from './call-queue.js';
import { aborted, closed, hung, outcomeUnknown, overloaded, timedOut } from './failure.js';
import { guarded, type HsmLoad, type HsmObserver } from './observer.js';
import { Supervisor } from './supervisor.js';

/** A retry-safe call whose agent was lost is made once more. */
const attemptsAllowed = 2;
/** The protocol's u32. */
const longestMilliseconds = 2 ** 32 - 1;

export interface MemberCallOptions {
  readonly deadlineMilliseconds?: number;
  readonly signal?: AbortSignal;
  readonly correlationId?: string;
}

/** What callers may ask for; the rest of the protocol is between client and agent. */
export type MemberVerb = Exclude<Verb, 'hello' | 'ping' | 'cancel'>;

/**
 * One token and the callers who wait for it. At most `sessions` calls are with the agent, so that each is on the token; the
 * others wait in a bounded queue. A call is settled exactly once: by its answer, its deadline, its signal, or `close`.
 *
 * When the agent crashes, hangs or loses its HSM, it is replaced, and each call it had goes to the next one once more if
 * that can do no harm. What became of a key in the making is looked up; of anything else it is unknown.
 */
export class Member {
  /** @throws {HsmError} as `Hsm.open` says */
  static async start(config: ParsedHsmConfig, observer: HsmObserver = {}, agentEntry?: string): Promise<Member> {
    const member = new Member(config, observer, agentEntry);
    await member.#supervisor.start();
    return member;
  }

  readonly #queue = new CallQueue();
  readonly #alarm = new Alarm(() => this.#sweep());
  readonly #supervisor: Supervisor;
  readonly #observer: Required<HsmObserver>;
  #token: TokenDescription;
  /** The agent that takes calls; undefined while one is replaced. */
  #client: AgentClient<Call> | undefined;
  /** The agent said that it lost its HSM: it finishes what it has. */
  #retiring = false;
  /** Why no agent can be started, as far as one could not: callers who gave up waiting are told. */
  #trouble: HsmError | undefined;
  /** Why no agent will be started any more. */
  #refusal: HsmError | undefined;
  #unsettled = 0;
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  private constructor(
    private readonly config: ParsedHsmConfig,
    observer: HsmObserver,
    agentEntry?: string,
  ) {
    this.#observer = guarded(observer);
    const owner = {
      started: this.#started.bind(this),
      answered: this.#answered.bind(this),
      failed: this.#failed.bind(this),
      lost: this.#lost.bind(this),
      buried: this.#buried.bind(this),
      refused: this.#refused.bind(this),
    };
    this.#supervisor = new Supervisor(config, owner, agentEntry);
  }

  /** What the agent found when it last logged in. */
  get token(): TokenDescription {
    return this.#token;
  }

  get load(): HsmLoad {
    return { inFlight: this.#client?.unanswered.size ?? 0, queued: this.#queue.length };
  }

  /** Makes one call. Rejects with an HsmError, never throws. */
  call<V extends MemberVerb>(verb: V, request: Request<V>, options: MemberCallOptions): Promise<Answer<V>> {
    const refusal = this.#refuse(options);
    if (refusal !== undefined) return Promise.reject(refusal);
    const call = this.#newCall(verb, request, {
      deadline: performance.now() + (options.deadlineMilliseconds ?? this.#deadlineMilliseconds(verb)),
      correlationId: options.correlationId ?? '',
      signal: options.signal,
    });
    this.#queue.push(call);
    this.#alarm.at(call.deadline);
    this.#dispatch();
    return call.promise as Promise<Answer<V>>;
  }

  /** Refuses new calls, waits for the others as long as a caller would, then ends the agent. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  #refuse({ deadlineMilliseconds, signal, correlationId }: MemberCallOptions): HsmError | undefined {
    const { name, queueLimit } = this.config;
    if (this.#closing !== undefined) return closed(name);
    if (this.#refusal !== undefined) return this.#refusal;
    if (signal?.aborted === true) return aborted(name, signal);
    if (deadlineMilliseconds !== undefined && !(deadlineMilliseconds >= 0)) {
      return invalid(`deadline: want milliseconds, got ${deadlineMilliseconds}`);
    }
    if (correlationId !== undefined && Buffer.byteLength(correlationId) > maximumCorrelationIdBytes) {
      return invalid(`correlation id: want at most ${maximumCorrelationIdBytes} bytes`);
    }
    return this.#queue.length < queueLimit ? undefined : overloaded(name, queueLimit);
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

  #abort(call: Call, signal: AbortSignal | undefined): void {
    if (!this.#queue.remove(call)) this.#client?.cancel(call);
    call.reject(aborted(this.config.name, signal));
  }

  #dispatch(): void {
    const client = this.#client;
    while (client !== undefined && !this.#retiring && client.unanswered.size < this.config.sessions) {
      const call = this.#queue.shift();
      if (call === undefined) return;
      this.#send(client, call);
    }
  }

  #send(client: AgentClient<Call>, call: Call): void {
    const now = performance.now();
    if (call.deadline <= now) return this.#expire(call);
    try {
      client.send(call, Math.min(Math.ceil(call.deadline - now), longestMilliseconds));
      call.attempts++;
      this.#alarm.at(now + this.#hangMilliseconds(call.verb));
    } catch (cause) {
      call.reject(cause instanceof HsmError ? cause : invalid(`${call.verb}: want arguments as declared`, cause));
    }
  }

  #answered(call: Call, answer: Answer<Verb>): void {
    if (call.settled) discard(answer);
    else call.resolve(answer);
    this.#dispatch();
  }

  #failed(call: Call, error: HsmError): void {
    const isLeaving = error.code === 'ERR_HSM_UNAVAILABLE' && error.retryable;
    if (isLeaving && !this.#retiring) {
      this.#retiring = true;
      this.#supervisor.retire(error);
    }
    if (call.settled) return this.#dispatch();
    if (isLeaving && verbFacts[call.verb].retrySafe) this.#makeAgain(call, error);
    else if (isLeaving || error.code === 'ERR_HSM_OUTCOME_UNKNOWN') this.#lookUp(call, error);
    else call.reject(error);
    this.#dispatch();
  }

  #started(client: AgentClient<Call>, token: TokenDescription): void {
    this.#client = client;
    this.#token = token;
    this.#retiring = false;
    this.#trouble = undefined;
    this.#observer.agentStarted(token);
    this.#dispatch();
  }

  #lost(calls: readonly Call[], reason: HsmError): void {
    this.#client = undefined;
    this.#trouble = reason;
    for (const call of calls.toReversed()) {
      if (call.settled) continue;
      if (verbFacts[call.verb].retrySafe) this.#makeAgain(call, reason);
      else this.#lookUp(call, outcomeUnknown(this.config.name, call, reason));
    }
  }

  #buried(reason: HsmError): void {
    this.#trouble = reason;
    this.#observer.agentLost(reason);
  }

  #refused(reason: HsmError, final: boolean): void {
    this.#trouble = reason;
    this.#observer.agentRefused(reason);
    if (!final) return;
    this.#refusal = reason;
    for (const call of this.#queue) {
      this.#queue.remove(call);
      call.reject(reason);
    }
  }

  #makeAgain(call: Call, reason: HsmError): void {
    if (call.attempts < attemptsAllowed) this.#queue.unshift(call);
    else call.reject(reason);
  }

  /**
   * The id of a key in the making was chosen before, so the next agent can say whether the key came to be.
   * @param otherwise  what the caller is told when it did not, or when the call makes no key
   */
  #lookUp(call: Call, otherwise: HsmError): void {
    const key = keyInTheMaking(call);
    if (key === undefined) return call.reject(otherwise);
    const { deadline, correlationId } = call;
    const lookup = this.#newCall('findKeys', { id: key.id }, { deadline, correlationId });
    this.#queue.unshift(lookup);
    lookup.promise.then(
      (found) => {
        const [made] = found as Answer<'findKeys'>;
        if (made === undefined) call.reject(otherwise);
        else call.resolve(made);
      },
      (cause: unknown) => call.reject(outcomeUnknown(this.config.name, call, cause)),
    );
  }

  /** Settles what is late and replaces an agent that is hung. */
  #sweep(): void {
    const now = performance.now();
    let next = Infinity;
    for (const call of this.#queue) {
      if (call.deadline <= now) {
        this.#queue.remove(call);
        this.#expire(call);
      } else next = Math.min(next, call.deadline);
    }
    let stuck: Call | undefined;
    for (const call of this.#client?.unanswered.values() ?? []) {
      const hangsAt = (call.sentAt || now) + this.#hangMilliseconds(call.verb);
      if (hangsAt <= now) stuck = call;
      else next = Math.min(next, hangsAt);
      if (call.settled) continue;
      if (call.deadline <= now) this.#expire(call);
      else next = Math.min(next, call.deadline);
    }
    if (next < Infinity) this.#alarm.at(next);
    if (stuck === undefined) return;
    this.#supervisor.replace(hung(this.config.name, stuck.verb, this.#hangMilliseconds(stuck.verb)));
  }

  #expire(call: Call): void {
    this.#client?.cancel(call);
    const { name } = this.config;
    call.reject(mayBeDone(call) ? outcomeUnknown(name, call) : timedOut(name, call, this.#trouble));
  }

  async #close(): Promise<void> {
    const { name } = this.config;
    if (this.#unsettled > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.config.deadlineMilliseconds);
        this.#drained = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const call of [...this.#queue, ...(this.#client?.unanswered.values() ?? [])]) {
      call.reject(mayBeDone(call) ? outcomeUnknown(name, call) : closed(name));
    }
    this.#alarm.stop();
    await this.#supervisor.stop();
  }

  /** Making an RSA-4096 key takes seconds, so its callers wait as long as the token may take. */
  #deadlineMilliseconds(verb: Verb): number {
    const { deadlineMilliseconds } = this.config;
    return verb === 'generateKey' ? Math.max(deadlineMilliseconds, this.#hangMilliseconds(verb)) : deadlineMilliseconds;
  }

  #hangMilliseconds(verb: Verb): number {
    return verb === 'generateKey' ? this.config.generateHangMilliseconds : this.config.hangMilliseconds;
  }
}

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
