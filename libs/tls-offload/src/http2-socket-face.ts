import type { ServerHttp2Session } from 'node:http2';
import type { TlsSocket } from './socket.js';

/** What is asked of the connection under an HTTP/2 request, beside what Node.js answers for its streams. */
const shown = [
  'encrypted',
  'authorized',
  'authorizationError',
  'alpnProtocol',
  'servername',
  'remoteAddress',
  'remotePort',
  'remoteFamily',
  'localAddress',
  'localPort',
  'localFamily',
  'peerCertificateChain',
  'bytesRead',
  'bytesWritten',
  'address',
  'getProtocol',
  'getCipher',
  'getEphemeralKeyInfo',
  'getKeyExchangeGroup',
  'getPeerCertificate',
  'getPeerX509Certificate',
  'getSession',
  'getTLSTicket',
  'isSessionReused',
] as const satisfies readonly (keyof TlsSocket)[];

/**
 * Gives the socket of an HTTP/2 session, and so `req.socket`, the face of the secure connection under it. Node.js puts a socket of
 * its own (JSStreamSocket) between a session and a connection that is not one of its handles; it has no address and is not encrypted.
 */
export function showSecureSocket(session: ServerHttp2Session, secure: TlsSocket): void {
  // `session.socket` is a proxy that hands most things on to that socket; `on` returns the socket itself.
  const between = session.socket.on('close', () => undefined);
  for (const name of shown) {
    const get = (): unknown => {
      const value: unknown = Reflect.get(secure, name);
      return typeof value === 'function' ? (value.bind(secure) as unknown) : value;
    };
    Object.defineProperty(between, name, { get, configurable: true });
  }
}
