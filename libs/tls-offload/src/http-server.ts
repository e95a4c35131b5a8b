import { type IncomingMessage, type RequestListener, Server, type ServerOptions, ServerResponse } from 'node:http';
import {
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerOptions as Http2ServerOptions,
} from 'node:http2';
import type { Socket } from 'node:net';
import { parseConfig, type ProxyHeaderConfig, proxyHeaderConfigSchema } from './config.js';
import { TlsOffloadError } from './errors.js';
import { showSecureSocket } from './http2-socket-face.js';
import { answerFault } from './proxy/l7-answer.js';
import { ProxiedPeers } from './proxy/proxied-peers.js';
import { namesItsServer } from './request-host.js';
import type { TlsSocket } from './socket.js';
import type { TlsTerminator } from './terminator.js';

export interface TlsOffloadServerOptions extends ServerOptions {
  /**
   * Answers 421 to a request whose Host is not the server name of its handshake, of which it would borrow the rules about clients.
   * Unless told, where what the terminator asks of clients depends on that name. False: the handler compares them itself.
   */
  readonly requireMatchingHost?: boolean;
  /** Load balancers in front that hand on TCP connections, and say by the PROXY protocol whose; absent: nobody's word is taken. */
  readonly proxyProtocol?: ProxyHeaderConfig;
  /** Of HTTP/2, which a terminator with `h2` among its `alpnProtocols` speaks with clients that want it. */
  readonly http2?: Http2ServerOptions & {
    /** Ends a session on which nothing moves for so long, once its streams are done; 120 s unless told, 0: never. */
    readonly idleTimeoutMilliseconds?: number;
  };
}

/** Streams of one client at a time, where the application says nothing: Node.js sets no limit of its own. */
const maxConcurrentStreams = 128;
const http2IdleMilliseconds = 120_000;

/**
 * An HTTP server over TLS whose key is on the HSM, in the place of `https.createServer` and of `http2.createSecureServer` with
 * `allowHTTP1`: for Fastify's `serverFactory`, Express, or a plain handler. HTTP/2 is spoken where ALPN chose `h2`.
 *
 * Emits `tlsClientError` (error, socket) for a failed handshake, which touches nobody else; `secureConnection` (socket); and
 * `session` (session) of HTTP/2. A `connect` listener gets, for HTTP/2, (request, response): tell them by `httpVersionMajor`.
 *
 * `maxConnections`, `headersTimeout` and what `close` ends hold alike whether it listens or is given connections that somebody
 * else has accepted, by `emit('connection', socket)`.
 * @param terminator  or how to get it by the first connection, when the application that serves also makes it
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID for a `proxyProtocol` that is none
 */
export function createTlsOffloadServer(
  terminator: TlsTerminator | (() => TlsTerminator),
  handler?: RequestListener,
  options: TlsOffloadServerOptions = {},
): Server {
  return new TlsOffloadServer(terminator, handler, options);
}

/** What an application meets requests by. */
const requestEvents = new Set(['request', 'checkContinue', 'checkExpectation', 'upgrade', 'connect']);

class TlsOffloadServer extends Server {
  readonly #http2: Http2Server;
  readonly #http2IdleMilliseconds: number;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Connections of HTTP/1 and the answers that each still has to get; absent: it has asked for nothing yet. */
  readonly #owed = new Map<Socket, Set<ServerResponse> | undefined>();
  /** TCP connections, from their beginning on. */
  #held = 0;
  #beginTracking: (() => void) | undefined;
  /** Not the same as `!listening`: somebody else may accept the connections. */
  #closing = false;
  readonly #requiresMatchingHost: () => boolean;

  constructor(
    terminator: TlsTerminator | (() => TlsTerminator),
    handler: RequestListener | undefined,
    { http2 = {}, requireMatchingHost, proxyProtocol = {}, ...options }: TlsOffloadServerOptions,
  ) {
    super(options, handler);
    const { idleTimeoutMilliseconds = http2IdleMilliseconds, ...http2Options } = http2;
    this.#http2IdleMilliseconds = idleTimeoutMilliseconds;
    this.#http2 = createHttp2Server({ ...http2Options, settings: { maxConcurrentStreams, ...http2Options.settings } });
    this.#handOverHttp2();
    // http takes any Duplex for a connection (see its 'connection' event): it gets the secure one, once there is one.
    const handleHttp1 = this.listeners('connection') as ((socket: Socket) => void)[];
    this.removeAllListeners('connection');
    // http looks after heads that do not come from 'listening' on, which a server that is given its connections never sees.
    const trackers = this.listeners('listening') as (() => void)[];
    this.#beginTracking = () => trackers.forEach((track) => track.call(this));
    // One that cannot be accepted now (EMFILE) waits in the kernel's queue, and is no reason to end all others.
    this.once('listening', () => this.on('error', () => undefined));
    const current = typeof terminator === 'function' ? terminator : () => terminator;
    const proxied = new ProxiedPeers(parseConfig(proxyHeaderConfigSchema, 'PROXY protocol', proxyProtocol));
    this.#requiresMatchingHost = () => requireMatchingHost ?? current().asksClientsByName;
    this.on('connection', (socket: Socket) => {
      if (!this.#hold(socket)) return;
      // http ends its side itself, after the answer to what it has read: hence half-open.
      const accept = (): Promise<TlsSocket> => current().accept(socket, { allowHalfOpen: true });
      const accepted = proxied.has(socket) ? proxied.introduce(socket, accept) : accept();
      accepted.then(
        (secure) => {
          try {
            this.emit('secureConnection', secure);
            if (secure.alpnProtocol === 'h2') this.#serveHttp2(secure);
            else this.#serveHttp1(secure as unknown as Socket, handleHttp1);
          } catch (error) {
            secure.destroy();
            this.emit('tlsClientError', error, socket);
          }
        },
        (error: TlsOffloadError) => this.emit('tlsClientError', error, socket),
      );
    });
  }

  /** Follows what connections of HTTP/1 are up to: by listeners, http would take it for wanted where nobody wants it. */
  override emit(event: string, ...details: unknown[]): boolean {
    const [request, response] = details;
    if (response instanceof ServerResponse) this.#owe(response as ServerResponse);
    else if (event === 'upgrade' || event === 'connect') this.#owed.delete((request as IncomingMessage).socket);
    const isAsked = requestEvents.has(event) && this.#requiresMatchingHost();
    if (!isAsked || namesItsServer(request as IncomingMessage)) return super.emit(event, ...details);
    refuseMisdirected(response as ServerResponse | Socket);
    return true;
  }

  /** Takes no more connections nor requests; `callback` when those under way are done. */
  override close(callback?: (error?: Error) => void): this {
    this.#closing = true;
    super.close(callback);
    for (const session of this.#sessions) session.close();
    for (const owed of this.#owed.values()) for (const response of owed ?? []) response.shouldKeepAlive = false;
    // A request that is on its way gets its time, which http keeps no more.
    const endSilent = (): void => {
      for (const [secure, owed] of this.#owed) if (owed === undefined || owed.size === 0) secure.destroy();
    };
    if (this.headersTimeout > 0) setTimeout(endSilent, this.headersTimeout).unref();
    return this;
  }

  override closeAllConnections(): void {
    super.closeAllConnections();
    for (const session of this.#sessions) session.destroy();
  }

  /**
   * A session in use ends when its streams have; one that is not ends now. A connection of HTTP/1 likewise: http's own way cuts off
   * an answer whose end is on its way.
   */
  override closeIdleConnections(): void {
    for (const [secure, owed] of this.#owed) if (owed?.size === 0) secure.destroySoon();
    if (this.#closing) for (const session of this.#sessions) session.close();
  }

  /** @returns false when there are too many already: as net has it where it listens */
  #hold(socket: Socket): boolean {
    if (this.#held >= this.maxConnections) {
      const { localAddress, localPort, remoteAddress, remotePort, remoteFamily } = socket;
      socket.on('error', () => undefined).destroy();
      this.emit('drop', { localAddress, localPort, remoteAddress, remotePort, remoteFamily });
      return false;
    }
    this.#held++;
    socket.once('close', () => this.#held--);
    if (!this.listening && !this.#closing) this.#beginTracking?.();
    this.#beginTracking = undefined;
    return true;
  }

  #serveHttp1(secure: Socket, handlers: readonly ((socket: Socket) => void)[]): void {
    this.#owed.set(secure, undefined);
    secure.once('close', () => this.#owed.delete(secure));
    for (const handle of handlers) handle.call(this, secure);
  }

  #owe(response: ServerResponse): void {
    const { socket } = response.req;
    if (!this.#owed.has(socket)) return;
    if (this.#closing) response.shouldKeepAlive = false;
    const owed = this.#owed.get(socket) ?? new Set();
    this.#owed.set(socket, owed);
    if (owed.has(response)) return;
    owed.add(response);
    response.once('close', () => {
      owed.delete(response);
      if (this.#closing && owed.size === 0) socket.destroySoon();
    });
  }

  #serveHttp2(secure: TlsSocket): void {
    const begin = (session: ServerHttp2Session): void => {
      showSecureSocket(session, secure);
      this.#sessions.add(session);
      session.once('close', () => {
        this.#sessions.delete(session);
        secure.destroySoon();
      });
      session.setTimeout(this.#http2IdleMilliseconds, () => session.close());
      if (this.#closing) session.close();
      this.emit('session', session);
    };
    this.#http2.once('session', begin);
    // Emits 'session' before it returns.
    this.#http2.emit('connection', secure);
    this.#http2.off('session', begin);
  }

  #handOverHttp2(): void {
    this.#http2.on('request', (request, response) => this.emit('request', request, response));
    // A fault of one session: it is over, and so is its connection.
    this.#http2.on('sessionError', () => undefined);
    this.#http2.on('checkContinue', (request, response) => {
      if (this.emit('checkContinue', request, response)) return;
      response.writeContinue();
      this.emit('request', request, response);
    });
    this.#http2.on('connect', (request: Http2ServerRequest, response: Http2ServerResponse) => {
      if (this.emit('connect', request, response)) return;
      response.writeHead(405).end();
    });
  }
}

/** @param answerable  the connection, for an upgrade and for CONNECT of HTTP/1.1 */
function refuseMisdirected(answerable: ServerResponse | Http2ServerResponse | Socket): void {
  if (!('writeHead' in answerable)) {
    const answer = 'HTTP/1.1 421 Misdirected Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';
    // Ended alone, it would be the client's to end: one that is silent never does.
    answerable.end(answer, () => answerable.destroy());
    return;
  }
  const message = 'request: want the server name of the handshake in Host, got another';
  answerFault(answerable, new TlsOffloadError('ERR_TLS_OFFLOAD_REQUEST_MISDIRECTED', message));
}
