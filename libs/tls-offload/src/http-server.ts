import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import type { Socket } from 'node:net';
import type { TlsOffloadError } from './errors.js';
import type { TlsTerminator } from './terminator.js';

/**
 * An HTTP/1.1 server over TLS whose key is on the HSM, in the place of `https.createServer`: for Fastify's
 * `serverFactory`, Express, or a plain handler.
 *
 * A failed handshake is emitted as `tlsClientError` (error, socket) and touches nobody else.
 * @param terminator  or how to get it by the first connection, when the application that serves also makes it
 */
export function createTlsOffloadServer(
  terminator: TlsTerminator | (() => TlsTerminator),
  handler: RequestListener,
  options: ServerOptions = {},
): Server {
  const server = createServer(options, handler);
  // http takes any Duplex for a connection (see its 'connection' event): it gets the secure one, once there is one.
  const handleHttp = server.listeners('connection') as ((socket: Socket) => void)[];
  server.removeAllListeners('connection');
  const current = typeof terminator === 'function' ? terminator : () => terminator;
  server.on('connection', (socket: Socket) => {
    // http ends its side itself, after the answer to what it has read: hence half-open.
    current()
      .accept(socket, { allowHalfOpen: true })
      .then(
        (secure) => {
          for (const handle of handleHttp) handle.call(server, secure as unknown as Socket);
        },
        (error: TlsOffloadError) => server.emit('tlsClientError', error, socket),
      );
  });
  return server;
}
