import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { TlsOffloadError } from '../errors.js';
import type { TlsConnector } from './connector.js';

/** What undici tells of the server that a connection is for. */
export interface UndiciConnectOptions {
  readonly hostname: string;
  readonly protocol: string;
  readonly port: string;
  readonly servername?: string | null;
  readonly localAddress?: string | null;
  /** A connection that a proxy has made to the server. */
  readonly httpSocket?: Socket;
}

export type UndiciConnect = (
  options: UndiciConnectOptions,
  callback: (...args: [null, TLSSocket] | [Error, null]) => void,
) => void;

/** The connections of a connector for undici, and so for `fetch`: `new Agent({ connect: undiciConnector(connector) })`. */
export function undiciConnector(connector: TlsConnector): UndiciConnect {
  return (options, callback) => {
    connect(connector, options).then(
      // It is all that undici asks of one.
      (socket) => callback(null, socket as unknown as TLSSocket),
      (error: Error) => callback(error, null),
    );
  };
}

function connect(connector: TlsConnector, options: UndiciConnectOptions): ReturnType<TlsConnector['connect']> {
  const { hostname, protocol, port, servername, localAddress, httpSocket } = options;
  if (protocol !== 'https:') {
    const message = `undici connector: want an https URL, got ${protocol}`;
    return Promise.reject(new TlsOffloadError('ERR_TLS_OFFLOAD_CONFIG_INVALID', message));
  }
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const wanted = { serverName: servername || host };
  if (httpSocket != null) return connector.secure(httpSocket, wanted);
  return connector.connect({ ...wanted, host, port: Number(port || 443), localAddress: localAddress ?? undefined });
}
