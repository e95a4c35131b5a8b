import { type AddressInfo, createServer, type Server } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import type { TlsOffloadError } from '../src/errors.js';
import type { TlsSocket } from '../src/socket.js';
import type { TlsTerminator } from '../src/terminator.js';

export interface Listener extends AsyncDisposable {
  readonly server: Server;
  readonly port: number;
  /** Handshakes that failed, in order. */
  readonly failures: TlsOffloadError[];
}

/** A terminator on a free port of the loopback interface. */
export async function listen(terminator: TlsTerminator, onSecure: (socket: TlsSocket) => void): Promise<Listener> {
  const failures: TlsOffloadError[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    terminator.accept(socket, { allowHalfOpen: true }).then(onSecure, (error: TlsOffloadError) => failures.push(error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    server,
    port: (server.address() as AddressInfo).port,
    failures,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      await terminator.close(0);
      await closed;
    },
  };
}

/** Node's own TLS client, once it is secure. */
export function connectTls(options: ConnectionOptions & { port: number }): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', servername: 'localhost', ...options });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** Everything a stream gives until it ends. */
export async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Waits for what another party will do. @throws after five seconds */
export async function eventually(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`want ${condition.toString()} within 5 s, got false`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
