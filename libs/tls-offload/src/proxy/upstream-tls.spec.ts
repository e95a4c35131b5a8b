import type { IncomingMessage } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import type { PeerCertificate, SecureVersion, TLSSocket } from 'node:tls';
import { ClientPki } from '../../test/client-pki.js';
import { credentialOf, makeIdentity, softwareSigner } from '../../test/identity.js';
import { deferred, eventually, readAll } from '../../test/listen.js';
import { identity, L7Bench } from '../../test/l7.js';
import { createTlsOffloadServer } from '../http-server.js';
import { TlsTerminator } from '../terminator.js';

const bench = new L7Bench();
const pki = new ClientPki();
afterEach(() => bench.stop());
afterAll(() => pki.remove());

const alice = makeIdentity('ec-p256', ['alice']);
const bob = makeIdentity('rsa-2048', ['bob']);
const caFile = pki.write('upstreams.pem', identity.certificatePem);
const upstreamTls = { caFile };
const key = identity.privateKey.export({ format: 'pem', type: 'pkcs8' });
const versions = ['TLSv1.2', 'TLSv1.3'] as const;

/** Node's own server, which asks for a certificate and says whose it was. */
async function serve(version: SecureVersion = 'TLSv1.3', answer = (client: string) => client): Promise<string> {
  const ca = [alice.certificatePem, bob.certificatePem];
  const asking = { key, cert: identity.certificatePem, ca, requestCert: true };
  const server = createHttpsServer({ ...asking, minVersion: version, maxVersion: version }, (request, response) => {
    response.end(answer(clientOf(request)));
  });
  return (await bench.serve(server)).replace('http:', 'https:');
}

function clientOf({ socket }: IncomingMessage): string {
  const { subject } = (socket as TLSSocket).getPeerCertificate() as Partial<PeerCertificate>;
  return String(subject?.CN);
}

describe('an upstream that asks for a certificate', () => {
  it.each(versions)('is shown one whose key is on the token, for a connection that is kept (%s)', async (version) => {
    const signer = softwareSigner(alice);
    await bench.start([await serve(version)], { upstreamTls }, { upstreamCredentials: [credentialOf(alice, signer)] });
    for (let count = 0; count < 3; count++) expect(await bench.ask()).toMatchObject({ status: 200, body: 'alice' });
    expect((await bench.askOverHttp2({}, 'a body')).body).toBe('alice');
    expect([bench.upstreamConnections, signer.calls]).toEqual([1, 1]);
    const { upstreamTls: tls } = bench.proxy.statistics;
    expect(tls).toMatchObject({ completed: { [version]: 1 }, failed: {}, open: 1 });
  });

  it('is met as somebody else from the next request on when the certificate is replaced', async () => {
    const held = deferred<() => void>();
    const ca = [alice.certificatePem, bob.certificatePem];
    const asking = { key, cert: identity.certificatePem, ca, requestCert: true };
    const server = createHttpsServer(asking, (request, response) => {
      const finish = (): unknown => response.end(clientOf(request));
      if (request.url === '/held') held.resolve(finish);
      else finish();
    });
    const url = (await bench.serve(server)).replace('http:', 'https:');
    await bench.start([url], { upstreamTls }, { upstreamCredentials: [credentialOf(alice)] });
    const waiting = bench.ask({ path: '/held' });
    const finish = await held.promise;
    // On a second connection, which is kept.
    expect((await bench.ask()).body).toBe('alice');
    bench.proxy.setUpstreamCredentials([credentialOf(bob)]);
    expect((await bench.ask()).body).toBe('bob');
    finish();
    expect((await waiting).body).toBe('alice');
    for (let count = 0; count < 3; count++) expect((await bench.ask()).body).toBe('bob');
    expect(bench.upstreamConnections).toBe(3);
    await eventually(() => bench.proxy.statistics.upstreamTls?.open === 1);
  });

  it('is met as before when the same certificate is set again', async () => {
    const shown = credentialOf(alice);
    await bench.start([await serve()], { upstreamTls }, { upstreamCredentials: [shown] });
    for (let count = 0; count < 3; count++) {
      expect((await bench.ask()).body).toBe('alice');
      bench.proxy.setUpstreamCredentials([shown]);
    }
    expect(bench.upstreamConnections).toBe(1);
  });

  it('is asked how it is with that certificate, too', async () => {
    const healthCheck = { path: '/health', intervalMilliseconds: 20 };
    let checks = 0;
    const url = await serve('TLSv1.3', (client) => {
      checks++;
      return client;
    });
    await bench.start([url], { upstreamTls, healthCheck }, { upstreamCredentials: [credentialOf(alice)] });
    await eventually(() => checks > 2);
    expect(bench.proxy.statistics.upstreams[0].state).toBe('serving');
  });

  it('is not to blame for a token that does not sign: who asks is told to come back', async () => {
    const signer = softwareSigner(alice);
    signer.before = () => Promise.reject(new Error('the token is away'));
    const healthCheck = { path: '/', intervalMilliseconds: 10, unhealthyAfter: 1 };
    const [first, second] = [await serve(), await serve()];
    const options = { upstreamCredentials: [credentialOf(alice, signer)] };
    await bench.start([first, second], { upstreamTls, healthCheck, ejectAfter: 1 }, options);
    await eventually(() => signer.calls > 4);
    const refused = await bench.ask();
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'ERR_TLS_OFFLOAD_SIGNATURE_FAILED' });
    expect(bench.proxy.statistics.upstreams).toMatchObject([
      { state: 'serving', failures: 0 },
      { state: 'serving', failures: 0 },
    ]);
    signer.before = () => Promise.resolve();
    expect(await bench.ask()).toMatchObject({ status: 200, body: 'alice' });
  });

  it('is asked on a connection that is kept while the token is away', async () => {
    const signer = softwareSigner(alice);
    const options = { upstreamCredentials: [credentialOf(alice, signer)] };
    await bench.start([await serve(), await serve()], { upstreamTls, ejectAfter: 1 }, options);
    expect((await bench.ask()).body).toBe('alice');
    signer.before = () => Promise.reject(new Error('the token is away'));
    for (let count = 0; count < 4; count++) expect((await bench.ask()).body).toBe('alice');
    expect(signer.calls).toBeGreaterThan(1);
    expect(bench.proxy.statistics.upstreams).toMatchObject([{ failures: 0 }, { failures: 0 }]);
  });

  it('costs no more signatures at a time than it may have requests, however many are given up', async () => {
    const signed = deferred<void>();
    const signer = softwareSigner(alice);
    signer.before = () => signed.promise;
    const upstreams = [{ url: await serve(), requestLimit: 1 }];
    await bench.start([], { upstreams, upstreamTls }, { upstreamCredentials: [credentialOf(alice, signer)] });
    const asked = bench.open().request({ ':path': '/' });
    asked.on('error', () => undefined);
    await eventually(() => signer.calls === 1);
    asked.close();
    await eventually(() => bench.proxy.statistics.open === 0);
    for (let count = 0; count < 5; count++) expect((await bench.ask()).status).toBe(503);
    expect([signer.calls, bench.upstreamConnections]).toEqual([1, 1]);
    signed.resolve();
    await eventually(() => bench.proxy.statistics.upstreams[0].inFlight === 0);
    // On the connection that was made for the one that was given up.
    expect(await bench.ask()).toMatchObject({ status: 200, body: 'alice' });
    expect([signer.calls, bench.upstreamConnections]).toEqual([1, 1]);
  });

  it('is not to blame when it has no patience for the token', async () => {
    const signer = softwareSigner(alice);
    signer.before = async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      for (const socket of bench.upstreamSockets) socket.destroy();
      await new Promise(() => undefined);
    };
    const options = { upstreamCredentials: [credentialOf(alice, signer)] };
    await bench.start([await serve()], { upstreamTls, ejectAfter: 1 }, options);
    const refused = await bench.ask();
    expect(JSON.parse(refused.body)).toMatchObject({ status: 503, code: 'ERR_TLS_OFFLOAD_SIGNATURE_TIMEOUT' });
    expect(bench.proxy.statistics.upstreams).toMatchObject([{ state: 'serving', failures: 0 }]);
  });

  it.each([
    ['accepts another', [credentialOf(alice)]],
    ['gets none', []],
  ])('and %s is told of by a code of its own', async (_what, upstreamCredentials) => {
    const clientCertificates = { mode: 'required', caFile: pki.rootFile } as const;
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)], clientCertificates });
    const server = createTlsOffloadServer(terminator, (_request, response) => void response.end('never'));
    const url = (await bench.serve(server)).replace('http:', 'https:');
    await bench.start([url], { upstreamTls }, { upstreamCredentials });
    const refused = await bench.ask();
    expect(refused.status).toBe(502);
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'ERR_TLS_OFFLOAD_UPSTREAM_CERTIFICATE_REFUSED' });
    await terminator.close(0);
  });

  it('carries WebSockets over the same kind of connection', async () => {
    const url = await serve();
    const [server] = bench.upstreams;
    server.on('upgrade', (request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      socket.end(`hello ${clientOf(request)}`);
    });
    await bench.start([url], { upstreamTls }, { upstreamCredentials: [credentialOf(alice)] });
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x';
    const client = await bench.connect();
    client.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${upgrade}\r\n\r\n`);
    const said = readAll(client).then(String);
    client.end();
    expect(await said).toMatch(/^HTTP\/1\.1 101 [^]*hello alice$/);
  });
});

describe('an upstream of https that is no good', () => {
  async function startRaw(onConnection: (socket: Socket) => void): Promise<AsyncDisposable> {
    const sockets: Socket[] = [];
    const server = createTcpServer((socket) => {
      sockets.push(socket.on('error', () => undefined));
      onConnection(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await bench.start([url], { upstreamTls, connectTimeoutMilliseconds: 300 });
    return {
      [Symbol.asyncDispose]: async () => {
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  it.each<[string, (socket: Socket) => unknown, number, string]>([
    ['says nothing', () => undefined, 504, 'UPSTREAM_TIMEOUT'],
    ['leaves in its handshake', (socket) => socket.once('data', () => socket.end()), 502, 'UPSTREAM_UNAVAILABLE'],
    ['resets', (socket) => socket.once('data', () => socket.resetAndDestroy()), 502, 'UPSTREAM_UNAVAILABLE'],
    ['talks no TLS', (socket) => socket.once('data', () => socket.end('HTTP/1.1 400 No\r\n\r\n')), 502, 'UPSTREAM_UNTRUSTED'],
  ])('because it %s is told by its code', async (_what, behave, status, code) => {
    await using _upstream = await startRaw((socket) => void behave(socket));
    const answer = await bench.ask();
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toMatchObject({ status, code: `ERR_TLS_OFFLOAD_${code}` });
  }); // prettier-ignore

  it('because a CRL revokes it gets nothing, from the next connection on', async () => {
    const own = pki.client({ extensions: 'extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1\n' });
    const server = createHttpsServer({ key: own.key, cert: own.cert }, (_request, response) => response.end('secure'));
    server.keepAliveTimeout = 1;
    const url = (await bench.serve(server)).replace('http:', 'https:');
    const crlFile = pki.write('upstreams.crl', pki.crl());
    const crls = { caFile: pki.rootFile, crlFiles: [crlFile], reloadIntervalMilliseconds: 3_600_000 };
    await bench.start([url], { upstreamTls: crls, upstreamKeepAliveMilliseconds: 1 });
    expect((await bench.ask()).body).toBe('secure');
    pki.revoke(own);
    pki.write('upstreams.crl', pki.crl());
    await bench.proxy.reloadUpstreamAuthorities();
    await eventually(async () => (await bench.ask()).body.includes('ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED'));
    expect(bench.proxy.statistics.upstreamTls?.crls).toHaveLength(1);
  });

  it('because a CRL revokes it gets nothing after a restart with an older CRL either', async () => {
    const own = pki.client({ extensions: 'extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1\n' });
    const server = createHttpsServer({ key: own.key, cert: own.cert }, (_request, response) => response.end('secure'));
    const url = (await bench.serve(server)).replace('http:', 'https:');
    const before = pki.crl();
    pki.revoke(own);
    const crlFile = pki.write('kept.crl', pki.crl());
    const crls = { upstreamTls: { caFile: pki.rootFile, crlFiles: [crlFile] } };
    const options = { upstreamCrlDirectory: pki.file('kept-crls') };
    await bench.start([url], crls, options);
    await bench.proxy.close(0);
    pki.write('kept.crl', before);
    await bench.start([url], crls, options);
    expect((await bench.ask()).body).toContain('ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED');
  });
});

it.each(['.internal', 'a b', 'records.internal:443', '*.example.test', '.', ''])('%j names no upstream', async (serverName) => {
  await expect(bench.start(['https://a'], { upstreamTls: { serverName } })).rejects.toThrow(/want a host name or an address/);
}); // prettier-ignore

it('a certificate that not all upstreams would be shown is refused', async () => {
  const [shown, upstreams] = [[credentialOf(alice)], [{ url: 'https://a' }, { url: 'http://b' }]];
  const options = { upstreamCredentials: shown };
  await expect(bench.start([], { upstreams, upstreamTls }, options)).rejects.toThrow(/want https URLs.*got http:\/\/b/);
  await bench.start([], { upstreams, upstreamTls });
  expect(() => bench.proxy.setUpstreamCredentials(shown)).toThrow(/want https URLs of upstreams/);
});
