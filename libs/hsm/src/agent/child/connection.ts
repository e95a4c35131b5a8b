import type { Duplex } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { HsmError } from '../../errors.js';
import { FrameSplitter } from '../frame.js';
import {
  type Answer,
  type DecodedRequest,
  decodeRequest,
  encodeAnswer,
  encodeError,
  type Hello,
  protocolVersion,
  type Verb,
} from '../protocol.js';
import { Call } from './call.js';
import type { RequestHandler, TokenRequest } from './request-handler.js';

/** Verbs whose answers hold secrets; their frames are zeroed once they are written. */
const secretAnswers: ReadonlySet<Verb> = new Set(['decrypt', 'random']);

/**
 * One client's stream: `hello` first, then requests, answered in the order they are done. Answers of one tick leave in one
 * write; when the client does not read, nothing more is read from it.
 */
export class Connection {
  readonly #splitter = new FrameSplitter();
  readonly #calls = new Map<number, Call>();
  #handler: RequestHandler | undefined;
  #isGreeted = false;
  #isCorked = false;
  #refusal: HsmError | undefined;

  /** @param greet  makes the handler for the client that says hello, or refuses it */
  constructor(
    private readonly stream: Duplex,
    private readonly greet: (hello: Hello) => Promise<RequestHandler>,
  ) {
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('drain', () => stream.resume());
  }

  /**
   * From now on every request is refused with `error`. Waits for the calls in flight and for their answers to be written.
   * @returns whether no call is in flight any more
   */
  async drain(error: HsmError, graceMilliseconds: number): Promise<boolean> {
    this.#refusal = error;
    const giveUpAt = performance.now() + graceMilliseconds;
    while (this.#isBusy && performance.now() < giveUpAt) await pause(2);
    return this.#calls.size === 0;
  }

  get #isBusy(): boolean {
    const isUnwritten = this.#isCorked || this.stream.writableLength > 0;
    return this.#calls.size > 0 || (isUnwritten && !this.stream.destroyed);
  }

  #receive(chunk: Buffer): void {
    try {
      for (const body of this.#splitter.push(chunk)) this.#accept(body);
    } catch {
      // Whoever sends frames that are none is not our application: there is nobody to answer.
      this.stream.destroy();
    }
  }

  #accept(body: Buffer): void {
    let decoded: DecodedRequest;
    try {
      decoded = decodeRequest(body);
    } catch (error) {
      const isAnswerable = error instanceof HsmError && error.code === 'ERR_HSM_ARGUMENT_INVALID';
      if (!isAnswerable) throw error;
      // u8 verb ‖ u32 request id stand before what could not be read.
      this.#send(encodeError(body.readUInt32LE(1), error));
      return;
    }
    this.#dispatch(decoded);
  }

  #dispatch({ header, request }: DecodedRequest): void {
    const { verb, requestId } = header;
    if (this.#isGreeted === (verb === 'hello')) throw new HsmError('ERR_HSM_PROTOCOL', 'want hello first, and once');
    switch (verb) {
      case 'hello':
        this.#isGreeted = true;
        void this.#answer(requestId, verb, async () => {
          this.#handler = await this.#welcome(request as Hello);
          return this.#handler.description;
        });
        return;
      case 'ping':
        this.#send(encodeAnswer('ping', requestId, {}));
        return;
      case 'cancel':
        this.#calls.get((request as { requestId: number }).requestId)?.cancel();
        this.#send(encodeAnswer('cancel', requestId, {}));
        return;
      default: {
        const call = new Call(header.remainingMilliseconds, header.correlationId);
        this.#calls.set(requestId, call);
        void this.#answer(requestId, verb, () => this.#handle(call, { header, request } as TokenRequest)).finally(() =>
          this.#calls.delete(requestId),
        );
      }
    }
  }

  async #welcome(hello: Hello): Promise<RequestHandler> {
    if (hello.version !== protocolVersion) {
      const message = `agent protocol: want version ${protocolVersion}, got ${hello.version}: rebuild both sides`;
      throw new HsmError('ERR_HSM_PROTOCOL', message);
    }
    return this.greet(hello);
  }

  async #handle(call: Call, decoded: TokenRequest): Promise<Answer<TokenRequest['header']['verb']>> {
    if (this.#refusal) throw this.#refusal;
    if (!this.#handler) throw new HsmError('ERR_HSM_PROTOCOL', 'want the answer to hello awaited');
    call.throwIfOver();
    return this.#handler.handle(call, decoded);
  }

  async #answer<V extends Verb>(requestId: number, verb: V, work: () => Promise<Answer<V>>): Promise<void> {
    try {
      const answer = await work();
      this.#send(encodeAnswer(verb, requestId, answer), secretAnswers.has(verb));
      if ('data' in answer) (answer.data as Buffer).fill(0);
    } catch (error) {
      this.#send(encodeError(requestId, toHsmError(error)));
    }
  }

  #send(frame: Buffer, isSecret = false): void {
    if (this.stream.destroyed) return;
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.stream.cork();
      setImmediate(() => {
        this.#isCorked = false;
        this.stream.uncork();
      });
    }
    const isRoomLeft = isSecret ? this.stream.write(frame, () => frame.fill(0)) : this.stream.write(frame);
    if (!isRoomLeft) this.stream.pause();
  }
}

function toHsmError(error: unknown): HsmError {
  if (error instanceof HsmError) return error;
  // A fault of ours: its name is enough for whoever reports it, its message might quote what it choked on.
  return new HsmError('ERR_HSM_PROTOCOL', `agent: unexpected ${error instanceof Error ? error.name : typeof error}`);
}
