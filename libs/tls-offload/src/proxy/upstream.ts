import { Agent, type ClientRequest, request, type RequestOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ParsedL7ProxyConfig, UpstreamConfig } from './l7-config.js';
import { endOnceSuperseded } from '../connector/kept-connection.js';
import { TlsSocket } from '../socket.js';
import type { TlsOffloadError } from '../errors.js';
import type { UpstreamConnector } from './upstream-connection.js';
import { type UpstreamChange, UpstreamStanding, type UpstreamState } from './upstream-standing.js';

export interface UpstreamStatistics {
  readonly url: string;
  readonly state: UpstreamState;
  /** Requests and WebSockets under way. */
  readonly inFlight: number;
  readonly requests: number;
  readonly failures: number;
}

/** How a request ended: `unknown` where nobody can say how its upstream does. */
export type RequestEnd = 'answered' | 'unknown' | TlsOffloadError;

/** What http passes from a request to its agent. */
interface ConnectTimeout {
  readonly connectTimeoutMilliseconds: number;
}

/** One server behind the proxy: its connections, which are kept for further requests, and how it does. */
export class Upstream {
  readonly url: string;
  readonly standing: UpstreamStanding;
  readonly #agent: ConnectorAgent;
  readonly #hostname: string;
  #inFlight = 0;
  #requests = 0;
  #failures = 0;

  constructor(
    private readonly upstream: UpstreamConfig,
    private readonly config: ParsedL7ProxyConfig,
    connector: UpstreamConnector,
    changed: (change: UpstreamChange) => void,
  ) {
    const { origin, hostname } = new URL(upstream.url);
    this.url = origin;
    this.#hostname = hostname;
    this.#agent = new ConnectorAgent(connector, config.upstreamKeepAliveMilliseconds);
    this.standing = new UpstreamStanding(config, (state, reason) => changed({ url: origin, state, reason }));
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

  get statistics(): UpstreamStatistics {
    const { state } = this.standing;
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
   * @returns to call once, when it is over
   */
  begin(asked: ClientRequest): (end: RequestEnd) => void {
    this.#inFlight++;
    this.#requests++;
    let isConnecting = true;
    let isOver = false;
    const settle = (): void => {
      if (isConnecting && isOver) this.#inFlight--;
      isConnecting = false;
    };
    asked.once('socket', settle).once('close', settle);
    return (end) => {
      isOver = true;
      if (!isConnecting) this.#inFlight--;
      if (end === 'unknown') return;
      if (end === 'answered') return this.standing.noteAnswer();
      this.#failures++;
      this.standing.noteFailure(end.message);
    };
  }

  close(): void {
    this.#agent.destroy();
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
