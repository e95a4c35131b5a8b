import { type RequestListener, Server, type ServerOptions } from 'node:http';
import {
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerOptions as Http2ServerOptions,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { TlsOffloadError } from './errors.js';
import { showSecureSocket } from './http2-socket-face.js';
import type { TlsSocket } from './socket.js';
import type { TlsTerminator } from './terminator.js';

export interface TlsOffloadServerOptions extends ServerOptions {
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
 * @param terminator  or how to get it by the first connection, when the application that serves also makes it
 */
export function createTlsOffloadServer(
  terminator: TlsTerminator | (() => TlsTerminator),
  handler?: RequestListener,
  options: TlsOffloadServerOptions = {},
): Server {
  return new TlsOffloadServer(terminator, handler, options);
}

class TlsOffloadServer extends Server {
  readonly #http2: Http2Server;
  readonly #http2IdleMilliseconds: number;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Not the same as `!listening`: somebody else may accept the connections. */
  #closing = false;

  constructor(
    terminator: TlsTerminator | (() => TlsTerminator),
    handler: RequestListener | undefined,
    { http2 = {}, ...options }: TlsOffloadServerOptions,
  ) {
    super(options, handler);
    const { idleTimeoutMilliseconds = http2IdleMilliseconds, ...http2Options } = http2;
    this.#http2IdleMilliseconds = idleTimeoutMilliseconds;
    this.#http2 = createHttp2Server({ ...http2Options, settings: { maxConcurrentStreams, ...http2Options.settings } });
    this.#handOverHttp2();
    // http takes any Duplex for a connection (see its 'connection' event): it gets the secure one, once there is one.
    const handleHttp1 = this.listeners('connection') as ((socket: Socket) => void)[];
    this.removeAllListeners('connection');
    const current = typeof terminator === 'function' ? terminator : () => terminator;
    this.on('connection', (socket: Socket) => {
      // http ends its side itself, after the answer to what it has read: hence half-open.
      current()
        .accept(socket, { allowHalfOpen: true })
        .then(
          (secure) => {
            this.emit('secureConnection', secure);
            if (secure.alpnProtocol === 'h2') this.#serveHttp2(secure);
            else for (const handle of handleHttp1) handle.call(this, secure as unknown as Socket);
          },
          (error: TlsOffloadError) => this.emit('tlsClientError', error, socket),
        );
    });
  }

  /** Takes no more connections nor requests; `callback` when those under way are done. */
  override close(callback?: (error?: Error) => void): this {
    this.#closing = true;
    super.close(callback);
    for (const session of this.#sessions) session.close();
    return this;
  }

  override closeAllConnections(): void {
    super.closeAllConnections();
    for (const session of this.#sessions) session.destroy();
  }

  /** A session in use ends when its streams have; one that is not ends now. */
  override closeIdleConnections(): void {
    super.closeIdleConnections();
    if (this.#closing) for (const session of this.#sessions) session.close();
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
