import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TlsConnector } from '../connector/connector.js';
import { TlsOffloadError } from '../errors.js';
import type { TlsSocket } from '../socket.js';
import { upstreamFault } from './upstream-fault.js';

/**
 * Opens one connection to an upstream, ready for a request.
 * @throws {TlsOffloadError} ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE | ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT, and with TLS
 * ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED | ERR_TLS_OFFLOAD_UPSTREAM_CERTIFICATE_REFUSED | ERR_TLS_OFFLOAD_SIGNATURE_FAILED |
 * ERR_TLS_OFFLOAD_SIGNATURE_TIMEOUT | ERR_TLS_OFFLOAD_SIGNATURES_SATURATED
 */
export type UpstreamConnector = (timeoutMilliseconds: number) => Promise<Duplex>;

/** For an upstream with an http URL. */
export function tcpConnector(host: string, port: number): UpstreamConnector {
  return (timeoutMilliseconds) => connected(connect({ host, port, noDelay: true }), timeoutMilliseconds);
}

/**
 * For an upstream with an https URL, which proves who it is before anything is sent.
 * @param serverName  a host name or an address, which the upstream's certificate has to name
 */
export function tlsConnector(connector: TlsConnector, host: string, port: number, serverName: string) {
  return async (timeoutMilliseconds: number): Promise<TlsSocket> => {
    try {
      const socket = await connector.connect({ host, port, serverName, timeoutMilliseconds });
      // http knows whether an answer was whole.
      socket.closesQuietlyWhenCut = true;
      return socket;
    } catch (cause) {
      throw upstreamFault(cause as Error);
    }
  };
}

function connected(socket: Socket, timeoutMilliseconds: number): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const fail = (error: TlsOffloadError): void => {
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => {
      const message = `upstream: want a connection within ${timeoutMilliseconds} ms, got none`;
      fail(new TlsOffloadError('ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT', message));
    }, timeoutMilliseconds);
    const onError = (cause: Error): void => {
      clearTimeout(timer);
      fail(upstreamFault(cause));
    };
    socket.once('error', onError);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', onError);
      resolve(socket);
    });
  });
}
