import { type ClientRequest as OutgoingRequest, type IncomingMessage, ServerResponse } from 'node:http';
import { constants } from 'node:http2';
import type { Duplex, Writable } from 'node:stream';
import { TlsOffloadError } from '../errors.js';
import { AskedUpstreams, isWorthAnother } from './asked-upstreams.js';
import { ExchangeClock, type ExchangeState } from './exchange-clock.js';
import { isIdentityField } from './forwarded.js';
import { answerFault, beginResponse, endResponse, endWhenAborted, isGone } from './l7-answer.js';
import type { ParsedL7ProxyConfig } from './l7-config.js';
import { fieldsOf, removeConnectionFields, toHeaders, trailersOf } from './l7-fields.js';
import {
  type ClientRequest,
  type ClientResponse,
  type RequestRules,
  type UpstreamRequest,
  upstreamRequestOf,
} from './l7-request.js';
import { upstreamFault } from './upstream-fault.js';
import type { UpstreamPool } from './upstream-pool.js';

/** What an exchange takes part in. */
export interface ExchangeContext {
  readonly pool: UpstreamPool;
  readonly config: ParsedL7ProxyConfig;
  readonly rules: RequestRules;
}

export interface ExchangeOutcome {
  /** What the client was told; undefined: nothing. */
  readonly status: number | undefined;
  /** URL of the upstream that was asked last. */
  readonly upstream: string | undefined;
  /** Why the answer is ours, or was broken off. */
  readonly fault: TlsOffloadError | undefined;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** Of one answer. They wait for a client that does not read, and an upstream may send any number. */
const maximumHints = 16;

/** Methods that an upstream may get again (RFC 9110 §9.2.2). */
const idempotentMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/**
 * Passes one request to an upstream and its answer back, each as it comes and no faster than it is taken.
 *
 * Only what has never left is sent to another upstream: no connection came about, and the method is idempotent.
 * @returns when the client has its answer, or has gone; never throws
 */
export function performExchange(
  request: ClientRequest,
  response: ClientResponse,
  context: ExchangeContext,
): Promise<ExchangeOutcome> {
  return new Exchange(request, response, context).outcome;
}

class Exchange {
  readonly outcome: Promise<ExchangeOutcome>;
  readonly #upstreams: AskedUpstreams;
  readonly #clock: ExchangeClock;
  #asked: UpstreamRequest;
  #outgoing: OutgoingRequest | undefined;
  #fault: TlsOffloadError | undefined;
  /** What the client was told; its response says 200 also when it was told nothing. */
  #status: number | undefined;
  /** The upstream's answer has come to its end. */
  #isAnswered = false;
  /** Has not taken yet what was written to it. */
  #isClientBehind = false;
  #hints = 0;
  #requestBytes = 0;
  #responseBytes = 0;

  constructor(
    private readonly request: ClientRequest,
    private readonly response: ClientResponse,
    private readonly context: ExchangeContext,
  ) {
    this.#upstreams = new AskedUpstreams(context.pool);
    this.#clock = new ExchangeClock(
      context.config,
      () => this.#state,
      (fault) => this.#fail(fault),
    );
    // A request that breaks off ends its response too, which is where it is met.
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    endWhenAborted(response);
    this.outcome = new Promise((resolve) => response.once('close', () => resolve(this.#close())));
    this.#begin();
  }

  #begin(): void {
    const { config, rules } = this.context;
    try {
      this.#asked = upstreamRequestOf(this.request, rules);
      const [length = '0'] = this.#asked.fields.get('content-length') ?? [];
      if (Number(length) > config.bodyLimitBytes) throw tooLarge(config.bodyLimitBytes);
      this.#ask();
    } catch (error) {
      this.#fail(error as TlsOffloadError);
    }
  }

  /** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_UPSTREAMS_EXHAUSTED | ERR_TLS_OFFLOAD_REQUEST_INVALID */
  #ask(): void {
    const { method, path, fields, hasBody } = this.#asked;
    const outgoing = this.#upstreams.request({ method, path, headers: toHeaders(fields) });
    this.#outgoing = outgoing;
    let hasLeft = false;
    outgoing.once('socket', () => {
      hasLeft = true;
      this.#clock.expectAnswer();
      if (hasBody) this.#sendBody(outgoing);
    });
    outgoing.once('continue', () => this.#forwardContinue());
    outgoing.on('information', ({ statusCode, headers }) => {
      if (statusCode === 103 && headers.link !== undefined) this.#forwardHints(headers.link);
    });
    outgoing.once('upgrade', (_answer, socket: Duplex) => {
      socket.destroy();
      const unasked = 'upstream: want HTTP/1.1, got another protocol that nobody asked for';
      this.#fail(new TlsOffloadError('ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID', unasked));
    });
    outgoing.once('response', (answer) => this.#answer(answer));
    outgoing.on('error', (cause) => {
      if (outgoing !== this.#outgoing || this.#fault !== undefined || this.#isAnswered || isGone(this.response)) return;
      const fault = upstreamFault(cause);
      if (hasLeft || !this.#askAnother(fault)) this.#fail(fault);
    });
    if (!hasBody) outgoing.end();
  }

  /** @param fault  of the one before @returns false when nobody else may be asked */
  #askAnother(fault: TlsOffloadError): boolean {
    if (!idempotentMethods.has(this.#asked.method) || !isWorthAnother(fault)) return false;
    this.#upstreams.noteEnd(fault);
    try {
      this.#ask();
      return true;
    } catch {
      // What the last one did is the better answer.
      return false;
    }
  }

  #sendBody(outgoing: OutgoingRequest): void {
    const { request } = this;
    const { bodyLimitBytes } = this.context.config;
    outgoing.flushHeaders();
    request.on('data', (chunk: Buffer) => {
      this.#requestBytes += chunk.length;
      if (this.#requestBytes > bodyLimitBytes) return this.#fail(tooLarge(bodyLimitBytes));
      this.#clock.noteLife();
      if (!outgoing.destroyed && !outgoing.write(chunk)) request.pause();
    });
    outgoing.on('drain', () => request.resume());
    request.once('end', () => {
      this.#clock.noteEndOfRequest();
      if (!this.#isComplete) {
        // The upstream is not to take a part for the whole, nor to be blamed.
        this.#outgoing = undefined;
        return void outgoing.destroy();
      }
      outgoing.addTrailers(trailersOf(request.rawTrailers, isIdentityField));
      outgoing.end();
    });
  }

  #forwardContinue(): void {
    const { response } = this;
    if (this.#asked.expectsContinue && !response.headersSent && !isGone(response)) response.writeContinue();
  }

  /** Written here: Node.js knows only some forms of a link, and throws at the others. HTTP/1.0 has no interim answers. */
  #forwardHints(link: string | string[]): void {
    const { request, response } = this;
    if (response.headersSent || isGone(response) || request.httpVersion === '1.0') return;
    if (++this.#hints > maximumHints) return;
    if (!(response instanceof ServerResponse)) response.stream.additionalHeaders({ ':status': 103, link });
    else response.socket?.write(`HTTP/1.1 103 Early Hints\r\nLink: ${String(link)}\r\n\r\n`, 'latin1');
  }

  #answer(answer: IncomingMessage): void {
    const { response } = this;
    if (isGone(response)) return void answer.destroy();
    const fields = fieldsOf(answer.rawHeaders);
    removeConnectionFields(fields);
    const overHttp1 = response instanceof ServerResponse;
    // A connection on which some of a request is left to come is not good for another.
    if (overHttp1 && !this.#isComplete) fields.set('connection', ['close']);
    try {
      if (overHttp1) response.writeHead(answer.statusCode ?? 502, answer.statusMessage, toHeaders(fields));
      else beginResponse(response, answer.statusCode ?? 502, toHeaders(fields));
    } catch (cause) {
      return this.#fail(upstreamFault(cause as Error));
    }
    this.#status = answer.statusCode;
    // HTTP/2's are sent at once. So are these: the first event of a stream may be long in coming.
    if (overHttp1) response.flushHeaders();
    this.#clock.expectMore();
    answer.on('data', (chunk: Buffer) => {
      this.#responseBytes += chunk.length;
      this.#clock.noteLife();
      if ((response as Writable).write(chunk)) return;
      this.#isClientBehind = true;
      answer.pause();
    });
    response.on('drain', () => {
      this.#isClientBehind = false;
      this.#clock.noteLife();
      answer.resume();
    });
    answer.once('error', (cause) => this.#fail(upstreamFault(cause)));
    answer.once('end', () => {
      this.#isAnswered = true;
      this.#upstreams.noteAnswer();
      const trailers = trailersOf(answer.rawTrailers);
      response.addTrailers(Object.fromEntries(trailers));
      if (!this.#isComplete) this.#leaveRestOfRequest(trailers.length > 0);
      endResponse(response);
    });
  }

  /** The upstream is done before the client: what that still sends is for nobody (RFC 9113 §8.1). */
  #leaveRestOfRequest(hasTrailers: boolean): void {
    this.#outgoing?.destroy();
    // Over HTTP/1.1 the connection closes.
    if (this.response instanceof ServerResponse) return;
    const { stream } = this.response;
    const leave = (): void => stream.close(constants.NGHTTP2_NO_ERROR);
    if (hasTrailers) stream.once('wantTrailers', () => setImmediate(leave));
    else stream.once('finish', leave);
  }

  /** What a request without a body says of itself depends on the protocol. */
  get #isComplete(): boolean {
    const { request, response } = this;
    if (!this.#asked.hasBody) return true;
    // To Node.js a request of HTTP/2 is complete when it was broken off, too.
    return request.complete && (response instanceof ServerResponse || !response.stream.aborted);
  }

  get #state(): ExchangeState {
    return {
      isRequestComplete: this.#isComplete,
      isUpstreamBehind: this.#outgoing?.writableNeedDrain !== false,
      isAnswering: this.response.headersSent,
      isClientBehind: this.#isClientBehind,
    };
  }

  #fail(fault: TlsOffloadError): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    this.#clock.stop();
    this.#upstreams.noteEnd(fault);
    this.#outgoing?.destroy();
    if (isGone(this.response)) return;
    answerFault(this.response, fault);
    this.#status ??= this.response.statusCode;
  }

  #close(): ExchangeOutcome {
    this.#clock.stop();
    this.#upstreams.noteEnd();
    if (!this.#isAnswered) this.#outgoing?.destroy();
    return {
      status: this.#status,
      upstream: this.#upstreams.lastUrl,
      fault: this.#fault,
      requestBytes: this.#requestBytes,
      responseBytes: this.#responseBytes,
    };
  }
}

function tooLarge(limit: number): TlsOffloadError {
  return new TlsOffloadError('ERR_TLS_OFFLOAD_REQUEST_TOO_LARGE', `request: want at most ${limit} bytes, got more`);
}
