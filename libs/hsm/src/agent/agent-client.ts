import type { Duplex } from 'node:stream';
import { HsmError } from '../errors.js';
import { FrameSplitter, FrameWriter } from './frame.js';
import { AnswerReader, writeRequest } from './message.js';
import type { Answer, Hello, Request, RequestHeader, TokenDescription, Verb } from './protocol.js';
import type { TrafficClass } from './traffic-class.js';

/** How often a busy agent is asked whether it lives, and how many beats without a byte from it mean that it does not. */
const heartbeatMilliseconds = 250;
const silentBeatsAllowed = 5;

/** Room for the requests of one turn of the event loop; larger buffers are not kept. */
const outgoingBytes = 16_384;
const nothing = Buffer.alloc(0);
/** What follows it is done when what happens together has happened; process.nextTick costs three times as much. */
const atOnce = Promise.resolve();

/** Of what no caller asked for. */
const callless = { remainingMilliseconds: 0, attempt: 1, trafficClass: 'management', correlationId: '' } as const;

/** A request on its way, in the shape that its owner keeps it. */
export interface AgentRequest {
  readonly verb: Verb;
  readonly request: Request<Verb>;
  readonly correlationId: string;
  /** 1 for the first of its call. */
  readonly attempt: number;
  readonly trafficClass: TrafficClass;
  /** Given by the client when the request is accepted. */
  requestId: number;
  /** On the clock of performance.now(), given when the request has left this process; 0 until then. */
  sentAt: number;
  /** On the same clock, given when its answer was read; 0 until then. */
  answeredAt: number;
}

/** Whoever sends requests: told once of each answer, and once when there will be no more. */
export interface AgentClientOwner<R extends AgentRequest> {
  answered(request: R, answer: Answer<Verb>): void;
  /** The agent answered with an error. */
  failed(request: R, error: HsmError): void;
  /** The agent is gone, or as good as gone; what it has not answered stays in `unanswered`. */
  lost(reason: HsmError): void;
}

/**
 * Requests and answers of many callers over one stream to an agent. The frames of one turn of the event loop go out in one
 * write. While requests are under way the agent is pinged, so that a stopped one is found within 1.5 seconds.
 */
export class AgentClient<R extends AgentRequest> {
  readonly #unanswered = new Map<number, R>();
  readonly #splitter = new FrameSplitter();
  #greeting: { requestId: number; resolve(token: TokenDescription): void; reject(error: unknown): void } | undefined;
  /** Fills while its twin is being sent. */
  #outgoing = new FrameWriter(outgoingBytes);
  #spare: FrameWriter | undefined;
  /** The requests in `#outgoing`. */
  #unsent: R[] = [];
  #requestId = 0;
  #heartbeat: NodeJS.Timeout | undefined;
  #isWatched = false;
  #pinged = false;
  #silentBeats = 0;
  #lost: HsmError | undefined;

  constructor(
    private readonly stream: Duplex,
    /** The name of the fleet member, for errors. */
    private readonly member: string,
    private readonly owner: AgentClientOwner<R>,
  ) {
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('error', (cause) => this.#lose('the agent ended', cause));
    stream.on('close', () => this.#lose('the agent ended'));
  }

  /** Requests that the agent has not answered yet, by request id. */
  get unanswered(): ReadonlyMap<number, R> {
    return this.#unanswered;
  }

  /** Why there will be no more answers, once that is so. */
  get lost(): HsmError | undefined {
    return this.#lost;
  }

  /**
   * The first request on every connection.
   * @returns once the agent is logged in
   * @throws {HsmError} the agent's, or ERR_HSM_UNAVAILABLE when it ends without an answer
   */
  hello(hello: Hello): Promise<TokenDescription> {
    return new Promise((resolve, reject) => {
      const requestId = this.#nextRequestId();
      this.#greeting = { requestId, resolve, reject };
      this.#write({ ...callless, verb: 'hello', requestId }, hello);
    });
  }

  /** @throws {HsmError} ERR_HSM_ARGUMENT_INVALID when the request does not fit the protocol; nothing was sent then */
  send(request: R, remainingMilliseconds: number): void {
    const { verb, correlationId, attempt, trafficClass } = request;
    const requestId = this.#nextRequestId();
    this.#write({ verb, requestId, remainingMilliseconds, attempt, trafficClass, correlationId }, request.request);
    request.requestId = requestId;
    request.sentAt = 0;
    request.answeredAt = 0;
    this.#unsent.push(request);
    this.#unanswered.set(requestId, request);
    this.#startHeartbeat();
  }

  /** From now on the agent is pinged whether requests are under way or not. */
  watch(): void {
    this.#isWatched = true;
    this.#startHeartbeat();
  }

  /** Asks the agent to drop a request that still waits for the token; its answer comes as usual. */
  cancel(request: R): void {
    const { requestId } = request;
    if (this.#unanswered.get(requestId) !== request) return;
    this.#write({ ...callless, verb: 'cancel', requestId: this.#nextRequestId() }, { requestId });
  }

  /** Sends what there is and closes: the agent answers, finishes and ends. */
  end(): void {
    this.#isWatched = false;
    this.#flush();
    this.stream.end();
  }

  #nextRequestId(): number {
    do this.#requestId = (this.#requestId + 1) >>> 0;
    while (this.#unanswered.has(this.#requestId));
    return this.#requestId;
  }

  #write<V extends Verb>(header: RequestHeader<V>, request: Request<V>): void {
    const isFirst = this.#outgoing.isEmpty;
    writeRequest(this.#outgoing, header, request);
    if (isFirst) void atOnce.then(this.#flush);
  }

  readonly #flush = (): void => {
    const writer = this.#outgoing;
    if (writer.isEmpty || this.#lost !== undefined) return;
    this.#outgoing = this.#spare ?? new FrameWriter(outgoingBytes);
    this.#spare = undefined;
    // Not when it was asked for: this turn of the event loop may have been a long one.
    const now = performance.now();
    for (const request of this.#unsent) request.sentAt = now;
    this.#unsent = [];
    this.stream.write(writer.frames);
    // As a rule the kernel has them now, and there is no call back to wait for.
    if (this.stream.writableLength === 0) this.#written(writer);
    else this.stream.write(nothing, () => this.#written(writer));
  };

  #written(writer: FrameWriter): void {
    const { byteLength } = writer;
    writer.clear();
    if (byteLength <= outgoingBytes) this.#spare = writer;
  }

  #receive(chunk: Buffer): void {
    this.#pinged = false;
    this.#silentBeats = 0;
    const now = performance.now();
    try {
      for (const body of this.#splitter.push(chunk)) this.#answer(body, now);
    } catch (cause) {
      this.#lose('want the agent protocol from the agent, got something else', cause);
    }
  }

  #answer(body: Buffer, now: number): void {
    const reader = new AnswerReader(body);
    if (reader.requestId === this.#greeting?.requestId) return this.#welcome(reader);
    const request = this.#unanswered.get(reader.requestId);
    // The answers of ping and cancel say nothing and end here.
    if (request === undefined) return;
    const answer = reader.failed ? reader.error(this.member) : reader.answer(request.verb);
    this.#unanswered.delete(reader.requestId);
    request.answeredAt = now;
    // Answers hold data keys; the caller got bytes of its own.
    body.fill(0);
    if (answer instanceof HsmError) this.owner.failed(request, answer);
    else this.owner.answered(request, answer);
  }

  #welcome(reader: AnswerReader): void {
    if (reader.failed) this.#greeting?.reject(reader.error(this.member));
    else this.#greeting?.resolve(reader.answer('hello'));
    this.#greeting = undefined;
  }

  #beat(): void {
    if (this.#unanswered.size === 0 && !this.#isWatched) return this.#stopHeartbeat();
    if (!this.#pinged) {
      this.#pinged = true;
      this.#write({ ...callless, verb: 'ping', requestId: this.#nextRequestId() }, {});
    } else if (++this.#silentBeats >= silentBeatsAllowed) {
      // Beats that this event loop slept through were never counted, so the agent had the whole time to answer.
      this.#lose(`the agent was silent for ${silentBeatsAllowed * heartbeatMilliseconds} ms`);
    }
  }

  #startHeartbeat(): void {
    this.#heartbeat ??= setInterval(() => this.#beat(), heartbeatMilliseconds);
  }

  #stopHeartbeat(): void {
    clearInterval(this.#heartbeat);
    this.#heartbeat = undefined;
  }

  #lose(what: string, cause?: unknown): void {
    if (this.#lost !== undefined) return;
    const { member } = this;
    this.#lost = new HsmError('ERR_HSM_UNAVAILABLE', `${member}: ${what}`, { member, retryable: true, cause });
    this.#stopHeartbeat();
    this.#outgoing.clear();
    this.#greeting?.reject(this.#lost);
    this.owner.lost(this.#lost);
  }
}
