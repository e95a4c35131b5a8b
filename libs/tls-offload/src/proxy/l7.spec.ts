import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { connectTls, deferred, eventually, readAll } from '../../test/listen.js';
import { type Answer, identity, L7Bench } from '../../test/l7.js';
import { loadAddon } from '../addon.js';
import type { ExchangeRecord } from './l7.js';

const bench = new L7Bench();
const megabyte = 1024 * 1024;
const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

afterEach(async () => {
  await bench.stop();
  await eventually(() => loadAddon().counters().liveSessions === 0);
});

const protocols = [
  {
    protocol: 'HTTP/1.1',
    ask: (headers: Record<string, string | string[]>, body?: string | Uint8Array) => askHttp1(headers, body),
  },
  {
    protocol: 'HTTP/2',
    ask: (headers: Record<string, string | string[]>, body?: string | Uint8Array) => bench.askOverHttp2(headers, body),
  },
];

function askHttp1(headers: Record<string, string | string[]>, body?: string | Uint8Array): Promise<Answer> {
  const { ':path': path = '/', ':method': method = body === undefined ? 'GET' : 'POST', ...fields } = headers;
  delete fields[':authority'];
  if (body !== undefined && fields['content-length'] === undefined) fields['transfer-encoding'] = 'chunked';
  return bench.ask({ path: path as string, method: method as string, headers: fields }, body);
}

/** Answers with what it was asked. */
function echo(request: IncomingMessage, response: ServerResponse): void {
  void readAll(request).then((body) => {
    const { method, url, rawHeaders, headers, rawTrailers } = request;
    response.end(
      JSON.stringify({ method, url, rawHeaders, headers, rawTrailers, digest: sha256(body), bytes: body.length }),
    );
  });
}

interface Echoed {
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly digest: string;
  readonly bytes: number;
}

describe.each(protocols)('the L7 proxy over $protocol', ({ ask }) => {
  it('tells the upstream who asks, and what, byte for byte', async () => {
    await bench.front(echo);
    const spoofed = {
      'x-forwarded-for': '1.1.1.1',
      forwarded: 'for=1.1.1.1',
      'client-cert': ':AAAA:',
      client_cert: 'x',
    };
    const { status, body } = await ask({
      ':path': '/a/../b%2e?q=%00&r',
      accept: ['a', 'b'],
      'x-own': 'kept',
      ...spoofed,
    });
    expect(status).toBe(200);
    const { method, url, headers } = JSON.parse(body) as Echoed;
    expect({ method, url }).toEqual({ method: 'GET', url: '/a/../b%2e?q=%00&r' });
    const host = `localhost:${bench.port}`.replace('localhost', headers.host.split(':')[0]);
    expect(headers).toEqual({
      host,
      accept: 'a, b',
      'x-own': 'kept',
      connection: 'keep-alive',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': host,
      'x-forwarded-port': String(bench.port),
      forwarded: `for=127.0.0.1;host="${host}";proto=https`,
    });
  });

  it('believes trusted peers', async () => {
    await bench.front(echo, { trustedPeers: ['127.0.0.0/8'] });
    const { body } = await ask({ 'x-forwarded-for': '1.1.1.1', 'client-cert': ':AAAA:' });
    const { headers } = JSON.parse(body) as Echoed;
    expect(headers).toMatchObject({ 'x-forwarded-for': '1.1.1.1, 127.0.0.1', 'client-cert': ':AAAA:' });
  });

  it('refuses a Host that is not the name of the handshake', async () => {
    await bench.front(echo, { requireMatchingHost: true });
    const named = (authority: string): Promise<Answer> => ask({ host: authority, ':authority': authority });
    const refused = await named('other.example');
    expect(refused).toMatchObject({ status: 421 });
    expect(refused.body).toContain('ERR_TLS_OFFLOAD_REQUEST_MISDIRECTED');
    expect(await named('LOCALHOST:1')).toMatchObject({ status: 200 });
  });

  it('carries large bodies both ways, unchanged', async () => {
    const data = randomBytes(20 * megabyte);
    await bench.front((incoming, response) => void incoming.pipe(response));
    const { body } = await ask({ 'content-type': 'application/octet-stream' }, data);
    expect(sha256(Buffer.from(body, 'latin1'))).toBe(sha256(data));
  });

  it.each(['GET', 'DELETE', 'PUT', 'PATCH', 'OPTIONS'])('carries the body of a %s', async (method) => {
    await bench.front(echo);
    const { body } = await ask({ ':method': method }, 'a body');
    expect(JSON.parse(body)).toMatchObject({ method, bytes: 6 });
  });

  it('passes on the answer, status, repeated fields and all', async () => {
    await bench.front((_request, response) => {
      response.writeHead(418, [
        ...['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Connection', 'x-private', 'X-Private', 'no'],
        ...['Keep-Alive', 'timeout=1', 'X-Public', 'yes'],
      ]);
      response.end('short and stout');
    });
    const { status, headers, body } = await ask({});
    expect({ status, body }).toEqual({ status: 418, body: 'short and stout' });
    expect(headers).toMatchObject({ 'set-cookie': ['a=1', 'b=2'], 'x-public': 'yes' });
    expect(headers).not.toHaveProperty('x-private');
    expect(headers['keep-alive']).not.toBe('timeout=1');
  });

  it('passes on trailers of an answer', async () => {
    await bench.front((_request, response) => {
      response.writeHead(200, { trailer: 'grpc-status' });
      response.write('data');
      response.addTrailers([
        ['grpc-status', '0'],
        ['grpc-message', 'first'],
        ['grpc-message', 'last'],
        ['set-cookie', 'late=1'],
      ]);
      response.end();
    });
    const { body, trailers } = await ask({});
    expect(body).toBe('data');
    expect(Object.entries(trailers)).toEqual([
      ['grpc-status', '0'],
      ['grpc-message', 'first, last'],
    ]);
  });

  it.each([204, 304])('passes on an answer without a body (%s)', async (code) => {
    await bench.front((_request, response) => response.writeHead(code, { etag: '"x"' }).end());
    expect(await ask({})).toMatchObject({ status: code, body: '', headers: { etag: '"x"' } });
  });

  it('answers HEAD with the length of what GET has', async () => {
    await bench.front((_request, response) => response.writeHead(200, { 'content-length': '1234' }).end());
    expect(await ask({ ':method': 'HEAD' })).toMatchObject({ status: 200, headers: { 'content-length': '1234' } });
  });

  it('refuses a body beyond the limit, told or not', async () => {
    await bench.front(echo, { bodyLimitBytes: 10 });
    const refused = { status: 413, body: expect.stringContaining('ERR_TLS_OFFLOAD_REQUEST_TOO_LARGE') as string };
    expect(await ask({ 'content-length': '11' }, 'x'.repeat(11))).toMatchObject(refused);
    expect(await ask({ 'content-length': '10' }, 'x'.repeat(10))).toMatchObject({ status: 200 });
  });

  it('tells of each exchange once', async () => {
    await bench.front(echo);
    const told: ExchangeRecord[] = [];
    bench.proxy.server.on('exchange', (record: ExchangeRecord) => told.push(record));
    await ask({ ':path': '/x' }, 'four');
    await eventually(() => told.length === 1 && bench.proxy.statistics.open === 0);
    expect(told[0]).toMatchObject({
      method: 'POST',
      path: '/x',
      status: 200,
      requestBytes: 4,
      clientAddress: '127.0.0.1',
    });
    expect(bench.proxy.statistics).toMatchObject({ answered: { 200: 1 }, failed: {} });
  });
});

describe('the L7 proxy behind a load balancer that it trusts', () => {
  const trusting = { proxyProtocol: { trustedPeers: ['127.0.0.0/8'], headerTimeoutMilliseconds: 60_000 } };

  async function connectAs(header: string): Promise<TLSSocket> {
    const socket = connect({ port: bench.port, host: '127.0.0.1', noDelay: true });
    socket.on('error', () => undefined);
    socket.write(header);
    return connectTls({ port: 0, socket, ca: identity.certificatePem, ALPNProtocols: ['http/1.1'] });
  }

  it('takes the client for the one of the header', async () => {
    const records: ExchangeRecord[] = [];
    await bench.front(echo, trusting);
    bench.proxy.server.on('exchange', (record: ExchangeRecord) => records.push(record));
    const client = await connectAs('PROXY TCP6 2001:db8::1 2001:db8::2 1234 8443\r\n');
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.9.9.9\r\nConnection: close\r\n\r\n');
    const answer = (await readAll(client)).toString();
    expect(answer).toContain('"x-forwarded-for":"2001:db8::1"');
    expect(answer).toContain('"x-forwarded-port":"8443"');
    client.destroy();
    await eventually(() => records.length === 1);
    expect(records[0].clientAddress).toBe('2001:db8::1');
  });

  it('turns away who does not begin with a header', async () => {
    await bench.front(echo, trusting);
    const failed = once(bench.proxy.server, 'tlsClientError');
    await expect(bench.ask()).rejects.toThrow();
    expect((await failed)[0]).toMatchObject({ code: 'ERR_TLS_OFFLOAD_PROXY_HEADER_INVALID' });
  });

  it('takes a header from nobody else', async () => {
    await bench.front(echo, { proxyProtocol: { trustedPeers: ['192.0.2.0/24'] } });
    await expect(connectAs('PROXY TCP4 192.0.2.1 198.51.100.1 1234 443\r\n')).rejects.toThrow();
    expect((await bench.ask()).status).toBe(200);
  });
});

describe('the L7 proxy', () => {
  it('streams both ways at the same time', async () => {
    await bench.front((incoming, response) => {
      response.writeHead(200);
      incoming.on('data', (chunk: Buffer) => response.write(chunk.toString().toUpperCase()));
      incoming.on('end', () => response.end());
    });
    const stream = bench.open().request({ ':path': '/', ':method': 'POST' });
    for (const word of ['one', 'two', 'three']) {
      stream.write(word);
      const [chunk] = (await once(stream, 'data')) as [Buffer];
      expect(chunk.toString()).toBe(word.toUpperCase());
    }
    stream.end();
    await once(stream, 'close');
  });

  it('makes an upstream wait for a client that does not read', async () => {
    let sent = 0;
    await bench.front((_request, response) => {
      const pump = (): void => {
        do sent += megabyte;
        while (!response.destroyed && sent < 256 * megabyte && response.write(Buffer.alloc(megabyte)));
      };
      response.on('drain', pump);
      pump();
    });
    const client = await bench.connect();
    client.pause();
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => sent > 0);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(sent).toBeLessThan(64 * megabyte);
    client.destroy();
    await eventually(() => bench.proxy.statistics.open === 0);
  });

  it('gives up a client that does not read, and does not blame the upstream', async () => {
    const fill = (_request: IncomingMessage, response: ServerResponse): void => {
      response.on('error', () => undefined).end(Buffer.alloc(64 * megabyte));
    };
    await bench.front(fill, { idleTimeoutMilliseconds: 1_000 });
    const client = await bench.connect();
    client.on('error', () => undefined).pause();
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    bench
      .open()
      .request({ ':path': '/' })
      .on('error', () => undefined)
      .pause();
    await eventually(() => bench.proxy.statistics.failed.ERR_TLS_OFFLOAD_PEER_NOT_READING === 2);
    expect(bench.proxy.statistics.upstreams[0].failures).toBe(0);
    client.destroy();
  });

  it('makes a client wait for an upstream that does not read', async () => {
    const arrived = deferred<IncomingMessage>();
    await bench.front((incoming) => arrived.resolve(incoming));
    const client = await bench.connect();
    client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n');
    client.write(Buffer.alloc(64 * megabyte));
    (await arrived.promise).pause();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(client.writableLength).toBeGreaterThan(0);
    client.destroy();
  });

  it('passes on trailers of a request, but for those that are not its to say', async () => {
    await bench.front(echo);
    const answer = await bench.send(
      'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n' +
        '4\r\nbody\r\n0\r\nX-Sum: 1\r\nClient-Cert: :AAAA:\r\nAuthorization: x\r\n\r\n',
    );
    expect(answer).toContain('"rawTrailers":["x-sum","1"]');
  });

  it('asks for a body only when the upstream does', async () => {
    const upstream = createServer(echo);
    const events: string[] = [];
    upstream.on('checkContinue', (incoming, response) => {
      events.push('asked');
      response.writeContinue();
      upstream.emit('request', incoming, response);
    });
    await bench.front(upstream);
    const client = await bench.connect();
    client.write(
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n',
    );
    const [first] = (await once(client, 'data')) as [Buffer];
    events.push(first.toString().split('\r\n')[0]);
    client.write('body');
    expect((await readAll(client)).toString()).toContain('"bytes":4');
    expect(events).toEqual(['asked', 'HTTP/1.1 100 Continue']);
  });

  it('passes on a refusal of the body before it is sent', async () => {
    const upstream = createServer();
    upstream.on('checkContinue', (_request, response) => response.writeHead(401).end());
    await bench.front(upstream);
    const answer = await bench.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
    expect(answer.toLowerCase()).toContain('connection: close');
  });

  it('passes on early hints', async () => {
    await bench.front((_request, response) => {
      response.writeEarlyHints({ link: '</a.css>; rel=preload' }, () => response.end('done'));
    });
    const asked = request({ port: bench.port, ca: identity.certificatePem, servername: 'localhost', agent: false });
    const hinted = once(asked.end(), 'information') as Promise<[{ headers: object }]>;
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    await readAll(response);
    expect((await hinted)[0].headers).toEqual({ link: '</a.css>; rel=preload' });
  });

  it.each(protocols)('passes on early hints of any form over $protocol', async ({ ask }) => {
    await bench.front((_request, response) => {
      const hints = 'Link: </a>; rel=preload, </b>; rel="preload stylesheet"\r\nLink: nonsense\r\n';
      response.socket?.write(`HTTP/1.1 103 Early Hints\r\n${hints}\r\n`);
      response.end('done');
    });
    expect(await ask({})).toMatchObject({ status: 200, body: 'done' });
  });

  it('passes on no more early hints than a client may want', async () => {
    await bench.front((_request, response) => {
      response.socket?.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(1_000));
      response.end('done');
    });
    const answer = await bench.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(answer.match(/ 103 /g)).toHaveLength(16);
    expect(answer).toContain('done');
  });

  it('sends no early hints to a client of HTTP/1.0', async () => {
    await bench.front((_request, response) => {
      response.writeEarlyHints({ link: '</a.css>; rel=preload' }, () => response.end('done'));
    });
    expect(await bench.send('GET / HTTP/1.0\r\nHost: x\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('asks for what is pipelined one after the other', async () => {
    let atOnce = 0;
    let most = 0;
    await bench.front((_request, response) => {
      most = Math.max(most, ++atOnce);
      setTimeout(() => response.end('done', () => atOnce--), 20);
    });
    const one = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
    const answers = await bench.send(`${one.repeat(3)}GET / HTTP/1.0\r\nHost: x\r\n\r\n`);
    expect(answers.match(/HTTP\/1\.1 200 /g)).toHaveLength(4);
    expect(most).toBe(1);
  });

  it('ends a connection that pipelines beyond the limit', async () => {
    let asked = 0;
    await bench.front(() => asked++, { streamLimit: 2 });
    const client = await bench.connect();
    client.on('error', () => undefined).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100));
    await once(client.resume(), 'close');
    await eventually(() => bench.proxy.statistics.open === 0);
    expect(asked).toBeLessThan(2);
  });

  describe('of a stream that is reset without an error', () => {
    const frame = (type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer =>
      Buffer.concat([
        Buffer.from([0, payload.length >> 8, payload.length & 0xff, type, flags, 0, 0, 0, stream]),
        payload,
      ]);
    const reset = frame(3, 0, 1, Buffer.alloc(4));

    /** POST / with the first part of its body (RFC 9113 §6.1, §6.2; RFC 7541 §6.1). */
    async function begin(part: Buffer): Promise<Awaited<ReturnType<typeof connectTls>>> {
      const client = await connectTls({ port: bench.port, ca: identity.certificatePem, ALPNProtocols: ['h2'] });
      client.on('error', () => undefined).resume();
      client.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
      const head = frame(1, 4, 1, Buffer.from([0x83, 0x87, 0x84, 0x41, 1, 0x78]));
      client.write(Buffer.concat([frame(4, 0, 0), head, frame(0, 0, 1, part)]));
      return client;
    }

    it('has the request broken off', async () => {
      const arrived = deferred<boolean>();
      const isWhole = deferred<boolean>();
      await bench.front((incoming) => {
        incoming.on('error', () => undefined).once('data', () => arrived.resolve(true));
        incoming.once('close', () => isWhole.resolve(incoming.complete));
      });
      const client = await begin(Buffer.from('part'));
      await arrived.promise;
      client.write(reset);
      expect(await isWhole.promise).toBe(false);
      await eventually(() => bench.proxy.statistics.open === 0);
      expect(bench.proxy.statistics).toMatchObject({ answered: { none: 1 }, failed: {} });
      client.destroy();
    });

    it('lets an answer that comes at the same time go', async () => {
      await bench.front((_request, response) => response.writeHead(413).end('much'));
      for (let count = 0; count < 20; count++) {
        const client = await begin(Buffer.alloc(16_000));
        client.write(reset);
        await eventually(() => bench.proxy.statistics.open === 0);
        client.destroy();
      }
      expect(bench.proxy.statistics.upstreams[0].failures).toBe(0);
    });
  });

  it('gives the upstream up when the client has gone', async () => {
    let gone = deferred<boolean>();
    let begun = deferred<boolean>();
    await bench.front((incoming, response) => {
      incoming.on('error', () => undefined);
      response.once('close', () => gone.resolve(response.writableFinished));
      begun.resolve(true);
    });
    for (const leave of [
      async () => {
        const client = await bench.connect();
        client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
        await begun.promise;
        client.destroy();
      },
      async () => {
        const stream = bench.open().request({ ':path': '/' });
        stream.on('error', () => undefined);
        await begun.promise;
        stream.close(8);
      },
    ]) {
      await leave();
      expect(await gone.promise).toBe(false);
      await eventually(() => bench.proxy.statistics.open === 0);
      gone = deferred();
      begun = deferred();
    }
    expect(bench.proxy.statistics.answered).toEqual({ none: 2 });
    expect(bench.proxy.statistics.failed).toEqual({});
  });

  it('breaks an answer off that the upstream breaks off', async () => {
    await bench.front((_request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('part', () => response.socket?.resetAndDestroy());
    });
    await expect(bench.ask()).rejects.toThrow();
    await expect(bench.askOverHttp2()).rejects.toThrow();
    expect(bench.proxy.statistics.failed).toEqual({ ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE: 2 });
  });

  it('finishes what is under way when it closes', async () => {
    const asked = deferred<() => void>();
    await bench.front((_request, response) => asked.resolve(() => response.end('finished')));
    const answer = bench.ask();
    const finish = await asked.promise;
    const closed = bench.proxy.close();
    finish();
    expect(await answer).toMatchObject({ status: 200, body: 'finished' });
    await closed;
  });
});
