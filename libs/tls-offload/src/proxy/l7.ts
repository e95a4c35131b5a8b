import { type IncomingMessage, type Server, ServerResponse, STATUS_CODES } from 'node:http';
import { Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { parseConfig } from '../config.js';
import type { ConnectorStatistics, TlsConnector } from '../connector/connector.js';
import type { Credential } from '../credential.js';
import { TlsOffloadError, type TlsOffloadErrorCode } from '../errors.js';
import { createTlsOffloadServer } from '../http-server.js';
import type { TlsSocket } from '../socket.js';
import type { TlsTerminator } from '../terminator.js';
import { plainAddress, TrustedPeers } from '../peer-address.js';
import { type L7ProxyConfig, l7ProxyConfigSchema, type ParsedL7ProxyConfig } from './l7-config.js';
import { type ExchangeContext, type ExchangeOutcome, performExchange } from './l7-exchange.js';
import type { ClientRequest, ClientResponse } from './l7-request.js';
import { performConnect, performUpgrade, wantsWebSocket } from './l7-websocket.js';
import { listen } from './listen.js';
import type { UpstreamStatistics } from './upstream.js';
import { UpstreamPool } from './upstream-pool.js';
import { checkShown, connectorOf, newUpstreamTls, type UpstreamTlsOptions } from './upstream-tls.js';

export interface L7ProxyStatistics {
  /** Requests and WebSockets under way. */
  readonly open: number;
  /** Those that are over, by the status that the client was told; `none`: it had gone before. */
  readonly answered: Readonly<Record<string, number>>;
  /** Those that ended by a fault, by code. */
  readonly failed: Readonly<Partial<Record<TlsOffloadErrorCode, number>>>;
  /** Connections turned away at the connection limit. */
  readonly refused: number;
  /** Bytes of bodies and WebSockets that are over. */
  readonly bytesFromClients: number;
  readonly bytesFromUpstream: number;
  readonly upstreams: readonly UpstreamStatistics[];
  /** Of connections to those with https URLs; undefined: there are none. */
  readonly upstreamTls: ConnectorStatistics | undefined;
}

/** What an access log tells of one exchange. Path and query may hold what is nobody else's business: a log leaves the query out. */
export interface ExchangeRecord extends ExchangeOutcome {
  readonly method: string;
  readonly path: string;
  readonly httpVersion: string;
  readonly clientAddress: string;
  readonly durationMilliseconds: number;
}

/**
 * Forwards requests of HTTP/1.1 and HTTP/2 to servers of HTTP/1.1, and WebSockets with them. It streams both ways at the pace of
 * the slower side, tells the upstream who the client is, and nothing that a client says of itself in that matter is believed.
 *
 * Emits on `server`: `exchange` (ExchangeRecord) when one is over, `tlsClientError` (error, socket) for a failed handshake, `upstream`
 * (UpstreamChange) when one of several, or the only one, is left alone, and when it does well again.
 */
export class L7Proxy {
  readonly server: Server;
  readonly #config: ParsedL7ProxyConfig;
  readonly #context: ExchangeContext;
  readonly #upstreamTls: TlsConnector | undefined;
  readonly #answered: Record<string, number> = {};
  readonly #failed: Partial<Record<TlsOffloadErrorCode, number>> = {};
  /** How many requests of a connection of HTTP/1.1 are not answered yet. */
  readonly #unanswered = new WeakMap<object, number>();
  #open = 0;
  #refused = 0;
  #bytesFromClients = 0;
  #bytesFromUpstream = 0;

  /**
   * @param terminator  offers the protocols that clients may speak, e.g. `alpnProtocols: ['h2', 'http/1.1']`
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID | ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED
   */
  constructor(
    private readonly terminator: TlsTerminator,
    config: L7ProxyConfig,
    options: UpstreamTlsOptions = {},
  ) {
    this.#config = parseConfig(l7ProxyConfigSchema, 'L7 proxy', config);
    const { requireMatchingHost } = this.#config;
    if (terminator.asksClientsByName && !requireMatchingHost) {
      const message = 'L7 proxy: want requireMatchingHost where rules about clients differ by server name, got false';
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message);
    }
    const rules = { trustedPeers: new TrustedPeers(this.#config.trustedPeers), requireMatchingHost };
    const { serverName } = this.#config.upstreamTls;
    this.#upstreamTls = newUpstreamTls(this.#config, options);
    this.#context = {
      pool: new UpstreamPool(
        this.#config,
        (upstream) => connectorOf(upstream, serverName, this.#upstreamTls),
        (change) => this.server.emit('upstream', change),
      ),
      config: this.#config,
      rules,
    };
    this.server = this.#newServer();
  }

  get statistics(): L7ProxyStatistics {
    return {
      open: this.#open,
      answered: { ...this.#answered },
      failed: { ...this.#failed },
      refused: this.#refused,
      bytesFromClients: this.#bytesFromClients,
      bytesFromUpstream: this.#bytesFromUpstream,
      upstreams: this.#context.pool.statistics,
      upstreamTls: this.#upstreamTls?.statistics,
    };
  }

  /**
   * Shows these to upstreams from the next connection on, and makes no further request on one that was made with others.
   * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED | ERR_TLS_OFFLOAD_CONFIG_INVALID where an upstream has an http URL: then
   * everything stays as it was
   */
  setUpstreamCredentials(credentials: readonly Credential[]): void {
    checkShown(credentials, this.#config.upstreams);
    this.#upstreamTls?.setCredentials(credentials);
  }

  /** Looks at once whether the files of the upstreams' authorities and CRLs have changed, as is done from time to time. */
  async reloadUpstreamAuthorities(): Promise<void> {
    await this.#upstreamTls?.reloadAuthorities();
  }

  /** Begins to look after the upstreams, as `listen` does: for a `server` that is given the connections it serves. */
  start(): void {
    this.#context.pool.start();
  }

  /** @throws the system's error, e.g. EADDRINUSE */
  async listen(port: number, host: string): Promise<AddressInfo> {
    const address = await listen(this.server, port, host);
    this.start();
    return address;
  }

  /** Takes no more requests, waits for those under way, and closes the terminator. @param graceMilliseconds  for the rest */
  async close(graceMilliseconds = 10_000): Promise<void> {
    if (this.server.listening) this.server.close();
    await this.terminator.close(graceMilliseconds);
    this.#context.pool.close();
    await this.#upstreamTls?.close();
  }

  #newServer(): Server {
    const { headTimeoutMilliseconds, clientKeepAliveMilliseconds, headLimitBytes, streamLimit, proxyProtocol } =
      this.#config;
    const server = createTlsOffloadServer(this.terminator, undefined, {
      insecureHTTPParser: false,
      requireHostHeader: true,
      noDelay: true,
      proxyProtocol,
      // An exchange compares them itself, and is counted.
      requireMatchingHost: false,
      maxHeaderSize: headLimitBytes,
      headersTimeout: headTimeoutMilliseconds,
      // An exchange keeps the time of its request itself, alike for both protocols.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(headTimeoutMilliseconds, 5_000),
      keepAliveTimeout: clientKeepAliveMilliseconds,
      // Any other upgrade is an ordinary request, as RFC 9110 §7.8 has it.
      shouldUpgradeCallback: wantsWebSocket,
      http2: {
        idleTimeoutMilliseconds: clientKeepAliveMilliseconds,
        settings: { maxConcurrentStreams: streamLimit, maxHeaderListSize: headLimitBytes, enableConnectProtocol: true },
      },
    });
    server.maxConnections = this.#config.connectionLimit;
    // Bounded by bytes; a field that is dropped silently could be the one that matters.
    server.maxHeadersCount = 0;
    server.on('drop', () => this.#refused++);
    const forward = (request: ClientRequest, response: ClientResponse): void => this.#forward(request, response);
    server.on('request', forward);
    server.on('checkContinue', forward);
    server.on('upgrade', (request, socket, head) => {
      const client = socket as unknown as TlsSocket;
      // Before Node.js 22.21 and 24.9 every upgrade comes here.
      if (!wantsWebSocket(request)) endWith(client, bareAnswer(400));
      else if ((this.#unanswered.get(client) ?? 0) > 0) client.destroy();
      else void this.#record(request, performUpgrade(request, client, head, this.#context));
    });
    server.on('connect', (request: IncomingMessage | Http2ServerRequest, answerable: unknown) => {
      if (!(request instanceof Http2ServerRequest)) return endWith(answerable as Duplex, bareAnswer(405));
      const response = answerable as Http2ServerResponse;
      if (request.headers[':protocol'] !== 'websocket') return void response.writeHead(405).end();
      void this.#record(request, performConnect(request, response, this.#context));
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
      endWith(socket, bareAnswer(statusOfParserError(error.code)));
    });
    return server;
  }

  /** HTTP/1.1 has its answers in order: what a client sends before it has the last one waits for its turn. */
  #forward(request: ClientRequest, response: ClientResponse): void {
    const begin = (): void => void this.#record(request, performExchange(request, response, this.#context));
    if (!(response instanceof ServerResponse)) return begin();
    const { socket } = request;
    const unanswered = (this.#unanswered.get(socket) ?? 0) + 1;
    if (unanswered > this.#config.streamLimit) return void socket.destroy();
    this.#unanswered.set(socket, unanswered);
    response.once('close', () => this.#unanswered.set(socket, (this.#unanswered.get(socket) ?? 1) - 1));
    if (response.socket !== null) begin();
    // It is given the connection at its turn, which never comes when that has ended.
    else response.once('socket', begin);
  }

  async #record(request: ClientRequest, performed: Promise<ExchangeOutcome>): Promise<void> {
    const began = performance.now();
    const { method = '', url: path = '', httpVersion } = request;
    const clientAddress = plainAddress(request.socket.remoteAddress ?? '');
    this.#open++;
    const outcome = await performed;
    this.#open--;
    const { status = 'none', fault } = outcome;
    this.#bytesFromClients += outcome.requestBytes;
    this.#bytesFromUpstream += outcome.responseBytes;
    this.#answered[status] = (this.#answered[status] ?? 0) + 1;
    if (fault !== undefined) this.#failed[fault.code] = (this.#failed[fault.code] ?? 0) + 1;
    const durationMilliseconds = performance.now() - began;
    const record: ExchangeRecord = { method, path, httpVersion, clientAddress, durationMilliseconds, ...outcome };
    this.server.emit('exchange', record);
  }
}

function statusOfParserError(code: string | undefined): number {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return 431;
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 408;
    default:
      return 400;
  }
}

/** Ended alone, a connection would be the client's to end: one that is silent never does. */
function endWith(client: Duplex, answer: string): void {
  client.on('error', () => undefined).end(answer, () => client.destroy());
}

function bareAnswer(status: number): string {
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`;
}
