import type { Readable } from 'node:stream';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import type { TlsOffloadError } from '../src/errors.js';
import type { TlsSocket } from '../src/socket.js';
import type { TlsTerminator } from '../src/terminator.js';

export { eventually } from '../../../test/support/eventually.js';

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

/** Everything a stream gives until it ends. Iteration would destroy a stream that may still be written to. */
export function readAll(stream: Readable): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('end', () => resolve(Buffer.concat(chunks)));
    stream.once('error', reject);
    stream.once('close', () => reject(new Error('want the end of the stream, got its close')));
    stream.resume();
  });
}

export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/** Promise.withResolvers, which the compiler's library does not have yet. */
export function deferred<T>(): Deferred<T> {
  let settle: Omit<Deferred<T>, 'promise'> | undefined;
  const promise = new Promise<T>((resolve, reject) => (settle = { resolve, reject }));
  return { promise, ...(settle as Omit<Deferred<T>, 'promise'>) };
}
