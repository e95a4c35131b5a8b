import type { AddressInfo, Socket } from 'node:net';
import { createServer, type PeerCertificate, type Server, type TlsOptions, type TLSSocket } from 'node:tls';

export interface TlsServer extends AsyncDisposable {
  readonly server: Server;
  readonly port: number;
  /** Connections that were secure, in order. */
  readonly seen: TLSSocket[];
  /** The TCP connections, secure or not. */
  readonly connections: Socket[];
  /** The common name of each one's certificate; undefined: it showed none. */
  readonly clients: readonly unknown[];
}

/** Node's own TLS server on a free port of the loopback interface, which sends back what it gets. */
export async function serveTls(options: TlsOptions): Promise<TlsServer> {
  const seen: TLSSocket[] = [];
  const connections: Socket[] = [];
  const clients: unknown[] = [];
  const server = createServer({ allowHalfOpen: true, ...options }, (socket) => {
    seen.push(socket.on('error', () => undefined));
    clients.push((socket.getPeerCertificate() as Partial<PeerCertificate>).subject?.CN);
    socket.pipe(socket);
  });
  server.on('tlsClientError', () => undefined);
  server.on('connection', (socket: Socket) => connections.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    server,
    port: (server.address() as AddressInfo).port,
    seen,
    connections,
    clients,
    [Symbol.asyncDispose]: async () => {
      for (const socket of connections) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
