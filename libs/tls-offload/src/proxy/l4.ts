import { type AddressInfo, createServer, connect, type Server, type Socket } from 'node:net';
import { type L4ProxyConfig, l4ProxyConfigSchema, parseConfig, type ParsedL4ProxyConfig } from '../config.js';
import { TlsOffloadError, type TlsOffloadErrorCode } from '../errors.js';
import type { TlsSocket } from '../socket.js';
import type { TlsTerminator } from '../terminator.js';

export interface L4ProxyStatistics {
  /** Connections that are being forwarded. */
  readonly open: number;
  readonly forwarded: number;
  /** Clients turned away at the connection limit. */
  readonly refused: number;
  /** Connections that ended for a fault of the upstream, by code. */
  readonly failed: Readonly<Partial<Record<TlsOffloadErrorCode, number>>>;
}

/**
 * Forwards what is inside TLS to a TCP server. Each direction waits for its slower side and ends on its own: close_notify
 * becomes FIN and FIN becomes close_notify. A connection that breaks on one side is reset on the other, never ended in
 * order, so that neither takes a part for the whole.
 *
 * Emits on `server`: `tlsClientError` (error, socket) for a failed handshake, `upstreamError` (error) for a failed upstream.
 */
export class L4Proxy {
  readonly server: Server;
  readonly #config: ParsedL4ProxyConfig;
  #open = 0;
  #forwarded = 0;
  #refused = 0;
  readonly #failed: Partial<Record<TlsOffloadErrorCode, number>> = {};

  /** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID */
  constructor(
    private readonly terminator: TlsTerminator,
    config: L4ProxyConfig,
  ) {
    this.#config = parseConfig(l4ProxyConfigSchema, 'L4 proxy', config);
    this.server = createServer({ allowHalfOpen: true, noDelay: true });
    this.server.maxConnections = this.#config.connectionLimit;
    this.server.on('drop', () => this.#refused++);
    this.server.on('connection', (socket: Socket) => {
      this.terminator.accept(socket, { allowHalfOpen: true }).then(
        (client) => this.#forward(client),
        (error: TlsOffloadError) => this.server.emit('tlsClientError', error, socket),
      );
    });
  }

  get statistics(): L4ProxyStatistics {
    return { open: this.#open, forwarded: this.#forwarded, refused: this.#refused, failed: { ...this.#failed } };
  }

  /** @throws the system's error, e.g. EADDRINUSE */
  async listen(port: number, host: string): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    return this.server.address() as AddressInfo;
  }

  /** Accepts no more; connections go on. The terminator's `close` ends them. */
  async close(): Promise<void> {
    if (this.server.listening) this.server.close();
    await this.terminator.close();
  }

  /** Connects only once the client is secure: an unfinished handshake costs the upstream nothing. */
  #forward(client: TlsSocket): void {
    const { upstream: address, connectTimeoutMilliseconds, idleTimeoutMilliseconds } = this.#config;
    const where = `${address.host}:${address.port}`;
    const upstream = connect({ ...address, allowHalfOpen: true, noDelay: true });
    this.#open++;
    upstream.setTimeout(connectTimeoutMilliseconds, () => {
      this.#fail(
        upstream,
        'ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT',
        `upstream ${where}: want a connection within ${connectTimeoutMilliseconds} ms, got none`,
      );
    });
    upstream.once('error', (cause: Error) => {
      this.#fail(
        upstream,
        'ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE',
        `upstream ${where}: want a connection, got ${cause.message}`,
        cause,
      );
    });
    upstream.once('connect', () => {
      this.#forwarded++;
      upstream.setTimeout(0);
      // Every byte passes through the client's side, and none does while either side is stuck.
      client.setTimeout(idleTimeoutMilliseconds, () => client.resetAndDestroy());
      client.pipe(upstream);
      upstream.pipe(client);
    });
    client.once('end', () => {
      if (client.truncated) reset(upstream);
    });
    client.once('close', () => {
      const complete = upstream.writableEnded && upstream.readableEnded;
      if (!complete) reset(upstream);
    });
    upstream.once('close', () => {
      this.#open--;
      if (client.writableEnded) client.destroySoon();
      else client.resetAndDestroy();
    });
  }

  #fail(upstream: Socket, code: TlsOffloadErrorCode, message: string, cause?: unknown): void {
    this.#failed[code] = (this.#failed[code] ?? 0) + 1;
    this.server.emit('upstreamError', new TlsOffloadError(code, message, { cause }));
    upstream.destroy();
  }
}

function reset(socket: Socket): void {
  if (socket.connecting) socket.destroy();
  else if (!socket.destroyed) socket.resetAndDestroy();
}
