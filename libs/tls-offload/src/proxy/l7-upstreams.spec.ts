import { createServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { Curl } from '../../test/curl.js';
import { makeIdentity } from '../../test/identity.js';
import { deferred, eventually } from '../../test/listen.js';
import { identity, L7Bench } from '../../test/l7.js';
import { TlsOffloadError } from '../errors.js';
import type { UpstreamChange } from './upstream-standing.js';
import { freePort } from '../../../../test/support/server-process.js';

const bench = new L7Bench();
afterEach(() => bench.stop());

const saying =
  (word: string): RequestListener =>
  (_request, response) =>
    void response.end(word);
const states = (): string[] => bench.proxy.statistics.upstreams.map(({ state }) => state);

/** What the proxy tells of its upstreams from now on. */
function changes(): UpstreamChange[] {
  const told: UpstreamChange[] = [];
  bench.proxy.server.on('upstream', (change: UpstreamChange) => told.push(change));
  return told;
}

async function nowhere(): Promise<string> {
  return `http://127.0.0.1:${await freePort()}`;
}

describe('several upstreams', () => {
  it('share requests, the least busy first', async () => {
    const held = deferred<() => void>();
    const first = await bench.serve((_request, response) => held.resolve(() => response.end('first')));
    const second = await bench.serve(saying('second'));
    await bench.start([first, second]);
    const waiting = bench.ask();
    const finish = await held.promise;
    for (let count = 0; count < 4; count++) expect((await bench.ask()).body).toBe('second');
    finish();
    expect((await waiting).body).toBe('first');
  });

  it('take turns when none is busy, each on a connection that it keeps', async () => {
    await bench.start([await bench.serve(saying('first')), await bench.serve(saying('second'))]);
    const words = new Map<string, number>();
    for (let count = 0; count < 10; count++) {
      const { body } = await bench.ask();
      words.set(body, (words.get(body) ?? 0) + 1);
    }
    expect(Object.fromEntries(words)).toEqual({ first: 5, second: 5 });
    expect(bench.upstreamConnections).toBe(2);
  });

  it('stand in for one that is away, for what may be asked again', async () => {
    await bench.start([await nowhere(), await bench.serve(saying('here'))], { ejectAfter: 1_000 });
    for (const method of ['GET', 'PUT', 'DELETE', 'GET']) {
      expect(await bench.ask({ method }, method === 'PUT' ? 'body' : undefined)).toMatchObject({ body: 'here' });
    }
    const statuses = [
      (await bench.ask({ method: 'POST' }, 'x')).status,
      (await bench.ask({ method: 'POST' }, 'x')).status,
    ];
    expect(statuses.sort()).toEqual([200, 502]);
  });

  it('are not asked again for what has left', async () => {
    let asked = 0;
    const breaking: RequestListener = (request) => {
      asked++;
      request.socket.destroy();
    };
    await bench.start([await bench.serve(breaking), await bench.serve(breaking)]);
    expect((await bench.ask()).status).toBe(502);
    expect(asked).toBe(1);
  });

  it('are left alone for a while when they fail, and come back', async () => {
    const url = await nowhere();
    await bench.start([url, await bench.serve(saying('here'))], { ejectAfter: 2, ejectMilliseconds: 300 });
    const told = changes();
    for (let count = 0; count < 6; count++) expect((await bench.ask()).body).toBe('here');
    expect(states()).toEqual(['ejected', 'serving']);
    expect(bench.proxy.statistics.upstreams[0].failures).toBe(2);
    const back = createServer(saying('back'));
    await new Promise<void>((resolve) => back.listen(Number(new URL(url).port), '127.0.0.1', resolve));
    bench.upstreams.push(back);
    await eventually(() => states()[0] === 'serving');
    const words = new Set<string>();
    for (let count = 0; count < 4; count++) words.add((await bench.ask()).body);
    expect(words).toEqual(new Set(['here', 'back']));
    const reason = expect.stringMatching(/^upstream: want an answer, got connect ECONNREFUSED/) as string;
    expect(told).toEqual([
      { url, state: 'ejected', reason },
      { url, state: 'serving' },
    ]);
    back.closeAllConnections();
  });

  it('are all tried when all have failed', async () => {
    await bench.start([await nowhere()], { ejectAfter: 1 });
    for (let count = 0; count < 3; count++) {
      expect(await bench.ask()).toMatchObject({ status: 502 });
    }
    expect(states()).toEqual(['ejected']);
  });

  it('are asked how they are, and get nothing while it is bad', async () => {
    let status = 200;
    const flaky = await bench.serve((request, response) => {
      response.writeHead(request.url === '/health' ? status : 200).end('flaky');
    });
    const checked = { path: '/health', intervalMilliseconds: 20, timeoutMilliseconds: 2_000, unhealthyAfter: 2 };
    await bench.start([flaky, await bench.serve(saying('sound'))], { healthCheck: checked });
    const told = changes();
    status = 500;
    await eventually(() => states()[0] === 'unhealthy');
    for (let count = 0; count < 4; count++) expect((await bench.ask()).body).toBe('sound');
    status = 204;
    await eventually(() => states()[0] === 'serving');
    expect(told).toEqual([
      { url: flaky, state: 'unhealthy', reason: 'GET /health: want an answer below 400, got 500' },
      { url: flaky, state: 'serving' },
    ]);
  });

  it('are asked how they are also after an answer that is none', async () => {
    let asked = 0;
    const server = createTcpServer((socket) => {
      socket
        .on('error', () => undefined)
        .once('data', () => {
          asked++;
          socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
        });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await bench.start([url], { healthCheck: { path: '/', intervalMilliseconds: 10 } });
    await eventually(() => asked > 2);
    expect(states()).toEqual(['unhealthy']);
    await bench.stop();
    server.close();
  });

  it('may have no room', async () => {
    const held = deferred<() => void>();
    const url = await bench.serve((_request, response) => held.resolve(() => response.end('done')));
    await bench.start([], { upstreams: [{ url, requestLimit: 1 }] });
    const waiting = bench.ask();
    const finish = await held.promise;
    const refused = await bench.ask();
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(JSON.parse(refused.body)).toEqual({
      type: 'about:blank',
      title: 'Service Unavailable',
      status: 503,
      code: 'ERR_TLS_OFFLOAD_UPSTREAMS_EXHAUSTED',
    });
    finish();
    expect((await waiting).body).toBe('done');
  });
});

describe('an upstream that is at fault', () => {
  async function frontRaw(onConnection: (socket: Socket) => void, config = {}): Promise<AsyncDisposable> {
    const sockets: Socket[] = [];
    const server = createTcpServer((socket) => {
      sockets.push(socket.on('error', () => undefined));
      onConnection(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    await bench.start([`http://127.0.0.1:${(server.address() as AddressInfo).port}`], config);
    return {
      [Symbol.asyncDispose]: async () => {
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  it.each([
    ['says nothing', () => undefined, 504, 'ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT'],
    ['leaves', (socket: Socket) => socket.end(), 502, 'ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE'],
    ['talks nonsense', (socket: Socket) => socket.end('SSH-2.0\r\n'), 502, 'ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID'],
    [
      'frames its answer in two ways',
      (socket: Socket) =>
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
      502,
      'ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID',
    ],
    [
      'goes on in a protocol that nobody asked for',
      (socket: Socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'),
      502,
      'ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID',
    ],
  ])('because it %s is told by code, and by nothing else', async (_what, answer, status, code) => {
    await using _upstream = await frontRaw((socket) => socket.once('data', () => answer(socket)), {
      responseTimeoutMilliseconds: 300,
    });
    for (const answered of [await bench.ask(), await bench.askOverHttp2()]) {
      expect(answered.status).toBe(status);
      expect(JSON.parse(answered.body)).toMatchObject({ status, code });
      expect(JSON.stringify(answered)).not.toMatch(/127\.0\.0\.1|ECONN|localhost/);
    }
    expect(bench.proxy.statistics.failed).toEqual({ [code]: 2 });
  });

  it('because it stops in the middle of an answer has that broken off', async () => {
    await using _upstream = await frontRaw(
      (socket) => socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart')),
      { idleTimeoutMilliseconds: 300 },
    );
    await expect(bench.ask()).rejects.toThrow();
    expect(bench.proxy.statistics.failed).toEqual({ ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT: 1 });
  });
});

describe('an upstream of https', () => {
  const files = new Curl('');
  const caFile = files.file('ca.pem', identity.certificatePem);
  afterAll(() => files.remove());

  async function frontHttps(names: readonly string[], upstreamTls: object): Promise<void> {
    const { privateKey, certificatePem: cert } = names === own ? identity : makeIdentity('ec-p256', names);
    const key = privateKey.export({ format: 'pem', type: 'pkcs8' });
    const url = await bench.serve(createHttpsServer({ key, cert }, saying('secure')));
    await bench.start([url.replace('http:', 'https:')], { upstreamTls });
  }
  const own = ['localhost', '127.0.0.1'];

  it('is asked once it has proven its name, on a connection that is kept', async () => {
    await frontHttps(own, { caFile });
    for (let count = 0; count < 3; count++) expect(await bench.ask()).toMatchObject({ status: 200, body: 'secure' });
    expect(bench.upstreamConnections).toBe(1);
  });

  it('may be known by another name', async () => {
    await frontHttps(own, { caFile, serverName: 'localhost' });
    expect((await bench.ask()).body).toBe('secure');
  });

  it.each([
    ['under another name', own, { caFile, serverName: 'other.example' }],
    ['with a root that is not ours', ['127.0.0.1'], { caFile }],
    ['with no root that Node.js knows', own, {}],
  ])('gets nothing %s', async (_what, names, upstreamTls) => {
    await frontHttps(names, upstreamTls);
    const refused = await bench.ask({ method: 'POST' }, 'secret');
    expect(refused.status).toBe(502);
    expect(refused.body).toContain('ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED');
    expect(refused.body).not.toMatch(/other\.example|127\.0\.0\.1/);
  });

  it('gets nothing without TLS', async () => {
    const url = await bench.serve(saying('plain'));
    await bench.start([url.replace('http:', 'https:')], { upstreamTls: { caFile } });
    expect((await bench.ask()).body).toContain('ERR_TLS_OFFLOAD_UPSTREAM_UNTRUSTED');
  });
});

describe('the configuration', () => {
  it.each([
    ['no upstream', { upstreams: [] }],
    ['a path', { upstreams: [{ url: 'http://a/b' }] }],
    ['a password', { upstreams: [{ url: 'http://a:b@c' }] }],
    ['another scheme', { upstreams: [{ url: 'ftp://a' }] }],
    ['roots that are not there', { upstreams: [{ url: 'https://a' }], upstreamTls: { caFile: '/nowhere' } }],
    ['a range that is none', { upstreams: [{ url: 'http://a' }], trustedPeers: ['10.0.0.0/33'] }],
  ])('with %s is refused', async (_what, config) => {
    await expect(bench.start([], config)).rejects.toThrow(TlsOffloadError);
  });
});
