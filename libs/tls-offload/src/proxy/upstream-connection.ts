import { connect, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { checkServerIdentity, connect as connectTls, createSecureContext, type PeerCertificate } from 'node:tls';
import { TlsOffloadError } from '../errors.js';

/**
 * Opens one connection to an upstream, ready for a request.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE | ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT | ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED
 */
export type UpstreamConnector = (timeoutMilliseconds: number) => Promise<Duplex>;

/** For an upstream with an http URL. */
export function tcpConnector(host: string, port: number): UpstreamConnector {
  return (timeoutMilliseconds) =>
    settled(connect({ host, port, noDelay: true }), 'connect', timeoutMilliseconds, connectFailure);
}

export interface UpstreamTrust {
  /** Roots in PEM; absent: those of Node.js. */
  readonly roots?: string;
  /** A host name or an address, which the upstream's certificate has to name. */
  readonly serverName: string;
}

/** For an upstream with an https URL, which proves who it is before anything is sent. */
export function tlsConnector(host: string, port: number, { roots, serverName }: UpstreamTrust): UpstreamConnector {
  const options = {
    host,
    port,
    noDelay: true,
    // No name is sent where an address is asked for (RFC 6066 §3), which is checked all the same.
    ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
    checkServerIdentity: (_host: string, certificate: PeerCertificate) => checkServerIdentity(serverName, certificate),
    secureContext: createSecureContext({ ca: roots, minVersion: 'TLSv1.2' }),
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
  };
  return (timeoutMilliseconds) => {
    let isConnected = false;
    const socket = connectTls(options).once('connect', () => (isConnected = true));
    const failure = (cause: Error): TlsOffloadError => (isConnected ? untrusted(cause) : connectFailure(cause));
    return settled(socket, 'secureConnect', timeoutMilliseconds, failure);
  };
}

function settled(
  socket: Socket,
  readyEvent: 'connect' | 'secureConnect',
  timeoutMilliseconds: number,
  failure: (cause: Error) => TlsOffloadError,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const fail = (error: TlsOffloadError): void => {
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => fail(connectTimeout(timeoutMilliseconds)), timeoutMilliseconds);
    const onError = (cause: Error): void => {
      clearTimeout(timer);
      fail(failure(cause));
    };
    socket.once('error', onError);
    socket.once(readyEvent, () => {
      clearTimeout(timer);
      socket.off('error', onError);
      resolve(socket);
    });
  });
}

function connectTimeout(timeoutMilliseconds: number): TlsOffloadError {
  return new TlsOffloadError(
    'ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT',
    `upstream: want a connection within ${timeoutMilliseconds} ms, got none`,
  );
}

function connectFailure(cause: Error): TlsOffloadError {
  return new TlsOffloadError(
    'ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE',
    `upstream: want a connection, got ${cause.message}`,
    {
      cause,
    },
  );
}

/** A certificate that is not believed, or no acceptable TLS at all. */
function untrusted(cause: Error): TlsOffloadError {
  return new TlsOffloadError(
    'ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED',
    `upstream: want it to prove its name, got ${cause.message}`,
    {
      cause,
    },
  );
}
