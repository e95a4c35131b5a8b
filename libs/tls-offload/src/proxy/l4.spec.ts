import { jest } from '@jest/globals';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTlsNow } from 'node:tls';
import { Worker } from 'node:worker_threads';
import { credentialOf, makeIdentity } from '../../test/identity.js';
import { connectTls, deferred, eventually, readAll } from '../../test/listen.js';
import { connectSealing, contentType, keyUpdate } from '../../test/record-sealer.js';
import { loadAddon } from '../addon.js';
import type { L4ProxyConfig } from '../config.js';
import { TlsTerminator } from '../terminator.js';
import { type L4ConnectionEvent, L4Proxy } from './l4.js';
import { parseProxyHeader } from './proxy-protocol.js';

const identity = makeIdentity('ec-p256');
const ca = identity.certificatePem;
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const megabyte = 1024 * 1024;

/** An upstream on a thread of its own: says its port, then that it was asked, then answers, ends, and resets the connection. */
const answerAndBreak = `
  const { parentPort, workerData } = require('node:worker_threads');
  const server = require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
    socket.once('data', () => parentPort.postMessage('asked'));
    parentPort.once('message', () => socket.end('the whole of it', () => socket.resetAndDestroy()));
    socket.once('close', () => {
      Atomics.store(workerData, 0, 1);
      Atomics.notify(workerData, 0);
    });
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

let upstream: Server;
let proxy: L4Proxy;
let upstreamSockets: Socket[];

/** An upstream, the proxy before it, and the proxy's port. */
async function start(
  onConnection: (socket: Socket) => void,
  config: Partial<L4ProxyConfig> = {},
  connectionEnded?: (event: L4ConnectionEvent) => void,
): Promise<number> {
  upstreamSockets = [];
  upstream = createServer({ allowHalfOpen: true }, (socket) => {
    upstreamSockets.push(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const { port } = upstream.address() as AddressInfo;
  const terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
  proxy = new L4Proxy(terminator, { upstream: { host: '127.0.0.1', port }, ...config }, { connectionEnded });
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

  it.each([
    ['that waits for it', ''],
    // Which nobody takes any more: sending it is how the proxy learns of the reset.
    ['that has more to say', 'more'],
  ])('gives a client %s all of an answer that came before the upstream broke', async (_who, more) => {
    const isBroken = new Int32Array(new SharedArrayBuffer(4));
    const other = new Worker(answerAndBreak, { eval: true, workerData: isBroken });
    const [upstreamPort] = (await once(other, 'message')) as [number];
    const port = await start(() => undefined, { upstream: { host: '127.0.0.1', port: upstreamPort } });
    const client = await connectTls({ port, ca });
    client.write('question');
    await once(other, 'message');
    if (more !== '') client.write(more);
    other.postMessage('answer now');
    // Answer, FIN and RST are all there when the proxy looks again.
    expect(Atomics.wait(isBroken, 0, 0, 30_000)).not.toBe('timed-out');
    expect(String(await readAll(client))).toBe('the whole of it');
    await eventually(() => proxy.statistics.open === 0);
    await other.terminate();
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
    const began = performance.now();
    const client = await connectTls({ port, ca });
    await expect(readAll(client)).rejects.toThrow();
    expect(performance.now() - began).toBeGreaterThan(100);
  });

  it('ends a connection that lasts too long, whatever moves on it', async () => {
    const port = await start((socket) => void socket.pipe(socket), { lifetimeMilliseconds: 200 });
    const client = await connectTls({ port, ca });
    const chatter = setInterval(() => client.writable && client.write('more'), 5);
    await expect(readAll(client)).rejects.toThrow();
    clearInterval(chatter);
    await eventually(() => proxy.statistics.interrupted.ERR_TLS_OFFLOAD_CONNECTION_EXPIRED === 1);
  });

  it('makes a client wait for an upstream that does not read', async () => {
    const port = await start(() => undefined);
    const client = await connectTls({ port, ca });
    const megabytes = 64;
    client.write(Buffer.alloc(megabytes * megabyte));
    let before = -1;
    // The kernel's buffers fill up; then nothing moves any more.
    await eventually(() => {
      const { bytesFromClients } = proxy.statistics;
      const stuck = bytesFromClients > 0 && bytesFromClients === before;
      before = bytesFromClients;
      return stuck;
    });
    expect(before).toBeLessThan((megabytes / 2) * megabyte);
    upstreamSockets[0].resume();
    await eventually(() => proxy.statistics.bytesFromClients === megabytes * megabyte);
    client.destroy();
  });

  it('serves others while one connection takes all it can get', async () => {
    const port = await start((socket) => {
      socket.once('data', (first) => {
        if (first.toString() === 'echo') return void socket.pipe(socket);
        const pump = (): void => {
          while (socket.writable && socket.write(Buffer.alloc(megabyte)));
        };
        socket.on('drain', pump);
        pump();
      });
    });
    const greedy = await connectTls({ port, ca });
    greedy.resume().write('all');
    await eventually(() => proxy.statistics.bytesFromUpstream > 16 * megabyte);
    const modest = await connectTls({ port, ca });
    modest.write('echo');
    for (let round = 0; round < 10; round++) {
      modest.write('again');
      await new Promise((resolve) => modest.once('data', resolve));
    }
    expect(greedy.destroyed).toBe(false);
    greedy.destroy();
    modest.destroy();
  });

  it('tells a client of a record that was changed on the way, and breaks off the upstream', async () => {
    const ended = deferred<string>();
    const port = await start((socket) => {
      socket.resume();
      socket.once('end', () => ended.resolve('end'));
      socket.once('error', (error: NodeJS.ErrnoException) => ended.resolve(error.code ?? ''));
    });
    const raw = connect(port, '127.0.0.1');
    const client = connectTlsNow({ socket: raw, ca, servername: 'localhost' });
    await new Promise((resolve) => client.once('secureConnect', resolve));
    client.write('sound');
    await eventually(() => upstreamSockets[0]?.bytesRead === 5);
    // What looks like application data, and is none.
    raw.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 64]), Buffer.alloc(64, 7)]));
    const alert = await new Promise<Error>((resolve) => client.once('error', resolve));
    expect(alert.message).toMatch(/bad record mac/i);
    expect(await ended.promise).toBe('ECONNRESET');
    await eventually(() => proxy.statistics.interrupted.ERR_TLS_OFFLOAD_RECORD_INVALID === 1);
  });

  it('goes on through key updates that the client makes and asks for', async () => {
    const port = await start((socket) => void socket.pipe(socket));
    const client = spawn('openssl', [
      's_client',
      '-connect',
      `127.0.0.1:${port}`,
      '-tls1_3',
      '-servername',
      'localhost',
    ]);
    let said = '';
    for (const stream of [client.stdout, client.stderr])
      stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually(() => said.includes('Verify return code'));
    for (let round = 1; round <= 5; round++) {
      client.stdin.write('K\n');
      await eventually(() => said.split('KEYUPDATE').length > 2 * round - 1);
      client.stdin.write('k\n');
      await eventually(() => said.split('KEYUPDATE').length > 2 * round);
      client.stdin.write(`round ${round}\n`);
      await eventually(() => said.includes(`\nround ${round}\n`));
    }
    client.kill();
    await eventually(() => proxy.statistics.open === 0);
  });

  it('answers whole after a key update in two parts, though the upstream breaks between them', async () => {
    const isBroken = new Int32Array(new SharedArrayBuffer(4));
    const other = new Worker(answerAndBreak, { eval: true, workerData: isBroken });
    const [upstreamPort] = (await once(other, 'message')) as [number];
    const codes: string[] = [];
    const upstreamAddress = { host: '127.0.0.1', port: upstreamPort };
    const port = await start(
      () => undefined,
      { upstream: upstreamAddress },
      ({ code }) => codes.push(code),
    );
    const { client, raw, sealer } = await connectSealing(port, ca);
    const question = sealer.seal(contentType.data, Buffer.from('question'));
    raw.write(Buffer.concat([question, sealer.seal(contentType.handshake, keyUpdate[0])]));
    await once(other, 'message');
    other.postMessage('answer now');
    expect(Atomics.wait(isBroken, 0, 0, 30_000)).not.toBe('timed-out');
    // The proxy has seen the reset.
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    raw.write(sealer.seal(contentType.handshake, keyUpdate[1]));
    expect(String(await readAll(client))).toBe('the whole of it');
    client.destroy();
    await eventually(() => proxy.statistics.open === 0);
    expect(codes).toEqual(['ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE']);
    await other.terminate();
  });

  it('counts, and says how each connection ended', async () => {
    const events: L4ConnectionEvent[] = [];
    const port = await start(
      (socket) => socket.end('answer'),
      {},
      (event) => events.push(event),
    );
    const client = await connectTls({ port, ca });
    client.end('question?');
    await readAll(client);
    await eventually(() => events.length === 1);
    expect(events[0]).toMatchObject({
      ...{ address: '127.0.0.1', protocol: 'TLSv1.3', serverName: 'localhost', code: 'OK' },
      ...{ bytesFromClient: 9, bytesFromUpstream: 6 },
    });
    expect(proxy.statistics).toMatchObject({ bytesFromClients: 9, bytesFromUpstream: 6, interrupted: {}, failed: {} });
  });

  it('tells the upstream who its client is', async () => {
    const heard = deferred<Buffer>();
    const port = await start((socket) => void readAll(socket).then(heard.resolve), { proxyProtocol: { send: 'v2' } });
    const client = await connectTls({ port, ca, ALPNProtocols: ['http/1.1'] });
    const { localPort } = client;
    client.end('question');
    const all = await heard.promise;
    const header = parseProxyHeader(all);
    const destinationAddress = '127.0.0.1';
    expect(header?.endpoints).toEqual({
      ...{ sourceAddress: '127.0.0.1', sourcePort: localPort, destinationAddress, destinationPort: port },
    });
    expect(all.subarray(header?.bytes).toString()).toBe('question');
    for (const told of ['http/1.1', 'localhost', 'TLSv1.3']) expect(all.indexOf(told)).toBeGreaterThan(0);
    client.destroy();
  });

  describe('behind a load balancer that it trusts', () => {
    const trusting = { proxyProtocol: { trustedPeers: ['127.0.0.0/8'], headerTimeoutMilliseconds: 60_000 } };
    const connectAs = async (
      port: number,
      address: string,
      pieces: (header: Buffer) => Buffer[] = (whole) => [whole],
    ) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      socket.on('error', () => undefined);
      for (const piece of pieces(Buffer.from(`PROXY TCP4 ${address} 198.51.100.1 1234 443\r\n`))) {
        socket.write(piece);
        await new Promise((resolve) => setImmediate(resolve));
      }
      return await connectTls({ port, ca, socket });
    };

    it('takes the client for the one of the header', async () => {
      const events: L4ConnectionEvent[] = [];
      const echo = (socket: Socket) => void socket.pipe(socket);
      const port = await start(echo, trusting, (event) => events.push(event));
      const byteByByte = (header: Buffer) => [...header].map((byte) => Buffer.from([byte]));
      for (const client of [await connectAs(port, '192.0.2.1'), await connectAs(port, '192.0.2.2', byteByByte)]) {
        client.end('x');
        expect((await readAll(client)).toString()).toBe('x');
      }
      await eventually(() => events.length === 2);
      expect(events.map(({ address, port: from }) => `${address} ${from}`)).toEqual([
        '192.0.2.1 1234',
        '192.0.2.2 1234',
      ]);
    });

    it('turns away who does not begin with a header, or not in time', async () => {
      const port = await start((socket) => void socket.pipe(socket), {
        proxyProtocol: { ...trusting.proxyProtocol, headerTimeoutMilliseconds: 100 },
      });
      await expect(connectTls({ port, ca })).rejects.toThrow();
      const silent = connect(port, '127.0.0.1');
      await new Promise((resolve) => silent.once('close', resolve));
      const gone = connect(port, '127.0.0.1');
      gone.end('PROXY');
      await new Promise((resolve) => gone.once('close', resolve));
      expect(proxy.statistics.interrupted).toEqual({
        ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID: 2,
        ERR_TLS_OFFLOAD_PEER_GONE: 1,
      });
      expect(upstreamSockets).toEqual([]);
    });

    it('limits the connections of each client, not those of the balancer', async () => {
      const port = await start((socket) => void socket.pipe(socket), { ...trusting, connectionLimitPerSource: 2 });
      const busy = [await connectAs(port, '192.0.2.1'), await connectAs(port, '192.0.2.1')];
      await expect(connectAs(port, '192.0.2.1')).rejects.toThrow();
      expect(proxy.statistics.refusedBySource).toBe(1);
      (await connectAs(port, '192.0.2.2')).destroy();
      for (const client of busy) client.destroy();
      await eventually(() => proxy.statistics.open === 0);
      (await connectAs(port, '192.0.2.1')).destroy();
    });
  });

  it('takes a header from nobody else', async () => {
    const port = await start((socket) => void socket.pipe(socket), {
      proxyProtocol: { trustedPeers: ['192.0.2.0/24'] },
    });
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('PROXY TCP4 192.0.2.1 198.51.100.1 1234 443\r\n');
    await expect(connectTls({ port, ca, socket })).rejects.toThrow();
    (await connectTls({ port, ca })).destroy();
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

  it('goes on when a connection cannot be accepted', async () => {
    const port = await start((socket) => void socket.pipe(socket));
    proxy.server.emit('error', new Error('accept EMFILE'));
    (await connectTls({ port, ca })).destroy();
  });

  it('ends one connection that cannot be forwarded, and goes on', async () => {
    const port = await start((socket) => void socket.pipe(socket), {
      connectionLimit: 1,
      proxyProtocol: { send: 'v2' },
    });
    const secure = jest.spyOn(TlsTerminator.prototype, 'secure');
    secure.mockImplementationOnce(async function (this: TlsTerminator, socket) {
      return { ...(await this.secure(socket)), description: undefined as never };
    });
    const failed = once(proxy.server, 'tlsClientError');
    const client = await connectTls({ port, ca });
    client.on('error', () => undefined);
    await Promise.all([failed, once(client, 'close')]);
    secure.mockRestore();
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
