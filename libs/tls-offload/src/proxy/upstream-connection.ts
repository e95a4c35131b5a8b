import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { TlsOffloadError } from '../errors.js';

/**
 * Opens one connection to an upstream, ready for a request.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE | ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT | ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED
 */
export type UpstreamConnector = (timeoutMilliseconds: number) => Promise<Duplex>;

export function tcpConnector(host: string, port: number): UpstreamConnector {
  return (timeoutMilliseconds) =>
    new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true });
      const fail = (error: TlsOffloadError): void => {
        socket.destroy();
        reject(error);
      };
      const timer = setTimeout(() => fail(connectTimeout(timeoutMilliseconds)), timeoutMilliseconds);
      const onError = (cause: Error): void => {
        clearTimeout(timer);
        fail(connectFailure(cause));
      };
      socket.once('error', onError);
      socket.once('connect', () => {
        clearTimeout(timer);
        socket.off('error', onError);
        resolve(socket);
      });
    });
}

export function connectTimeout(timeoutMilliseconds: number): TlsOffloadError {
  return new TlsOffloadError(
    'ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT',
    `upstream: want a connection within ${timeoutMilliseconds} ms, got none`,
  );
}

export function connectFailure(cause: Error): TlsOffloadError {
  return new TlsOffloadError(
    'ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE',
    `upstream: want a connection, got ${cause.message}`,
    {
      cause,
    },
  );
}
