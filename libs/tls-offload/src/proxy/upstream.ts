import { Agent, type ClientRequest, request, type RequestOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ParsedL7ProxyConfig, UpstreamConfig } from './l7-config.js';
import { endOnceSuperseded } from '../connector/kept-connection.js';
import { TlsSocket } from '../socket.js';
import type { UpstreamConnector } from './upstream-connection.js';

export interface UpstreamStatistics {
  readonly url: string;
  /**
   * `serving`; `ejected`: left alone for a while after failures in a row, unless all are; `unhealthy`: its health check fails, and
   * it gets nothing.
   */
  readonly state: 'serving' | 'ejected' | 'unhealthy';
  /** Requests and WebSockets under way. */
  readonly inFlight: number;
  readonly requests: number;
  readonly failures: number;
}

/** What http passes from a request to its agent. */
interface ConnectTimeout {
  readonly connectTimeoutMilliseconds: number;
}

/** One server behind the proxy: its connections, which are kept for further requests, and how it does. */
export class Upstream {
  readonly url: string;
  /** Set by health checks. */
  healthy = true;
  readonly #agent: ConnectorAgent;
  readonly #hostname: string;
  #inFlight = 0;
  #requests = 0;
  #failures = 0;
  #failuresInRow = 0;
  #ejectedUntil = 0;

  constructor(
    private readonly upstream: UpstreamConfig,
    private readonly config: ParsedL7ProxyConfig,
    connector: UpstreamConnector,
  ) {
    const { origin, hostname } = new URL(upstream.url);
    this.url = origin;
    this.#hostname = hostname;
    this.#agent = new ConnectorAgent(connector, config.upstreamKeepAliveMilliseconds);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get isFull(): boolean {
    return this.#inFlight >= this.upstream.requestLimit;
  }

  /** Whether a request needs no new connection. */
  get hasFreeConnection(): boolean {
    return Object.values(this.#agent.freeSockets).some((free) => free?.some(({ writable }) => writable));
  }

  get isEjected(): boolean {
    return performance.now() < this.#ejectedUntil;
  }

  get statistics(): UpstreamStatistics {
    const state = !this.healthy ? 'unhealthy' : this.isEjected ? 'ejected' : 'serving';
    return { url: this.url, state, inFlight: this.#inFlight, requests: this.#requests, failures: this.#failures };
  }

  /**
   * A request of http, on a connection of ours. Its errors before 'socket' are the connector's: nothing has been sent.
   * @param connectTimeoutMilliseconds  in place of the configured one
   */
  request(options: RequestOptions & Partial<ConnectTimeout>): ClientRequest {
    const { connectTimeoutMilliseconds } = this.config;
    return request({
      connectTimeoutMilliseconds,
      ...options,
      agent: this.#agent,
      hostname: this.#hostname,
      setHost: false,
      insecureHTTPParser: false,
    });
  }

  /**
   * Counts a request as under way. One that is given up while its connection is made counts until there is one, which the next request
   * has then: clients that come and go have no more connections and signatures made than `requestLimit` at a time.
   * @returns to call once, when it is over; `failed`: for a fault of the upstream; undefined: nobody can say how it does
   */
  begin(asked: ClientRequest): (failed: boolean | undefined) => void {
    this.#inFlight++;
    this.#requests++;
    let isConnecting = true;
    let isOver = false;
    const settle = (): void => {
      if (isConnecting && isOver) this.#inFlight--;
      isConnecting = false;
    };
    asked.once('socket', settle).once('close', settle);
    return (failed) => {
      isOver = true;
      if (!isConnecting) this.#inFlight--;
      if (failed === true) this.#noteFailure();
      if (failed === false) this.#failuresInRow = 0;
    };
  }

  close(): void {
    this.#agent.destroy();
  }

  #noteFailure(): void {
    this.#failures++;
    if (++this.#failuresInRow < this.config.ejectAfter) return;
    this.#ejectedUntil = performance.now() + this.config.ejectMilliseconds;
    // When it is tried again, one more failure is enough.
    this.#failuresInRow = this.config.ejectAfter - 1;
  }
}

/** Keeps connections that a connector makes, last used first. */
class ConnectorAgent extends Agent {
  constructor(
    private readonly connector: UpstreamConnector,
    keepAliveMilliseconds: number,
  ) {
    super({ keepAlive: true, timeout: keepAliveMilliseconds, scheduling: 'lifo' });
  }

  override createConnection(options: object, callback: (error: Error | null, stream: Duplex) => void): undefined {
    this.connector((options as ConnectTimeout).connectTimeoutMilliseconds).then(
      (stream) => {
        if (stream instanceof TlsSocket) endOnceSuperseded(this, stream);
        callback(null, stream);
      },
      (error: Error) => (callback as (error: Error) => void)(error),
    );
  }
}
