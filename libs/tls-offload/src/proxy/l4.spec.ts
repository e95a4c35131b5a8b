import { createHash, randomBytes } from 'node:crypto';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTlsNow } from 'node:tls';
import { credentialOf, makeIdentity } from '../../test/identity.js';
import { connectTls, deferred, eventually, readAll } from '../../test/listen.js';
import { loadAddon } from '../addon.js';
import type { L4ProxyConfig } from '../config.js';
import { TlsTerminator } from '../terminator.js';
import { L4Proxy } from './l4.js';

const identity = makeIdentity('ec-p256');
const ca = identity.certificatePem;
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const megabyte = 1024 * 1024;

let upstream: Server;
let proxy: L4Proxy;
let upstreamSockets: Socket[];

/** An upstream, the proxy before it, and the proxy's port. */
async function start(onConnection: (socket: Socket) => void, config: Partial<L4ProxyConfig> = {}): Promise<number> {
  upstreamSockets = [];
  upstream = createServer({ allowHalfOpen: true }, (socket) => {
    upstreamSockets.push(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const { port } = upstream.address() as AddressInfo;
  const terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
  proxy = new L4Proxy(terminator, { upstream: { host: '127.0.0.1', port }, ...config });
  return (await proxy.listen(0, '127.0.0.1')).port;
}

afterEach(async () => {
  for (const socket of upstreamSockets) socket.destroy();
  upstream.close();
  await proxy.close();
  await eventually(() => proxy.statistics.open === 0 && loadAddon().counters().liveSessions === 0);
});

describe('the L4 proxy', () => {
  it('carries large bodies both ways, unchanged', async () => {
    const port = await start((socket) => void socket.pipe(socket));
    const data = randomBytes(24 * megabyte);
    const client = await connectTls({ port, ca });
    client.end(data);
    expect(sha256(await readAll(client))).toBe(sha256(data));
    expect(proxy.statistics.forwarded).toBe(1);
  });

  it('passes on the end of each direction on its own', async () => {
    const asked = deferred<string>();
    const port = await start((socket) => {
      void readAll(socket).then((question) => {
        asked.resolve(question.toString());
        setTimeout(() => socket.end('a late answer'), 50);
      });
    });
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const client = connectTlsNow({ socket, ca, servername: 'localhost', allowHalfOpen: true } as never);
    client.end('question');
    expect(await asked.promise).toBe('question');
    expect((await readAll(client)).toString()).toBe('a late answer');
  });

  it('makes the upstream wait for a client that does not read', async () => {
    let sent = 0;
    const port = await start((socket) => {
      const pump = (): void => {
        while (sent < 256 * megabyte && socket.write(Buffer.alloc(megabyte))) sent += megabyte;
      };
      socket.on('drain', pump);
      pump();
    });
    const client = await connectTls({ port, ca });
    client.pause();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(sent).toBeLessThan(64 * megabyte);
    client.destroy();
  });

  it('resets the upstream when the client is cut off, so that a part is not taken for the whole', async () => {
    const ended = deferred<string>();
    const port = await start((socket) => {
      socket.resume();
      socket.once('end', () => ended.resolve('end'));
      socket.once('error', (error: NodeJS.ErrnoException) => ended.resolve(error.code ?? ''));
    });
    for (const cut of ['end', 'resetAndDestroy'] as const) {
      const raw = connect(port, '127.0.0.1');
      const client = connectTlsNow({ socket: raw, ca, servername: 'localhost' });
      client.on('error', () => undefined);
      client.write('part of it');
      await eventually(() => upstreamSockets.at(-1)?.bytesRead === 10);
      raw[cut]();
      expect(await ended.promise).toBe('ECONNRESET');
      await eventually(() => upstreamSockets.at(-1)?.destroyed === true);
      upstreamSockets.push({ destroy: () => undefined } as unknown as Socket);
    }
  });

  it('resets the client when the upstream breaks', async () => {
    const port = await start((socket) => socket.write('part', () => socket.resetAndDestroy()));
    const client = await connectTls({ port, ca });
    await expect(readAll(client)).rejects.toThrow();
    await eventually(() => proxy.statistics.open === 0);
  });

  it('lets a client go that still talks when the upstream is done', async () => {
    const body = randomBytes(8 * megabyte);
    const port = await start((socket) => {
      socket.once('data', () => socket.pause().end(body));
    });
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const client = connectTlsNow({ socket, ca, servername: 'localhost', allowHalfOpen: true } as never);
    client.on('error', () => undefined);
    client.write('first');
    const chatter = setInterval(() => client.writable && client.write('more'), 1);
    expect(sha256(await readAll(client))).toBe(sha256(body));
    upstreamSockets[0].destroy();
    await eventually(() => client.destroyed && proxy.statistics.open === 0);
    clearInterval(chatter);
  });

  it('says when the upstream is away, and ends only that client', async () => {
    const port = await start((socket) => void socket.pipe(socket));
    const bystander = await connectTls({ port, ca });
    bystander.write('x');
    await new Promise((resolve) => bystander.once('data', resolve));
    await new Promise<void>((resolve) => {
      upstream.close();
      resolve();
    });
    const failed = new Promise<{ code: string }>((resolve) => proxy.server.once('upstreamError', resolve));
    const client = await connectTls({ port, ca });
    await expect(readAll(client)).rejects.toThrow();
    expect((await failed).code).toBe('ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE');
    expect(proxy.statistics.failed).toEqual({ ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE: 1 });
    bystander.write('y');
    await new Promise((resolve) => bystander.once('data', resolve));
    bystander.destroy();
  });

  it('ends a connection on which nothing moves', async () => {
    const port = await start((socket) => void socket.pipe(socket), { idleTimeoutMilliseconds: 150 });
    const client = await connectTls({ port, ca });
    const began = performance.now();
    await expect(readAll(client)).rejects.toThrow();
    expect(performance.now() - began).toBeGreaterThan(100);
  });

  it('turns clients away beyond its limit', async () => {
    const port = await start((socket) => void socket.pipe(socket), { connectionLimit: 2 });
    const clients = [await connectTls({ port, ca }), await connectTls({ port, ca })];
    await expect(connectTls({ port, ca })).rejects.toThrow();
    expect(proxy.statistics.refused).toBe(1);
    for (const client of clients) client.destroy();
    await eventually(() => proxy.statistics.open === 0);
    (await connectTls({ port, ca })).destroy();
  });

  it('says when its port is taken', async () => {
    const port = await start((socket) => void socket.pipe(socket));
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
    const second = new L4Proxy(terminator, { upstream: { host: '127.0.0.1', port: 1 } });
    await expect(second.listen(port, '127.0.0.1')).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await second.close();
  });
});
