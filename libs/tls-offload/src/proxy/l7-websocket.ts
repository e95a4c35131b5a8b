import { createHash, randomBytes } from 'node:crypto';
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TlsOffloadError } from '../errors.js';
import type { TlsSocket } from '../socket.js';
import { AskedUpstreams, isWorthAnother } from './asked-upstreams.js';
import { joinStreams } from './join-streams.js';
import { answerFault, beginResponse, endWhenAborted, isGone } from './l7-answer.js';
import type { ExchangeContext, ExchangeOutcome } from './l7-exchange.js';
import { type Fields, fieldsOf, removeConnectionFields, toHeaders } from './l7-fields.js';
import { type ClientRequest, type ClientResponse, type UpstreamRequest, upstreamRequestOf } from './l7-request.js';
import { SilenceTimer } from './silence-timer.js';
import { upstreamFault } from './upstream-fault.js';

/** Whether a client wants to go on in the WebSocket protocol (RFC 6455 §4.1): no other is let through, h2c least of all. */
export function wantsWebSocket(request: IncomingMessage): boolean {
  return request.method === 'GET' && request.headers.upgrade?.toLowerCase() === 'websocket';
}

/** Carries a WebSocket of HTTP/1.1. @param head  what the client has sent of it already */
export function performUpgrade(
  request: IncomingMessage,
  socket: TlsSocket,
  head: Buffer,
  context: ExchangeContext,
): Promise<ExchangeOutcome> {
  // Whatever is not the WebSocket is answered in the usual way, once.
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket as never);
  response.once('finish', () => socket.destroySoon());
  return new WebSocketExchange(request, response, socket, context).perform(
    () => undefined,
    (answer) => {
      response.detachSocket(socket as never);
      socket.write(switchingProtocols(answer), 'latin1');
      if (head.length > 0) socket.unshift(head);
      return 101;
    },
  );
}

/** Carries a WebSocket of an HTTP/2 stream (RFC 8441) to an upstream, which is asked over HTTP/1.1. */
export function performConnect(
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  context: ExchangeContext,
): Promise<ExchangeOutcome> {
  const key = randomBytes(16).toString('base64');
  return new WebSocketExchange(request, response, response.stream, context).perform(
    (fields) => fields.set('sec-websocket-key', [key]),
    (answer) => {
      if (answer.headers['sec-websocket-accept'] !== acceptanceOf(key)) {
        throw new TlsOffloadError(
          'ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID',
          'upstream: want its acceptance of the key, got another',
        );
      }
      const fields = answeredFields(answer);
      fields.delete('sec-websocket-accept');
      response.stream.respond({ ...toHeaders(fields), ':status': 200 });
      return 200;
    },
  );
}

interface Answered {
  readonly answer: IncomingMessage;
  /** Undefined: the upstream does not go on in the WebSocket protocol. */
  readonly socket?: Duplex;
}

class WebSocketExchange {
  readonly #upstreams: AskedUpstreams;
  /** What broke off an answer that is no WebSocket. */
  #broken: TlsOffloadError | undefined;

  constructor(
    private readonly request: ClientRequest,
    private readonly response: ClientResponse,
    private readonly client: Duplex,
    private readonly context: ExchangeContext,
  ) {
    this.#upstreams = new AskedUpstreams(context.pool);
  }

  /** @param accept  tells the client that it goes on, with the status that it returns */
  async perform(
    complete: (fields: Fields) => void,
    accept: (answer: IncomingMessage) => number,
  ): Promise<ExchangeOutcome> {
    const { client, response } = this;
    client.on('error', () => undefined);
    endWhenAborted(response);
    let fault: TlsOffloadError | undefined;
    let bytes = { fromNear: 0, fromFar: 0 };
    let status: number | undefined;
    try {
      const asked = upstreamRequestOf(this.request, this.context.rules);
      // HTTP/2 leaves its stream open for the WebSocket: there only a length tells of a body.
      const [length = '0'] = asked.fields.get('content-length') ?? [];
      if (Number(length) > 0 || (asked.hasBody && response instanceof ServerResponse)) {
        throw new TlsOffloadError('ERR_TLS_OFFLOAD_REQUEST_INVALID', 'request: want an upgrade without a body');
      }
      complete(asked.fields);
      asked.fields.set('connection', ['Upgrade']).set('upgrade', ['websocket']);
      for (const name of ['content-length', 'transfer-encoding', 'expect']) asked.fields.delete(name);
      const { answer, socket } = await this.#ask(asked);
      if (socket === undefined) {
        status = answer.statusCode ?? 502;
        beginResponse(response, status, toHeaders(answeredFields(answer)));
        bytes = { fromNear: 0, fromFar: await this.#passAnswer(answer) };
      } else {
        try {
          status = accept(answer);
        } catch (error) {
          socket.destroy();
          throw error;
        }
        bytes = await joinStreams(client, socket, this.context.config.idleTimeoutMilliseconds);
      }
    } catch (cause) {
      // A client that has gone broke it off itself.
      if (this.#broken !== undefined) fault = this.#broken;
      else if (!client.destroyed && !isGone(response)) {
        fault = upstreamFault(cause as Error);
        answerFault(response, fault);
        status = response.headersSent ? response.statusCode : undefined;
      }
    }
    if (fault === undefined && status !== undefined) this.#upstreams.noteAnswer();
    this.#upstreams.noteEnd(fault);
    return {
      status,
      upstream: this.#upstreams.lastUrl,
      fault,
      requestBytes: bytes.fromNear,
      responseBytes: bytes.fromFar,
    };
  }

  /** Passes on an answer that is no WebSocket, for as long as it moves. @returns its bytes @throws when it was broken off */
  async #passAnswer(answer: IncomingMessage): Promise<number> {
    const { client, response } = this;
    const { idleTimeoutMilliseconds } = this.context.config;
    let bytes = 0;
    const silence = new SilenceTimer(idleTimeoutMilliseconds, () => {
      const [code, who] = client.writableNeedDrain
        ? (['ERR_TLS_OFFLOAD_PEER_NOT_READING', 'client: want it to read'] as const)
        : (['ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT', 'upstream: want more of its answer'] as const);
      answer.destroy(new TlsOffloadError(code, `${who} within ${idleTimeoutMilliseconds} ms, got none`));
    });
    answer.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      silence.noteLife();
    });
    answer.once('error', (cause) => {
      if (!client.destroyed && !isGone(response)) this.#broken = upstreamFault(cause);
    });
    try {
      await pipeline(answer, response as ServerResponse);
      return bytes;
    } finally {
      silence.stop();
    }
  }

  /** Asks one upstream after another until one can be connected to. */
  async #ask(asked: UpstreamRequest): Promise<Answered> {
    let before: TlsOffloadError | undefined;
    for (;;) {
      const progress = { hasLeft: false };
      try {
        return await this.#askNext(asked, progress);
      } catch (cause) {
        const fault = upstreamFault(cause as Error);
        if (fault.code === 'ERR_TLS_OFFLOAD_UPSTREAMS_EXHAUSTED') throw before ?? fault;
        if (progress.hasLeft || this.client.destroyed || !isWorthAnother(fault)) throw fault;
        this.#upstreams.noteEnd(fault);
        before = fault;
      }
    }
  }

  #askNext({ path, fields }: UpstreamRequest, progress: { hasLeft: boolean }): Promise<Answered> {
    const { responseTimeoutMilliseconds } = this.context.config;
    return new Promise((resolve, reject) => {
      const outgoing = this.#upstreams.request({ method: 'GET', path, headers: toHeaders(fields) });
      const giveUp = (): void => void outgoing.destroy();
      this.client.once('close', giveUp);
      let timer: NodeJS.Timeout | undefined;
      const settled = (): void => {
        clearTimeout(timer);
        this.client.off('close', giveUp);
      };
      outgoing.once('socket', () => {
        progress.hasLeft = true;
        timer = setTimeout(() => {
          const limit = `upstream: want an answer within ${responseTimeoutMilliseconds} ms, got none`;
          outgoing.destroy(new TlsOffloadError('ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT', limit));
        }, responseTimeoutMilliseconds);
      });
      outgoing.once('upgrade', (answer, socket: Duplex, head: Buffer) => {
        settled();
        if (head.length > 0) socket.unshift(head);
        resolve({ answer, socket });
      });
      outgoing.once('response', (answer) => {
        settled();
        // It may have understood something else by the request: it gets no other on this connection.
        outgoing.shouldKeepAlive = false;
        resolve({ answer });
      });
      outgoing.on('error', (error) => {
        settled();
        reject(error);
      });
      outgoing.end();
    });
  }
}

function answeredFields(answer: IncomingMessage): Fields {
  const fields = fieldsOf(answer.rawHeaders);
  removeConnectionFields(fields);
  return fields;
}

/** Values have passed the parser of HTTP/1.1, so that none can hold the end of a line. */
function switchingProtocols(answer: IncomingMessage): string {
  const lines = [...answeredFields(answer)].flatMap(([name, values]) => values.map((value) => `${name}: ${value}\r\n`));
  return `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${lines.join('')}\r\n`;
}

/** RFC 6455 §4.2.2 */
function acceptanceOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}
