import { createHash, randomBytes } from 'node:crypto';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { connect as connectTlsNow, TLSSocket } from 'node:tls';
import { credentialOf, makeIdentity } from '../test/identity.js';
import { connectTls, deferred, eventually, listen, readAll } from '../test/listen.js';
import { loadAddon } from './addon.js';
import { TlsSocket } from './socket.js';
import { TlsTerminator } from './terminator.js';

const identity = makeIdentity('ec-p256');
const ca = identity.certificatePem;
const newTerminator = (): TlsTerminator => new TlsTerminator({ credentials: [credentialOf(identity)] });
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const megabyte = 1024 * 1024;

afterEach(async () => eventually(() => loadAddon().counters().liveSessions === 0));

/** The server's side of one connection and the client's. */
async function connected(port: number, sides: Promise<TlsSocket>): Promise<{ client: TLSSocket; server: TlsSocket }> {
  const client = await connectTls({ port, ca });
  client.on('error', () => undefined);
  return { client, server: await sides };
}

describe('a secure connection', () => {
  it('carries large bodies both ways at once, unchanged', async () => {
    const down = randomBytes(24 * megabyte);
    const up = randomBytes(24 * megabyte);
    const received = deferred<Buffer>();
    await using listener = await listen(newTerminator(), (socket) => {
      readAll(socket).then(received.resolve, received.reject);
      socket.end(down);
    });
    const client = await connectTls({ port: listener.port, ca });
    client.end(up);
    expect(sha256(await readAll(client))).toBe(sha256(down));
    expect(sha256(await received.promise)).toBe(sha256(up));
  });

  it('carries chunks of every size in order', async () => {
    const sizes = [0, 1, 5, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 200_000, 3, 0, 70_000];
    const chunks = sizes.map((size) => randomBytes(size));
    await using listener = await listen(newTerminator(), (socket) => {
      socket.cork();
      for (const chunk of chunks) socket.write(chunk);
      socket.uncork();
      socket.end();
    });
    const client = await connectTls({ port: listener.port, ca });
    expect(sha256(await readAll(client))).toBe(sha256(Buffer.concat(chunks)));
  });

  it('waits for a peer that does not read', async () => {
    const { promise, resolve } = deferred<TlsSocket>();
    await using listener = await listen(newTerminator(), resolve);
    const { client, server } = await connected(listener.port, promise);
    client.pause();
    let written = false;
    server.write(randomBytes(64 * megabyte), () => (written = true));
    await new Promise((done) => setTimeout(done, 150));
    const { raw } = server as unknown as { raw: Socket };
    expect(written).toBe(false);
    expect(raw.writableLength).toBeLessThan(megabyte);
    server.end();
    expect((await readAll(client)).length).toBe(64 * megabyte);
    expect(written).toBe(true);
  });

  it('makes a peer wait while nobody reads', async () => {
    const { promise, resolve } = deferred<TlsSocket>();
    await using listener = await listen(newTerminator(), resolve);
    const { client, server } = await connected(listener.port, promise);
    const data = randomBytes(32 * megabyte);
    client.end(data);
    await new Promise((done) => setTimeout(done, 150));
    expect(server.readableLength).toBeLessThan(megabyte);
    expect(server.bytesRead).toBeLessThan(16 * megabyte);
    expect(sha256(await readAll(server))).toBe(sha256(data));
    server.end();
  });

  it('goes on in one direction when the other has ended', async () => {
    const { promise, resolve } = deferred<TlsSocket>();
    await using listener = await listen(newTerminator(), resolve);
    const socket = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true });
    const client = connectTlsNow({ socket, ca, servername: 'localhost', allowHalfOpen: true } as never);
    const server = await promise;
    client.end('question');
    expect((await readAll(server)).toString()).toBe('question');
    expect(server.truncated).toBe(false);
    server.write('answer ');
    await new Promise((done) => setTimeout(done, 20));
    server.end('later');
    expect((await readAll(client)).toString()).toBe('answer later');
  });

  it('ends both ways for a reader that does not ask for half-open', async () => {
    const terminator = newTerminator();
    const secure = deferred<TlsSocket>();
    const server = createServer({ allowHalfOpen: true }, (raw) => void terminator.accept(raw).then(secure.resolve));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const client = await connectTls({ port: (server.address() as AddressInfo).port, ca });
    client.end();
    (await secure.promise).resume();
    await readAll(client);
    await eventually(() => terminator.statistics.open === 0);
    server.close();
  });

  it('notices an end without close_notify', async () => {
    const { promise, resolve } = deferred<TlsSocket>();
    await using listener = await listen(newTerminator(), resolve);
    const raw = connect(listener.port, '127.0.0.1');
    const client = connectTlsNow({ socket: raw, ca, servername: 'localhost' });
    client.on('error', () => undefined);
    client.write('cut sho');
    const server = await promise;
    server.once('data', () => raw.end());
    expect((await readAll(server)).toString()).toBe('cut sho');
    expect(server.truncated).toBe(true);
    server.destroy();
  });

  it('is closed without an error event when the peer resets it', async () => {
    const { promise, resolve } = deferred<TlsSocket>();
    await using listener = await listen(newTerminator(), resolve);
    const raw = connect(listener.port, '127.0.0.1');
    connectTlsNow({ socket: raw, ca, servername: 'localhost' }).on('error', () => undefined);
    const server = await promise;
    const errors: Error[] = [];
    server.on('error', (error) => errors.push(error)).resume();
    raw.resetAndDestroy();
    await eventually(() => server.destroyed);
    expect(errors).toEqual([]);
    expect(server.failure?.code).toBe('ERR_TLS_OFFLOAD_PEER_GONE');
  });

  it('is closed with an alert when a record was tampered with', async () => {
    const { promise, resolve } = deferred<TlsSocket>();
    await using listener = await listen(newTerminator(), resolve);
    let tamper = false;
    const between = createServer((near) => {
      const far = connect(listener.port, '127.0.0.1');
      near.on('data', (chunk: Buffer) => {
        if (tamper) chunk[chunk.length - 1] ^= 1;
        far.write(chunk);
      });
      far.pipe(near);
      for (const socket of [near, far]) socket.on('error', () => undefined);
    });
    await new Promise<void>((done) => between.listen(0, '127.0.0.1', done));
    const client = await connectTls({ port: (between.address() as AddressInfo).port, ca });
    const failed = new Promise<Error>((done) => client.once('error', done));
    const server = await promise;
    server.resume();
    tamper = true;
    client.write('x');
    expect((await failed).message).toMatch(/bad record mac/);
    await eventually(() => server.destroyed);
    expect(server.failure?.code).toBe('ERR_TLS_OFFLOAD_RECORD_INVALID');
    between.close();
  });

  it('fails a write that waits when it is destroyed', async () => {
    const { promise, resolve } = deferred<TlsSocket>();
    await using listener = await listen(newTerminator(), resolve);
    const { client, server } = await connected(listener.port, promise);
    client.pause();
    const outcome = new Promise<Error | null | undefined>((done) => server.write(randomBytes(64 * megabyte), done));
    await new Promise((done) => setTimeout(done, 50));
    server.destroy();
    expect(await outcome).toMatchObject({ code: 'ERR_TLS_OFFLOAD_CLOSED' });
    client.destroy();
  });

  it('works in a pipeline', async () => {
    await using listener = await listen(newTerminator(), (socket) => void pipeline(socket, new PassThrough(), socket));
    const client = await connectTls({ port: listener.port, ca });
    const data = randomBytes(3 * megabyte);
    client.end(data);
    expect(sha256(await readAll(client))).toBe(sha256(data));
  });
});

describe('the face of a TLSSocket', () => {
  it('has what frameworks ask for', async () => {
    const { promise, resolve } = deferred<TlsSocket>();
    await using listener = await listen(newTerminator(), resolve);
    const client = await connectTls({ port: listener.port, ca, ALPNProtocols: ['http/1.1'] });
    const server = await promise;
    expect(server.encrypted).toBe(true);
    expect(server.authorized).toBe(false);
    expect(server.alpnProtocol).toBe('http/1.1');
    expect(server.servername).toBe('localhost');
    expect(server.getProtocol()).toBe(client.getProtocol());
    expect(server.getCipher()).toEqual(client.getCipher());
    expect(server.getPeerCertificate()).toEqual({});
    expect(server.remoteAddress).toBe('127.0.0.1');
    expect(server.remotePort).toBe(client.localPort);
    expect(server.localPort).toBe(listener.port);
    expect(server.remoteFamily).toBe('IPv4');
    expect(server.address()).toMatchObject({ port: listener.port });
    expect(server.setNoDelay().setKeepAlive(true, 1_000).unref().ref()).toBe(server);
    client.destroy();
    server.destroy();
  });

  it('has every name that is public on both', () => {
    const names = [
      'destroySoon',
      'resetAndDestroy',
      'setTimeout',
      'address',
      'ref',
      'unref',
      'isSessionReused',
      'getPeerX509Certificate',
    ];
    for (const name of names) {
      expect(name in TLSSocket.prototype).toBe(true);
      expect(name in TlsSocket.prototype).toBe(true);
    }
  });

  it('emits timeout after idle time only', async () => {
    const { promise, resolve } = deferred<TlsSocket>();
    await using listener = await listen(newTerminator(), resolve);
    const { client, server } = await connected(listener.port, promise);
    server.resume();
    let fired = 0;
    server.setTimeout(800, () => fired++);
    let [last, longestPause] = [performance.now(), 0];
    const busy = setInterval(() => {
      longestPause = Math.max(longestPause, performance.now() - last);
      last = performance.now();
      client.write('x');
    }, 20);
    // While the machine stands still it is idle indeed.
    do {
      fired = longestPause = 0;
      await new Promise((done) => setTimeout(done, 1_200));
    } while (longestPause > 400);
    clearInterval(busy);
    expect(fired).toBe(0);
    await eventually(() => fired === 1);
    server.setTimeout(0);
    client.destroy();
    server.destroy();
  });

  it('sends everything before destroySoon destroys', async () => {
    const body = randomBytes(8 * megabyte);
    await using listener = await listen(newTerminator(), (socket) => {
      socket.write(body);
      socket.destroySoon();
    });
    const client = await connectTls({ port: listener.port, ca });
    client.write('never read');
    expect(sha256(await readAll(client))).toBe(sha256(body));
  });
});
