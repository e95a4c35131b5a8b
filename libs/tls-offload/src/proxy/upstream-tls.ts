import { TlsConnector } from '../connector/connector.js';
import type { Credential } from '../credential.js';
import { TlsOffloadError } from '../errors.js';
import type { TerminatorObserver } from '../observer.js';
import type { ParsedL7ProxyConfig, UpstreamConfig } from './l7-config.js';
import { tcpConnector, tlsConnector, type UpstreamConnector } from './upstream-connection.js';

export interface UpstreamTlsOptions {
  /**
   * Shown to upstreams that ask for a certificate, as those of a `TlsConnector`: its key is on the HSM. All upstreams have https URLs
   * then, since over plain HTTP nobody would be asked.
   */
  readonly upstreamCredentials?: readonly Credential[];
  /** Of connections to upstreams with https URLs. */
  readonly upstreamObserver?: TerminatorObserver;
  /** Keeps the CRLs that are in force for upstreams' certificates, as `crlDirectory` of a `TlsConnector`. */
  readonly upstreamCrlDirectory?: string;
}

/** What a connector's own limit may be; the time of each connection is `connectTimeoutMilliseconds`, where that is shorter. */
const [shortestHandshake, longestHandshake] = [100, 120_000];

/**
 * @returns undefined: no upstream has an https URL
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID, or as `TlsConnector`
 */
export function newUpstreamTls(
  { upstreams, upstreamTls, connectTimeoutMilliseconds }: ParsedL7ProxyConfig,
  { upstreamCredentials = [], upstreamObserver, upstreamCrlDirectory }: UpstreamTlsOptions,
): TlsConnector | undefined {
  checkShown(upstreamCredentials, upstreams);
  if (upstreams.every(isPlain)) return undefined;
  const { serverName: _, ...settings } = upstreamTls;
  return new TlsConnector({
    ...settings,
    handshakeTimeoutMilliseconds: Math.min(Math.max(connectTimeoutMilliseconds, shortestHandshake), longestHandshake),
    alpnProtocols: ['http/1.1'],
    credentials: upstreamCredentials,
    observer: upstreamObserver,
    crlDirectory: upstreamCrlDirectory,
  });
}

/**
 * Refuses credentials that not all upstreams would be shown.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_CONFIG_INVALID
 */
export function checkShown(credentials: readonly Credential[], upstreams: readonly UpstreamConfig[]): void {
  const plain = upstreams.find(isPlain);
  if (credentials.length === 0 || plain === undefined) return;
  const message = `L7 proxy: want https URLs of upstreams that are shown a certificate, got ${plain.url}`;
  throw new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message);
}

/** @param tls  of `newUpstreamTls` */
export function connectorOf(
  { url }: UpstreamConfig,
  serverName: string | undefined,
  tls: TlsConnector | undefined,
): UpstreamConnector {
  const { hostname, port, protocol } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (protocol === 'http:' || tls === undefined) return tcpConnector(host, Number(port || 80));
  return tlsConnector(tls, host, Number(port || 443), serverName ?? host);
}

function isPlain({ url }: UpstreamConfig): boolean {
  return new URL(url).protocol === 'http:';
}
