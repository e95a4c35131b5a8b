import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Agent, WebSocket } from 'undici';
import { deferred, eventually, readAll } from '../../test/listen.js';
import { identity, L7Bench } from '../../test/l7.js';

const bench = new L7Bench();
afterEach(() => bench.stop());

const head = 'GET /chat?a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';
const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

/** RFC 6455 §4.2.2 */
function acceptanceOf({ headers }: IncomingMessage): string {
  const nonce = headers['sec-websocket-key'] ?? '';
  return createHash('sha1').update(`${nonce}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

/** Accepts every upgrade, says `first`, and hands the connection over. */
function upgrading(
  onUpgrade: (socket: Socket, request: IncomingMessage) => void,
  { acceptance = acceptanceOf, first = Buffer.from('first') } = {},
): Server {
  const server = createServer((_request, response) => response.writeHead(403).end('no'));
  server.on('upgrade', (request, socket: Socket) => {
    socket.on('error', () => undefined).on('end', () => socket.end());
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        `Sec-WebSocket-Accept: ${acceptance(request)}\r\nSec-WebSocket-Protocol: chat\r\n\r\n`,
    );
    socket.write(first);
    onUpgrade(socket, request);
  });
  return server;
}

async function upgraded(): Promise<{ client: TLSSocket; answer: string }> {
  const client = await bench.connect();
  client.on('error', () => undefined);
  client.write(`${head}${key}\r\n`);
  let answer = '';
  while (!answer.includes('first')) answer += ((await once(client, 'data')) as [Buffer])[0].toString();
  return { client, answer };
}

describe('a WebSocket of HTTP/1.1', () => {
  it('is carried both ways, told who asks, and ended by either side', async () => {
    const asked = deferred<IncomingMessage>();
    await bench.front(
      upgrading((socket, request) => {
        asked.resolve(request);
        socket.pipe(socket);
      }),
    );
    const { client, answer } = await upgraded();
    expect(answer).toMatch(/^HTTP\/1\.1 101 [^]*sec-websocket-protocol: chat/);
    const { url, headers } = await asked.promise;
    expect(url).toBe('/chat?a');
    expect(headers).toMatchObject({
      upgrade: 'websocket',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'https',
    });
    client.end('echoed');
    expect((await readAll(client)).toString()).toBe('echoed');
    await eventually(() => bench.proxy.statistics.open === 0);
    expect(bench.proxy.statistics.answered).toEqual({ 101: 1 });
  });

  it('speaks with a client that is not ours, and a server that says what it said', async () => {
    // One unmasked text frame (RFC 6455 §5.7).
    const first = Buffer.from('\x81\x05hello', 'latin1');
    await bench.front(upgrading((socket) => void socket.resume(), { first }));
    const dispatcher = new Agent({ connect: { ca: identity.certificatePem } });
    const socket = new WebSocket(`wss://localhost:${bench.port}/`, { dispatcher, protocols: ['chat'] });
    const message = await new Promise<unknown>((resolve, reject) => {
      socket.addEventListener('message', ({ data }) => resolve(data));
      socket.addEventListener('error', () => reject(new Error('want a message, got an error')));
    });
    expect(message).toBe('hello');
    await dispatcher.destroy();
  });

  it('is refused as the upstream refuses it', async () => {
    await bench.front((_request, response) => response.writeHead(403, { 'x-why': 'closed' }).end('no'));
    const answer = await bench.send(`${head}${key}\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 403 [^]*x-why: closed[^]*no/);
    expect(answer.toLowerCase()).toContain('connection: close');
  });

  it('ends when what refuses it stands still, and the upstream is to blame', async () => {
    await bench.front((_request, response) => void response.writeHead(403, { 'content-length': 9 }).write('part'), {
      idleTimeoutMilliseconds: 200,
    });
    const client = await bench.connect();
    client.on('error', () => undefined).write(`${head}${key}\r\n`);
    await once(client.resume(), 'close');
    await eventually(() => bench.proxy.statistics.open === 0);
    expect(bench.proxy.statistics.failed).toEqual({ ERR_TLS_OFFLOAD_UPSTREAM_TIMEOUT: 1 });
    expect(bench.proxy.statistics.upstreams[0].failures).toBe(1);
  });

  it('is refused when no upstream is there', async () => {
    const url = await bench.serve(() => undefined);
    await new Promise((resolve) => bench.upstreams.pop()?.close(resolve));
    await bench.start([url]);
    expect(await bench.send(`${head}${key}\r\n`)).toMatch(/^HTTP\/1\.1 502 [^]*ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE/);
  });

  it('does not overtake a request before it', async () => {
    await bench.front(() => undefined);
    const client = await bench.connect();
    client.on('error', () => undefined).write(`GET / HTTP/1.1\r\nHost: x\r\n\r\n${head}${key}\r\n`);
    await once(client.resume(), 'close');
    await eventually(() => bench.proxy.statistics.open === 0);
  });

  it('leaves no connection for others when it is refused', async () => {
    await bench.front((_request, response) => response.end('no'));
    await bench.send(`${head}${key}\r\n`);
    await bench.ask();
    expect(bench.upstreamConnections).toBe(2);
  });

  it('takes the other side with it when one breaks', async () => {
    const sockets: Socket[] = [];
    await bench.front(upgrading((socket) => sockets.push(socket.resume())));
    const first = await upgraded();
    first.client.destroy();
    await eventually(() => sockets[0].destroyed);
    const second = await upgraded();
    sockets[1].resetAndDestroy();
    await once(second.client, 'close');
    await eventually(() => bench.proxy.statistics.open === 0);
  });

  it('ends when nothing moves', async () => {
    await bench.front(
      upgrading((socket) => void socket.resume()),
      { idleTimeoutMilliseconds: 200 },
    );
    const { client } = await upgraded();
    await once(client.resume(), 'close');
  });
});

describe('a WebSocket of HTTP/2', () => {
  async function open(fields = {}): Promise<{ stream: ClientHttp2Stream; status: unknown }> {
    const session = bench.open();
    await once(session, 'remoteSettings');
    const websocket = {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':path': '/chat',
      'sec-websocket-version': '13',
      ...fields,
    };
    const stream = session.request(websocket, { endStream: false });
    stream.on('error', () => undefined);
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    return { stream, status: headers[':status'] };
  }

  it('is asked for over HTTP/1.1', async () => {
    await bench.front(upgrading((socket) => void socket.pipe(socket)));
    const { stream, status } = await open();
    expect(status).toBe(200);
    stream.end('echoed');
    expect((await readAll(stream)).toString()).toBe('firstechoed');
    await eventually(() => bench.proxy.statistics.open === 0);
  });

  it('is refused when the upstream does not prove that it read the key', async () => {
    await bench.front(
      upgrading((socket) => void socket.resume(), { acceptance: () => 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=' }),
    );
    const { status, stream } = await open();
    expect(status).toBe(502);
    expect((await readAll(stream)).toString()).toContain('ERR_TLS_OFFLOAD_UPSTREAM_RESPONSE_INVALID');
  });

  it('is refused as the upstream refuses it', async () => {
    await bench.front((_request, response) => response.writeHead(403).end('no'));
    expect((await open()).status).toBe(403);
  });

  it('has no length of which the upstream would wait for a body', async () => {
    const lengths: unknown[] = [];
    await bench.front((request, response) => {
      lengths.push(request.headers['content-length']);
      response.writeHead(403).end('no');
    });
    expect((await open({ 'content-length': '1000' })).status).toBe(400);
    expect((await open({ 'content-length': '0' })).status).toBe(403);
    expect(lengths).toEqual([undefined]);
  });

  it('is the only thing that CONNECT is for', async () => {
    await bench.front(() => undefined);
    const stream = bench.open().request({ ':method': 'CONNECT', ':authority': 'x:22' });
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    expect(headers[':status']).toBe(405);
  });
});
