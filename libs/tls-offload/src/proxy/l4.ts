import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type L4ProxyConfig, l4ProxyConfigSchema, parseConfig, type ParsedL4ProxyConfig } from '../config.js';
import { TlsOffloadError, type TlsOffloadErrorCode } from '../errors.js';
import { plainAddress, TrustedPeers } from '../peer-address.js';
import type { SecuredConnection, TlsTerminator } from '../terminator.js';
import { L4Connection } from './l4-connection.js';
import { listen } from './listen.js';
import { readProxyHeader } from './proxy-header-reader.js';
import { makeProxyHeader, type ProxiedEndpoints } from './proxy-protocol.js';
import { SourceConnections } from './source-connections.js';

export interface L4ProxyStatistics {
  /** Connections that are being forwarded. */
  readonly open: number;
  readonly forwarded: number;
  /** Clients turned away at the connection limit, and at that of their source. */
  readonly refused: number;
  readonly refusedBySource: number;
  /** Connections that ended for a fault of the upstream, by code. */
  readonly failed: Readonly<Partial<Record<TlsOffloadErrorCode, number>>>;
  /** Connections that did not end in order for another reason, by code. */
  readonly interrupted: Readonly<Partial<Record<TlsOffloadErrorCode, number>>>;
  /** Bytes of plaintext taken from clients and from the upstream. */
  readonly bytesFromClients: number;
  readonly bytesFromUpstream: number;
}

/** Who writes the access log. Called synchronously: be quick. */
export interface L4ProxyObserver {
  connectionEnded?(event: L4ConnectionEvent): void;
}

/** One connection that got through its handshake, at its end. */
export interface L4ConnectionEvent {
  /** Of the client, as a trusted peer's PROXY header gave it. */
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly cipher: string;
  /** As the client sent it; empty: it sent none. */
  readonly serverName: string;
  readonly code: 'OK' | TlsOffloadErrorCode;
  /** Of plaintext. */
  readonly bytesFromClient: number;
  readonly bytesFromUpstream: number;
  /** From the TCP connection on. */
  readonly milliseconds: number;
}

/**
 * Forwards what is inside TLS to a TCP server, in the addon: no byte passes through JavaScript. Each direction waits for its
 * slower side and ends on its own: close_notify becomes FIN and FIN becomes close_notify. A connection that breaks on one side is
 * reset on the other, never ended in order, so that neither takes a part for the whole.
 *
 * Emits on `server`: `tlsClientError` (error, socket) for a failed handshake, `upstreamError` (error) for a failed upstream.
 */
export class L4Proxy {
  readonly server: Server;
  readonly #config: ParsedL4ProxyConfig;
  readonly #trustedPeers: TrustedPeers;
  readonly #sources: SourceConnections;
  /** What clients hold: from their TCP connection to the end of what it became. */
  #connections = 0;
  readonly #announcing = new Set<Socket>();
  readonly #open = new Set<L4Connection>();
  #forwarded = 0;
  #refused = 0;
  #refusedBySource = 0;
  readonly #failed: Partial<Record<TlsOffloadErrorCode, number>> = {};
  readonly #interrupted: Partial<Record<TlsOffloadErrorCode, number>> = {};
  #bytesFromClients = 0;
  #bytesFromUpstream = 0;

  /** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID */
  constructor(
    private readonly terminator: TlsTerminator,
    config: L4ProxyConfig,
    private readonly observer: L4ProxyObserver = {},
  ) {
    this.#config = parseConfig(l4ProxyConfigSchema, 'L4 proxy', config);
    if (terminator.asksClientsByName) {
      const message =
        'L4 proxy: want one rule about clients for all server names, since all lead to one upstream, got rules by name';
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message);
    }
    this.#trustedPeers = new TrustedPeers(this.#config.proxyProtocol.trustedPeers);
    this.#sources = new SourceConnections(this.#config.connectionLimitPerSource);
    this.server = createServer({ allowHalfOpen: true, noDelay: true });
    this.server.on('connection', (socket: Socket) => this.#accept(socket));
  }

  get statistics(): L4ProxyStatistics {
    let bytesFromClients = this.#bytesFromClients;
    let bytesFromUpstream = this.#bytesFromUpstream;
    for (const { statistics } of this.#open) {
      bytesFromClients += statistics.fromClient;
      bytesFromUpstream += statistics.fromUpstream;
    }
    return {
      open: this.#open.size,
      forwarded: this.#forwarded,
      refused: this.#refused,
      refusedBySource: this.#refusedBySource,
      failed: { ...this.#failed },
      interrupted: { ...this.#interrupted },
      bytesFromClients,
      bytesFromUpstream,
    };
  }

  /** @throws the system's error, e.g. EADDRINUSE */
  listen(port: number, host: string): Promise<AddressInfo> {
    return listen(this.server, port, host);
  }

  /**
   * Accepts no more, and waits for open connections to end.
   * @param graceMilliseconds  after which those still open are reset
   */
  async close(graceMilliseconds?: number): Promise<void> {
    if (this.server.listening) this.server.close();
    for (const socket of this.#announcing) socket.destroy();
    await this.terminator.close(graceMilliseconds);
  }

  #accept(socket: Socket): void {
    if (this.#connections >= this.#config.connectionLimit) {
      this.#refused++;
      socket.destroy();
      return;
    }
    this.#connections++;
    const since = performance.now();
    void this.#secure(socket).then(
      ([secured, endpoints]) => this.#forward(secured, { ...endpoints, since }),
      (error: TlsOffloadError) => {
        this.#connections--;
        this.server.emit('tlsClientError', error, socket);
      },
    );
  }

  async #secure(socket: Socket): Promise<[SecuredConnection, ProxiedEndpoints]> {
    const endpoints = await this.#endpointsOf(socket);
    if (!this.#sources.take(endpoints.sourceAddress)) {
      this.#refusedBySource++;
      socket.destroy();
      const limit = this.#config.connectionLimitPerSource;
      const message = `client ${endpoints.sourceAddress}: want at most ${limit} connections, got one more`;
      throw new TlsOffloadError('ERR_TLS_OFFLOAD_SOURCE_LIMITED', message);
    }
    try {
      const secured = this.terminator.secure(socket, endpoints.sourceAddress);
      socket.resume();
      return [await secured, endpoints];
    } catch (error) {
      this.#sources.release(endpoints.sourceAddress);
      throw error;
    }
  }

  /** Those of the client's own connection: this one, or the one that a trusted peer's PROXY header tells of. */
  async #endpointsOf(socket: Socket): Promise<ProxiedEndpoints> {
    const { remoteAddress = '', remotePort = 0, localAddress = '', localPort = 0 } = socket;
    const here = {
      sourceAddress: plainAddress(remoteAddress),
      sourcePort: remotePort,
      destinationAddress: plainAddress(localAddress),
      destinationPort: localPort,
    };
    if (!this.#trustedPeers.has(remoteAddress)) return here;
    socket.on('error', () => undefined);
    this.#announcing.add(socket);
    try {
      return (await readProxyHeader(socket, this.#config.proxyProtocol.headerTimeoutMilliseconds)) ?? here;
    } catch (error) {
      this.#count(error as TlsOffloadError);
      throw error;
    } finally {
      this.#announcing.delete(socket);
    }
  }

  #forward(secured: SecuredConnection, client: Client): void {
    const connection = this.#connect(secured, client);
    if (connection === undefined) return;
    this.terminator.keep(connection);
    this.#open.add(connection);
    connection.once('forwarding', () => this.#forwarded++);
    connection.once('close', (error) => {
      this.#connections--;
      this.#sources.release(client.sourceAddress);
      this.#open.delete(connection);
      this.#note(connection, secured, client, error);
    });
  }

  /** @returns undefined when that fails at once, the client told nothing */
  #connect(secured: SecuredConnection, client: Client): L4Connection | undefined {
    try {
      const { send } = this.#config.proxyProtocol;
      const preamble = send && makeProxyHeader(send, client, secured.description);
      return new L4Connection(secured, this.#config, preamble);
    } catch (error) {
      this.#connections--;
      this.#sources.release(client.sourceAddress);
      secured.session.close();
      secured.socket.destroy();
      this.server.emit('tlsClientError', error, secured.socket);
      return undefined;
    }
  }

  #note(
    { statistics }: L4Connection,
    { description }: SecuredConnection,
    client: Client,
    error?: TlsOffloadError,
  ): void {
    const { fromClient, fromUpstream } = statistics;
    this.#bytesFromClients += fromClient;
    this.#bytesFromUpstream += fromUpstream;
    if (error !== undefined) this.#count(error);
    if (error?.fault === 'upstream') this.server.emit('upstreamError', error);
    this.observer.connectionEnded?.({
      address: client.sourceAddress,
      port: client.sourcePort,
      protocol: description.protocol,
      cipher: description.cipher,
      serverName: description.serverName,
      code: error?.code ?? 'OK',
      bytesFromClient: fromClient,
      bytesFromUpstream: fromUpstream,
      milliseconds: performance.now() - client.since,
    });
  }

  #count({ code, fault }: TlsOffloadError): void {
    const counters = fault === 'upstream' ? this.#failed : this.#interrupted;
    counters[code] = (counters[code] ?? 0) + 1;
  }
}

interface Client extends ProxiedEndpoints {
  /** When it connected, in the milliseconds of `performance.now()`. */
  readonly since: number;
}
