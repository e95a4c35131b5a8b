import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connectTls, eventually, readAll } from '../../test/listen.js';
import { identity, L7Bench } from '../../test/l7.js';

const bench = new L7Bench();
const seen: string[] = [];

async function serve(limits: object): Promise<void> {
  await bench.front(
    (request: IncomingMessage, response) => {
      seen.push(`${request.method} ${request.url}`);
      readAll(request).then(
        (body) => response.end(`got ${body.length}`),
        () => response.destroy(),
      );
    },
    { headLimitBytes: 4_096, ...limits },
  );
}

beforeAll(() => serve({}));
afterEach(() => seen.splice(0));
afterAll(() => bench.stop());

const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';

describe('requests that two parsers may read in two ways', () => {
  it.each([
    [
      'both framings',
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    [
      'both framings, the other way',
      `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    ['two lengths', `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n${smuggled}`],
    ['the same length twice', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na'],
    ['a list of lengths', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na'],
    ['a length with a sign', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na'],
    ['a negative length', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\na'],
    ['a hexadecimal length', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na'],
    ['a length beyond numbers', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\na'],
    ['an unknown coding', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
    ['a coding that we would lose', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
    ['chunked that is not last', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n'],
    [
      'chunked twice',
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'a coding after a tab',
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\tchunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n',
    ],
    ['a vertical tab in the coding', 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n'],
    ['a coding in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a space before the colon', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\na'],
    ['a space before the name', 'POST / HTTP/1.1\r\n Host: x\r\n\r\n'],
    ['a folded line', 'GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n continued\r\n\r\n'],
    ['a name with a space', 'GET / HTTP/1.1\r\nHost: x\r\nX A: 1\r\n\r\n'],
    ['a name with a colon first', 'GET / HTTP/1.1\r\nHost: x\r\n:authority: y\r\n\r\n'],
    ['an empty name', 'GET / HTTP/1.1\r\nHost: x\r\n: 1\r\n\r\n'],
    ['a NUL in a value', 'GET / HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n'],
    ['a NUL in a name', 'GET / HTTP/1.1\r\nHost: x\r\nX\0A: b\r\n\r\n'],
    ['a bare CR in a value', `GET / HTTP/1.1\r\nHost: x\r\nX-A: a\rX-B: b\r\n\r\n`],
    ['bare LFs', 'GET / HTTP/1.1\nHost: x\n\n'],
    [
      'a bare LF after a chunk size',
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n',
    ],
    [
      'a chunk size with a prefix',
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n',
    ],
    [
      'a chunk size with a space',
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n',
    ],
    [
      'a chunk size beyond numbers',
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n',
    ],
    [
      'a chunk that is longer than it says',
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n',
    ],
    [
      'a bare LF in a chunk extension',
      'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n',
    ],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
    ['no Host in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n'],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n'],
    ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
    ['a Host with a user', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n'],
    ['a Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
    ['an encoded dot in Host', 'GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n'],
    ['a Host with a delimiter', 'GET / HTTP/1.1\r\nHost: a,b\r\n\r\n'],
    ['a quoted Host', 'GET / HTTP/1.1\r\nHost: a"b\r\n\r\n'],
    ['an absolute form with a user', 'GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n'],
    ['another scheme', 'GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a fragment', 'GET /#x HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['no path', 'GET x HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['an asterisk for GET', 'GET * HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['CONNECT', 'CONNECT x:22 HTTP/1.1\r\nHost: x:22\r\n\r\n'],
    ['an unknown method', 'HACK / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['an unknown version', 'GET / HTTP/3.7\r\nHost: x\r\n\r\n'],
    ['HTTP/2 without ALPN', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    [
      'an upgrade with a body',
      'GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello',
    ],
    ['a head beyond the limit', `GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(5_000)}\r\n\r\n`],
  ])('%s: refused, and nothing gets through', async (_what, bytes) => {
    const answer = await bench.send(bytes);
    expect(answer).toMatch(/^HTTP\/1\.1 (400|405|413|431) /);
    // What follows may be refused for itself.
    expect(answer).not.toMatch(/HTTP\/1\.1 [23]/);
    expect(seen.filter((each) => each !== 'POST /')).toEqual([]);
    await eventually(() => bench.proxy.statistics.open === 0);
  });

  it.each([
    ['names that are nominated away', 'Connection: close, Host, Content-Length, X-Own', 'POST', '4'],
    [
      'an upgrade to h2c',
      'Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA',
      'POST',
      '4',
    ],
  ])('%s: an ordinary request', async (_what, line, method, length) => {
    const answer = await bench.send(
      `${method} / HTTP/1.1\r\nHost: x\r\n${line}\r\nContent-Length: ${length}\r\n\r\nbody`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 [^]*got 4/);
  });

  it('takes the absolute form, whose authority counts', async () => {
    expect(await bench.send('GET http://a:1?q HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n')).toContain('got 0');
    expect(seen).toEqual(['GET /?q']);
  });

  it('answers pipelined requests in order', async () => {
    const one = 'GET /1 HTTP/1.1\r\nHost: x\r\n\r\n';
    const answer = await bench.send(`${one}GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(answer.match(/HTTP\/1\.1 200 /g)).toHaveLength(2);
    expect(seen).toEqual(['GET /1', 'GET /2']);
  });
});

describe('requests of HTTP/2 that HTTP/1.1 cannot have', () => {
  it.each([
    ['a Host that is not the authority', { ':authority': 'a', host: 'b' }],
    ['an authority with a user', { ':authority': 'a@b' }],
    ['a path that is none', { ':path': 'x' }],
    ['a space in the path', { ':path': '/a b' }],
    ['the end of a line in the path', { ':path': '/a\r\nX: y' }],
  ])('%s: refused', async (_what, headers) => {
    const answered = await bench.askOverHttp2(headers as Record<string, string>).catch(() => undefined);
    expect(answered?.status ?? 400).toBe(400);
    expect(seen).toEqual([]);
  });
});

describe('clients that take their time', () => {
  beforeAll(async () => {
    await bench.stop();
    await serve({ headTimeoutMilliseconds: 1_000, requestTimeoutMilliseconds: 1_000 });
  });

  it('with their goodbye after a tunnel that they do not get hold no connection', async () => {
    const ca = identity.certificatePem;
    const options = { port: bench.port, ca, ALPNProtocols: ['http/1.1'], allowHalfOpen: true };
    const client = await connectTls(options);
    client.on('error', () => undefined).write('CONNECT x:22 HTTP/1.1\r\nHost: x:22\r\n\r\n');
    await once(client.resume(), 'end');
    const held = (): Promise<number> =>
      new Promise((resolve) => bench.proxy.server.getConnections((_, count) => resolve(count)));
    await eventually(async () => (await held()) === 0);
    client.destroy();
  });

  it('with the head of a request are told so', async () => {
    expect(await bench.send('GET / HTTP/1.1\r\nHost: x\r\n')).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('with the rest of a request are told so, however much comes', async () => {
    const client = await bench.connect();
    client.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n');
    const drip = setInterval(() => client.writable && client.write('x'), 50);
    const answer = (await readAll(client)).toString();
    clearInterval(drip);
    expect(answer).toMatch(/^HTTP\/1\.1 408 [^]*ERR_TLS_OFFLOAD_REQUEST_TIMEOUT/);
    const stream = bench.open().request({ ':path': '/', ':method': 'POST' });
    stream.write('x');
    expect((await readAll(stream)).toString()).toContain('ERR_TLS_OFFLOAD_REQUEST_TIMEOUT');
    await eventually(() => bench.proxy.statistics.open === 0);
  });
});
