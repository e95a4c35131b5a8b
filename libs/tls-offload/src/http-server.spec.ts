import { once } from 'node:events';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { connect as connectTlsNow } from 'node:tls';
import { credentialOf, makeIdentity } from '../test/identity.js';
import { connectTls, deferred, eventually, readAll } from '../test/listen.js';
import { createTlsOffloadServer, type TlsOffloadServerOptions } from './http-server.js';
import type { TlsSocket } from './socket.js';
import { TlsTerminator } from './terminator.js';

const identity = makeIdentity('ec-p256', ['localhost', '127.0.0.1']);
const ca = identity.certificatePem;

describe('a plain handler behind our server', () => {
  let server: Server;
  let terminator: TlsTerminator;

  async function serve(handler: RequestListener, options: TlsOffloadServerOptions = {}): Promise<number> {
    terminator = new TlsTerminator({ credentials: [credentialOf(identity)], alpnProtocols: ['h2', 'http/1.1'] });
    server = createTlsOffloadServer(terminator, handler, { keepAliveTimeout: 100, ...options });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  }
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await terminator.close(0);
  });

  it('ends idle connections by the keep-alive time', async () => {
    const port = await serve((_req, res) => res.end('ok'));
    const client = await connectTls({ port, ca });
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const answer = (await readAll(client)).toString();
    expect(answer).toContain('Connection: keep-alive');
    expect(answer).toContain('ok');
  });

  it('lets a handler upgrade the connection', async () => {
    const port = await serve((_req, res) => res.end());
    server.on('upgrade', (_req, socket: TlsSocket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.pipe(socket);
    });
    const client = await connectTls({ port, ca });
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    await new Promise((resolve) => client.once('data', resolve));
    client.end('echoed');
    expect((await readAll(client)).toString()).toBe('echoed');
  });

  it('tells a handler that the client has gone', async () => {
    let aborted = false;
    const port = await serve((req, res) => {
      req.on('close', () => (aborted = true));
      res.write('begun');
    });
    const client = await connectTls({ port, ca });
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await new Promise((resolve) => client.once('data', resolve));
    client.destroy();
    await eventually(() => aborted && terminator.statistics.open === 0);
  });

  it('emits tlsClientError for a failed handshake', async () => {
    const port = await serve((_req, res) => res.end());
    const failed = new Promise<{ code: string }>((resolve) => server.once('tlsClientError', resolve));
    await expect(connectTls({ port, ALPNProtocols: ['smtp'] })).rejects.toThrow();
    expect((await failed).code).toBe('ERR_TLS_OFFLOAD_HANDSHAKE_FAILED');
  });

  it('ends one connection where a listener throws, and goes on', async () => {
    const port = await serve((_req, res) => res.end('ok'));
    server.once('secureConnection', () => {
      throw new Error('thrown by a listener');
    });
    const failed = once(server, 'tlsClientError') as Promise<[Error]>;
    const client = await connectTls({ port, ca });
    client.on('error', () => undefined);
    await once(client, 'close');
    expect((await failed)[0].message).toBe('thrown by a listener');
    (await connectTls({ port, ca })).destroy();
  });

  it('goes on when a connection cannot be accepted', async () => {
    const port = await serve((_req, res) => res.end('ok'));
    server.emit('error', new Error('accept EMFILE'));
    (await connectTls({ port, ca })).destroy();
  });

  describe('given connections that another server has accepted', () => {
    async function serveGiven(handler: RequestListener, options: TlsOffloadServerOptions = {}): Promise<number> {
      terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
      server = createTlsOffloadServer(terminator, handler, { keepAliveTimeout: 60_000, ...options });
      const other = createServer({ allowHalfOpen: true }, (socket) => server.emit('connection', socket));
      await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
      server.once('close', () => other.close());
      return (other.address() as AddressInfo).port;
    }
    const question = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

    it('turns clients away beyond its limit', async () => {
      const port = await serveGiven((_req, res) => res.end());
      server.maxConnections = 1;
      const first = await connectTls({ port, ca });
      const dropped = once(server, 'drop');
      await expect(connectTls({ port, ca })).rejects.toThrow();
      await dropped;
      first.destroy();
      await eventually(() => terminator.statistics.open === 0);
      (await connectTls({ port, ca })).destroy();
    });

    it('waits for a head no longer than it is told', async () => {
      const port = await serveGiven((_req, res) => res.end(), { headersTimeout: 100, connectionsCheckingInterval: 20 });
      const [silent, slow] = [await connectTls({ port, ca }), await connectTls({ port, ca })];
      slow.write(question.slice(0, 20));
      const answers = await Promise.all([readAll(silent), readAll(slow)]);
      for (const answer of answers) expect(answer.toString()).toContain('408');
    });

    it('ends idle connections when it closes, and others when they have their answer', async () => {
      const asked = deferred<ServerResponse>();
      const port = await serveGiven((req, res) => (req.url === '/slow' ? asked.resolve(res) : void res.end('quick')));
      const [idle, busy] = [await connectTls({ port, ca }), await connectTls({ port, ca })];
      idle.write(question);
      await once(idle, 'data');
      busy.write(question.replace('/', '/slow'));
      const response = await asked.promise;
      server.close();
      await readAll(idle);
      response.end('whole');
      expect((await readAll(busy)).toString()).toMatch(/connection: close[^]*whole/i);
      await eventually(() => terminator.statistics.open === 0);
    });

    it('gives a request its time when it closes, and no more', async () => {
      const port = await serveGiven((_req, res) => res.end('in time'), { headersTimeout: 1_500 });
      const [asking, silent] = [await connectTls({ port, ca }), await connectTls({ port, ca })];
      await eventually(() => terminator.statistics.open === 2);
      server.close();
      asking.write(question);
      expect((await readAll(asking)).toString()).toMatch(/connection: close[^]*in time/i);
      silent.on('error', () => undefined);
      await once(silent, 'close');
    });
  });

  describe('over HTTP/2', () => {
    let client: ClientHttp2Session;
    let raw: Socket;
    afterEach(() => client.destroy());

    function open(port: number): void {
      raw = connectTcp(port, '127.0.0.1').on('error', () => undefined);
      const socket = connectTlsNow({ socket: raw, ca, servername: 'localhost', ALPNProtocols: ['h2'] });
      client = connect('https://localhost', { createConnection: () => socket.on('error', () => undefined) });
      client.on('error', () => undefined);
    }
    async function ask(headers: Record<string, string>, body?: string): Promise<{ status: unknown; text: string }> {
      const stream: ClientHttp2Stream = client.request({ ':method': body === undefined ? 'GET' : 'POST', ...headers });
      const response = once(stream, 'response') as Promise<[Record<string, unknown>]>;
      stream.end(body);
      const text = (await readAll(stream)).toString();
      return { status: (await response)[0][':status'], text };
    }

    it('gives a handler the same as over HTTP/1.1', async () => {
      const port = await serve((req, res) => {
        const { encrypted, alpnProtocol, remoteAddress, remotePort } = req.socket as unknown as TlsSocket;
        void readAll(req).then((body) => {
          res.end(JSON.stringify({ encrypted, alpnProtocol, remoteAddress, remotePort, body: body.toString() }));
        });
      });
      open(port);
      const { text } = await ask({ ':path': '/' }, 'question');
      const { localPort: remotePort } = raw;
      const face = { encrypted: true, alpnProtocol: 'h2', remoteAddress: '127.0.0.1', remotePort };
      expect(JSON.parse(text)).toEqual({ ...face, body: 'question' });
    });

    it('asks for the body of a client that waits for it, also when nobody listens to checkContinue', async () => {
      const port = await serve((req, res) => void readAll(req).then((body) => res.end(body)));
      open(port);
      const stream = client.request({ ':path': '/', ':method': 'POST', expect: '100-continue' });
      stream.once('continue', () => stream.end('sent after all'));
      expect((await readAll(stream)).toString()).toBe('sent after all');
    });

    it('refuses CONNECT where nobody listens to it', async () => {
      open(await serve((_req, res) => res.end()));
      const stream = client.request({ ':method': 'CONNECT', ':authority': 'localhost:22' });
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      expect(headers[':status']).toBe(405);
      stream.destroy();
    });

    it('survives clients that break off in the middle of everything', async () => {
      const port = await serve((req, res) => {
        req.on('error', () => undefined).resume();
        const fill = (): void => {
          while (!res.destroyed && res.write(Buffer.alloc(65_536)));
        };
        res.on('drain', fill).on('error', () => undefined);
        fill();
      });
      const ways: ((stream: ClientHttp2Stream) => void)[] = [
        (stream) => stream.close(constants.NGHTTP2_CANCEL),
        () => client.destroy(),
        () => raw.end(),
        () => raw.resetAndDestroy(),
      ];
      for (const breakOff of ways) {
        for (let count = 0; count < 5; count++) {
          open(port);
          const stream = client.request({ ':path': '/', ':method': 'POST' });
          stream.on('error', () => undefined).write(Buffer.alloc(100_000));
          await once(stream, 'data');
          breakOff(stream);
          await new Promise((resolve) => setImmediate(resolve));
          client.destroy();
        }
      }
      await eventually(() => terminator.statistics.open === 0);
    });

    it('ends a session on which nothing moves', async () => {
      open(await serve((_req, res) => res.end('ok'), { http2: { idleTimeoutMilliseconds: 100 } }));
      expect((await ask({ ':path': '/' })).text).toBe('ok');
      await eventually(() => client.closed && terminator.statistics.open === 0);
    });

    it('finishes what is under way when it closes, and takes no more', async () => {
      const asked = deferred<ServerResponse>();
      open(await serve((_req: IncomingMessage, res) => asked.resolve(res)));
      const answer = ask({ ':path': '/' });
      const response = await asked.promise;
      const closed = new Promise((resolve) => server.close(resolve));
      await once(client, 'goaway');
      response.end('finished');
      expect(await answer).toEqual({ status: 200, text: 'finished' });
      await closed;
      expect(terminator.statistics.open).toBe(0);
    });
  });
});
