import type { Socket } from 'node:net';
import { Logger } from '@nestjs/common';
import {
  type Credential,
  type CrlStatus,
  type ExchangeRecord,
  L4Proxy,
  L7Proxy,
  type ServedCredentials,
  type SessionTickets,
  type StaplingStatus,
  type TerminatorObserver,
  type TlsOffloadError,
  TlsTerminator,
  type UpstreamChange,
  type UpstreamStatistics,
} from '@nest-hsm/tls-offload';
import type { ListenerConfig } from '../config.js';
import type { AccessLog } from '../monitoring/access-log.js';
import type { TrafficMetrics } from '../monitoring/traffic-metrics.js';

export interface LaneObservers {
  readonly metrics: TrafficMetrics;
  readonly accessLog: AccessLog;
}

/** What a lane proves itself with. */
export interface LaneCredentials {
  /** To clients. */
  readonly served: ServedCredentials;
  /** To upstreams that ask for a certificate. */
  readonly shown: readonly Credential[];
}

/** What all lanes have in common. */
export interface LaneStores {
  readonly tickets?: SessionTickets;
  /** Of clients' authorities, and of upstreams'. */
  readonly crlDirectory?: string;
  readonly upstreamCrlDirectory?: string;
}

/**
 * What a listener does with the connections it accepts: a terminator and the proxy behind it, with settings that do not change. A
 * listener that is configured otherwise gets another lane, and this one keeps the connections that it has.
 */
export class Lane {
  readonly #terminator: TlsTerminator;
  readonly #proxy: L4Proxy | L7Proxy;
  readonly #logger: Logger;
  #credentials: LaneCredentials;
  /** TCP connections that Node.js holds; the addon has others, which the terminator knows. */
  #sockets = 0;
  readonly #emptied: (() => void)[] = [];

  /** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED, and for files that it names */
  constructor(
    readonly config: ListenerConfig,
    credentials: LaneCredentials,
    private readonly observers: LaneObservers,
    readonly stores: LaneStores = {},
  ) {
    const { name, tls } = config;
    const { metrics } = observers;
    this.#credentials = credentials;
    const logger = new Logger(`listener ${name}`);
    this.#logger = logger;
    this.#terminator = new TlsTerminator({
      ...tls,
      ...credentials.served,
      tickets: stores.tickets,
      crlDirectory: stores.crlDirectory,
      ticketScope: name,
      observer: {
        handshakeEnded: (event) => metrics.handshakeEnded(name, event),
        ...this.#commonObserver,
      },
    });
    try {
      this.#proxy = this.#newProxy();
    } catch (error) {
      void this.#terminator.close(0);
      throw error;
    }
    this.#proxy.server.on('tlsClientError', (error: TlsOffloadError) => {
      logFault(logger, error);
      // Before a handshake: nobody else counts it.
      if (isOfBalancer(error)) metrics.handshakeEnded(name, { code: error.code, milliseconds: 0 });
    });
    this.#proxy.server.on('upstreamError', (error: TlsOffloadError) => {
      metrics.upstreamFailed(name, error.code);
      logFault(logger, error);
    });
  }

  accept(socket: Socket): void {
    this.#sockets++;
    socket.once('close', () => {
      this.#sockets--;
      this.#noteEnd();
    });
    this.#proxy.server.emit('connection', socket);
  }

  /** Resolves when a lane that is given no more connections has none: at once, where it has had none. */
  emptied(): Promise<void> {
    return new Promise((resolve) => {
      this.#emptied.push(resolve);
      this.#noteEnd();
    });
  }

  get credentials(): LaneCredentials {
    return this.#credentials;
  }

  /** @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CREDENTIAL_REFUSED: then those that are refused change nothing */
  setCredentials(credentials: LaneCredentials): void {
    try {
      this.#show(credentials.shown);
    } finally {
      this.#terminator.setCredentials(credentials.served);
      this.#credentials = { ...this.#credentials, served: credentials.served };
    }
  }

  /** Shows a renewed certificate to upstreams where the one before is shown: also a lane that gets no more clients has requests. */
  renewShown(before: Credential, after: Credential): void {
    const { shown } = this.#credentials;
    if (!shown.includes(before)) return;
    const renewed = shown.map((each) => (each === before ? after : each));
    this.#show(renewed);
  }

  /** Looks at once whether the files of authorities and CRLs have changed. */
  async reloadAuthorities(): Promise<void> {
    await this.#terminator.reloadClientAuthorities();
    if (this.#proxy instanceof L7Proxy) await this.#proxy.reloadUpstreamAuthorities();
  }

  get statistics(): LaneStatistics {
    const { handshaking, open, signatures, resumed, clientCertificates, staples } = this.#terminator.statistics;
    const { refusals, crls } = clientCertificates;
    const upstreamTls = this.#proxy instanceof L7Proxy ? this.#proxy.statistics.upstreamTls : undefined;
    return {
      handshaking,
      open,
      pending: addedByKey(pendingOf(signatures), pendingOf(upstreamTls?.signatures ?? {})),
      crls,
      upstreams: this.#proxy instanceof L7Proxy ? this.#proxy.statistics.upstreams : [],
      upstreamCrls: upstreamTls?.crls ?? [],
      staples,
      totals: { resumed, clientsRefused: refusals, ...this.#traffic },
    };
  }

  /** Ends what is open in order, GOAWAY included, and what is open after that time anyhow. */
  async close(graceMilliseconds: number): Promise<void> {
    // It does not listen; an HTTP server tells its clients so.
    this.#proxy.server.close();
    await this.#proxy.close(graceMilliseconds);
  }

  get #traffic(): Omit<LaneTotals, 'resumed' | 'clientsRefused'> {
    const proxy = this.#proxy.statistics;
    const { refused, bytesFromClients: fromClients, bytesFromUpstream: fromUpstream } = proxy;
    const refusedBySource = 'refusedBySource' in proxy ? proxy.refusedBySource : 0;
    return { refused, refusedBySource, fromClients, fromUpstream };
  }

  #noteEnd(): void {
    if (this.#emptied.length === 0 || this.#sockets > 0) return;
    // What is made of a TCP connection ends just after it.
    setImmediate(() => {
      const { handshaking, open } = this.#terminator.statistics;
      if (this.#sockets + handshaking + open > 0) return;
      for (const resolve of this.#emptied.splice(0)) resolve();
    });
  }

  get #commonObserver(): TerminatorObserver {
    const { metrics } = this.observers;
    return {
      signatureEnded: (event) => metrics.signatureEnded(event),
      upkeepFailed: (error) => {
        metrics.upkeepFailed(this.config.name, error.code);
        logFault(this.#logger, error);
      },
    };
  }

  #show(shown: readonly Credential[]): void {
    if (this.#proxy instanceof L7Proxy) this.#proxy.setUpstreamCredentials(shown);
    this.#credentials = { ...this.#credentials, shown };
  }

  #newProxy(): L4Proxy | L7Proxy {
    const { name, l4, l7 } = this.config;
    const { metrics, accessLog } = this.observers;
    if (l7 !== undefined) return this.#newL7Proxy(l7);
    if (l4 === undefined) throw new TypeError('listener: want l4 or l7, as the configuration has been checked');
    return new L4Proxy(this.#terminator, l4, {
      connectionEnded: (event) => {
        metrics.connectionEnded(name, event);
        accessLog.connection(name, event);
        this.#noteEnd();
      },
    });
  }

  #newL7Proxy({ upstreamTls: { certificates: _, ...upstreamTls }, ...l7 }: NonNullable<ListenerConfig['l7']>): L7Proxy {
    const { name } = this.config;
    const { metrics, accessLog } = this.observers;
    const upstreamObserver: TerminatorObserver = {
      handshakeEnded: (event) => metrics.upstreamHandshakeEnded(name, event),
      ...this.#commonObserver,
    };
    const { upstreamCrlDirectory } = this.stores;
    const options = { upstreamCredentials: this.#credentials.shown, upstreamObserver, upstreamCrlDirectory };
    const proxy = new L7Proxy(this.#terminator, { ...l7, upstreamTls }, options);
    proxy.start();
    proxy.server.on('exchange', (record: ExchangeRecord) => {
      metrics.requestEnded(name, record);
      accessLog.request(name, record);
      // Of requests there may be any number: what is wrong is counted, and why it is wrong is for who looks closer.
      if (record.fault !== undefined) this.#logger.debug(`${record.fault.code}: ${record.fault.message}`);
    });
    proxy.server.on('upstream', ({ url, state, reason }: UpstreamChange) => {
      if (reason === undefined) this.#logger.log(`upstream ${url}: ${state} again`);
      else this.#logger.warn(`upstream ${url}: ${state}: ${reason}`);
    });
    return proxy;
  }
}

/** By key label. */
export function addedByKey(
  a: Readonly<Record<string, number>>,
  b: Readonly<Record<string, number>>,
): Record<string, number> {
  const sums = { ...a };
  for (const [key, value] of Object.entries(b)) sums[key] = (sums[key] ?? 0) + value;
  return sums;
}

function pendingOf(signatures: Readonly<Record<string, { readonly pending: number }>>): Record<string, number> {
  return Object.fromEntries(Object.entries(signatures).map(([key, { pending }]) => [key, pending]));
}

/** What only grows while a lane lives. */
export interface LaneTotals {
  /** At the limit of connections, and at that of one source. */
  readonly refused: number;
  readonly refusedBySource: number;
  readonly fromClients: number;
  readonly fromUpstream: number;
  /** Handshakes with a session ticket. */
  readonly resumed: number;
  /** Certificates of clients, by OpenSSL's reason. */
  readonly clientsRefused: Readonly<Record<string, number>>;
}

export interface LaneStatistics {
  readonly handshaking: number;
  readonly open: number;
  /** Signatures that are waited for, by key label. */
  readonly pending: Readonly<Record<string, number>>;
  /** In force for clients that connect now. */
  readonly crls: readonly CrlStatus[];
  /** As the lane that takes connections sees them; of L4 there is none to choose. */
  readonly upstreams: readonly UpstreamStatistics[];
  /** In force for connections to upstreams. */
  readonly upstreamCrls: readonly CrlStatus[];
  readonly staples: readonly StaplingStatus[];
  readonly totals: LaneTotals;
}

/** One that is trusted says whom it speaks for, or nobody gets through. */
function isOfBalancer({ code }: TlsOffloadError): boolean {
  return code === 'ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID';
}

/** Clients fail all the time, and anybody may make them; the token, the upstream and load balancers are ours to look after. */
function logFault(logger: Logger, error: TlsOffloadError): void {
  if (error.fault === 'peer' && !isOfBalancer(error)) logger.debug(`${error.code}: ${error.message}`);
  else logger.warn(`${error.code}: ${error.message}`);
}
