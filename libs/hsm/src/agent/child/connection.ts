import type { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { HsmError } from '../../errors.js';
import type { KeyId } from '../../key/key.js';
import { FrameSplitter } from '../frame.js';
import { decodeRequest } from '../message.js';
import { type Answer, type Hello, protocolVersion, type ReceivedRequest, type Verb } from '../protocol.js';
import { admittedClass } from '../traffic-class-of.js';
import { AnswerBatch } from './answer-batch.js';
import { Call } from './call.js';
import { type Caller, type CallerRole, soleCaller } from './caller.js';
import type { RequestHandler, TokenRequest } from './request-handler.js';

/** How long a client may take to read its last answers when the agent ends. */
const lastAnswersMilliseconds = 3_000;

/** Whose connection it is, and what it may have with the agent at once. */
export interface ConnectionTerms {
  readonly role: CallerRole;
  readonly callsInFlight: number;
  /** Of requests that are not answered yet. */
  readonly bytesInFlight: number;
  /** Whoever signs with one of these looks whether the token does. */
  readonly probeKeys: ReadonlySet<KeyId>;
}

/** An application limits itself. */
const ownTerms: ConnectionTerms = {
  ...soleCaller,
  callsInFlight: Infinity,
  bytesInFlight: Infinity,
  probeKeys: new Set(),
};

/**
 * One client's stream: `hello` first, then requests, each answered once, in the order they are done. While the client does
 * not take its answers, nothing more is read from it.
 */
export class Connection implements Caller {
  readonly #splitter = new FrameSplitter();
  readonly #calls = new Map<number, { readonly verb: Verb; readonly call: Call }>();
  #bytesInFlight = 0;
  readonly #answers: AnswerBatch;
  #handler: RequestHandler | undefined;
  #isGreeted = false;
  #refusal: HsmError | undefined;

  /** @param greet  makes the handler for the client that says hello, or refuses it */
  constructor(
    private readonly stream: Duplex,
    private readonly greet: (hello: Hello) => Promise<RequestHandler> | RequestHandler,
    private readonly terms = ownTerms,
  ) {
    this.#answers = new AnswerBatch(stream);
  }

  get role(): CallerRole {
    return this.terms.role;
  }

  /** Whether the client was let in. */
  get isWelcome(): boolean {
    return this.#handler !== undefined;
  }

  get isGone(): boolean {
    return this.stream.destroyed;
  }

  get isIdle(): boolean {
    return this.#calls.size === 0;
  }

  /** The client is gone: calls that still wait for the token are dropped. */
  abandon(): void {
    for (const { call } of this.#calls.values()) call.cancel();
  }

  /** @returns the verb of a call that has been on the token for longer than its verb may be, if there is one */
  overdue(now: number, limitMilliseconds: (verb: Verb) => number): Verb | undefined {
    for (const { verb, call } of this.#calls.values()) {
      if (call.onTokenSince !== undefined && now - call.onTokenSince > limitMilliseconds(verb)) return verb;
    }
    return undefined;
  }

  /**
   * From now on every request is refused with `error`. Waits for the calls in flight and for their answers to be written.
   * @returns whether no call is in flight any more
   */
  async drain(error: HsmError, graceMilliseconds: number): Promise<boolean> {
    this.#refusal = error;
    const giveUpAt = performance.now() + graceMilliseconds;
    while (!this.isIdle && performance.now() < giveUpAt) await pause(2);
    const isIdle = this.isIdle;
    const writtenBy = Math.min(giveUpAt, performance.now() + lastAnswersMilliseconds);
    while (this.#answers.isUnwritten && performance.now() < writtenBy) await pause(2);
    return isIdle;
  }

  /** What has come from the client; no buffer may be used twice. */
  receive(chunk: Buffer): void {
    let frames = 0;
    try {
      for (const body of this.#splitter.push(chunk)) {
        if (this.stream.destroyed) return;
        this.#accept(body);
        frames++;
      }
    } catch {
      // Whoever sends frames that are none is not our application: there is nobody to answer.
      this.stream.destroy();
    }
    if (frames > this.terms.callsInFlight) this.#yield();
  }

  /** More at once than may be in flight: others are read from first. */
  #yield(): void {
    this.stream.pause();
    setImmediate(() => {
      if (!this.stream.writableNeedDrain) this.stream.resume();
    });
  }

  #accept(body: Buffer): void {
    let received: ReceivedRequest;
    try {
      received = decodeRequest(body);
    } catch (error) {
      if (!(error instanceof HsmError) || error.code !== 'ERR_HSM_ARGUMENT_INVALID') throw error;
      // u8 verb ‖ u32 request id stand before what could not be read.
      this.#answers.error(body.readUInt32LE(1), error);
      return;
    }
    if (this.#isGreeted === (received.verb === 'hello'))
      throw new HsmError('ERR_HSM_PROTOCOL', 'want hello first, once');
    switch (received.verb) {
      case 'hello':
        this.#isGreeted = true;
        void this.#answer(received, body, () => this.#welcome(received.request));
        break;
      case 'ping':
        this.#answers.result('ping', received.requestId, {});
        break;
      case 'cancel':
        this.#calls.get(received.request.requestId)?.call.cancel();
        this.#answers.result('cancel', received.requestId, {});
        break;
      default:
        // Two calls under one id would be counted as one, and the token closed while the second is on it.
        if (this.#calls.has(received.requestId)) throw new HsmError('ERR_HSM_PROTOCOL', 'want a request id not in use');
        this.#admit(received, body);
    }
  }

  #admit(request: TokenRequest, body: Buffer): void {
    const { callsInFlight, bytesInFlight } = this.terms;
    if (this.#calls.size < callsInFlight && this.#bytesInFlight + body.length <= bytesInFlight) {
      this.#serve(request, body);
      return;
    }
    const message = `agent: want at most ${callsInFlight} calls and ${bytesInFlight} bytes of a connection in flight`;
    this.#answers.error(request.requestId, new HsmError('ERR_HSM_OVERLOADED', message, { retryable: true }));
    body.fill(0);
  }

  async #welcome(hello: Hello): Promise<Answer<'hello'>> {
    if (hello.version !== protocolVersion) {
      const message = `agent protocol: want version ${protocolVersion}, got ${hello.version}: rebuild both sides`;
      throw new HsmError('ERR_HSM_PROTOCOL', message);
    }
    this.#handler = await this.greet(hello);
    return this.#handler.description;
  }

  #serve(request: TokenRequest, body: Buffer): void {
    const { requestId, verb, remainingMilliseconds, correlationId, attempt } = request;
    const isProbe = verb === 'sign' && this.terms.probeKeys.has(request.request.keyId);
    const trafficClass = isProbe ? 'management' : admittedClass(verb, request.trafficClass);
    const call = new Call(remainingMilliseconds, correlationId, attempt, this, trafficClass);
    this.#calls.set(requestId, { verb, call });
    void this.#answer(request, body, () => {
      if (this.#refusal) throw this.#refusal;
      if (!this.#handler) throw new HsmError('ERR_HSM_PROTOCOL', 'want the answer to hello awaited');
      call.throwIfOver();
      return this.#handler.handle(call, request);
    });
  }

  async #answer<V extends Verb>(
    { verb, requestId }: { readonly verb: V; readonly requestId: number },
    body: Buffer,
    work: () => Promise<Answer<V>>,
  ): Promise<void> {
    this.#bytesInFlight += body.length;
    try {
      const answer = await work();
      this.#answers.result(verb, requestId, answer);
      // Plaintext and random bytes live no longer than their frame.
      if ('data' in answer) answer.data.fill(0);
    } catch (error) {
      this.#answers.error(requestId, toHsmError(error));
    }
    // It may hold a data key or a PIN, and no buffer of the splitter is used twice.
    body.fill(0);
    this.#bytesInFlight -= body.length;
    this.#calls.delete(requestId);
  }
}

function toHsmError(error: unknown): HsmError {
  if (error instanceof HsmError) return error;
  // A fault of ours: its name is enough for whoever reports it, its message might quote what it choked on.
  return new HsmError('ERR_HSM_PROTOCOL', `agent: unexpected ${error instanceof Error ? error.name : typeof error}`);
}
