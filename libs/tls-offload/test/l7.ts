import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { request, type RequestOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { L7Proxy } from '../src/proxy/l7.js';
import type { L7ProxyConfig } from '../src/proxy/l7-config.js';
import type { UpstreamTlsOptions } from '../src/proxy/upstream-tls.js';
import { TlsTerminator } from '../src/terminator.js';
import { credentialOf, makeIdentity } from './identity.js';
import { connectTls, readAll } from './listen.js';

export const identity = makeIdentity('ec-p256', ['localhost', '127.0.0.1']);
const ca = identity.certificatePem;

/** Servers behind a proxy, and clients of it. */
export class L7Bench {
  readonly upstreams: Server[] = [];
  /** As the upstreams see them. */
  readonly upstreamSockets = new Set<Socket>();
  readonly #sessions: ClientHttp2Session[] = [];
  #proxy: L7Proxy | undefined;
  port = 0;

  get proxy(): L7Proxy {
    if (this.#proxy === undefined) throw new Error('want a proxy that was started');
    return this.#proxy;
  }

  get upstreamConnections(): number {
    return this.upstreamSockets.size;
  }

  /** @returns the URL of a server of HTTP/1.1 */
  async serve(handler: RequestListener | Server): Promise<string> {
    const server = typeof handler === 'function' ? createServer(handler) : handler;
    server.on('connection', (socket: Socket) => {
      this.upstreamSockets.add(socket);
      socket.on('error', () => undefined);
    });
    this.upstreams.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** A proxy in front of these URLs. */
  async start(
    urls: readonly string[],
    config: Partial<L7ProxyConfig> = {},
    options: UpstreamTlsOptions = {},
  ): Promise<void> {
    const terminator = new TlsTerminator({ credentials: [credentialOf(identity)], alpnProtocols: ['h2', 'http/1.1'] });
    this.#proxy = new L7Proxy(
      terminator,
      { upstreams: urls.map((url) => ({ url })), requireMatchingHost: false, ...config },
      options,
    );
    this.port = (await this.#proxy.listen(0, '127.0.0.1')).port;
  }

  /** A proxy in front of one handler. */
  async front(handler: RequestListener | Server, config: Partial<L7ProxyConfig> = {}): Promise<void> {
    await this.start([await this.serve(handler)], config);
  }

  async stop(): Promise<void> {
    for (const session of this.#sessions.splice(0)) session.destroy();
    await this.#proxy?.close(0);
    for (const socket of this.upstreamSockets) socket.destroy();
    this.upstreamSockets.clear();
    await Promise.all(this.upstreams.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
    this.#proxy = undefined;
  }

  /** One request of HTTP/1.1. */
  ask(options: RequestOptions = {}, body?: string | Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asked = request({
        host: '127.0.0.1',
        port: this.port,
        servername: 'localhost',
        ca,
        agent: false,
        ...options,
      });
      asked.once('error', reject);
      asked.once('response', (response) => {
        readAll(response).then((read) => {
          const { statusCode: status = 0, headers, trailers } = response;
          resolve({ status, headers, trailers, body: read.toString('latin1') });
        }, reject);
      });
      asked.end(body);
    });
  }

  /** A session of HTTP/2. */
  open(): ClientHttp2Session {
    const session = connectHttp2(`https://localhost:${this.port}`, { ca });
    session.on('error', () => undefined);
    this.#sessions.push(session);
    return session;
  }

  /** One request of HTTP/2, on a session of its own. */
  async askOverHttp2(headers: Record<string, string | string[]> = {}, body?: string | Uint8Array): Promise<Answer> {
    const method = body === undefined ? 'GET' : 'POST';
    const endStream = body === undefined;
    const stream = this.open().request({ ':path': '/', ':method': method, ...headers }, { endStream });
    let status = 0;
    let answered: IncomingMessage['headers'] = {};
    let trailers: NodeJS.Dict<string> = {};
    stream.on('response', ({ ':status': code, ...rest }) => {
      status = code ?? 0;
      answered = rest;
    });
    stream.on('trailers', (fields) => (trailers = fields as NodeJS.Dict<string>));
    // At once, a large one would exceed what Node.js lets a session hold.
    if (body !== undefined) Readable.from(slicesOf(Buffer.from(body))).pipe(stream);
    const read = await readAll(stream);
    return { status, headers: answered, trailers, body: read.toString('latin1') };
  }

  /** Writes bytes as they are, and reads until the proxy closes. */
  async send(bytes: string): Promise<string> {
    const client = await this.connect();
    client.write(bytes, 'latin1');
    return (await readAll(client)).toString('latin1');
  }

  connect(): Promise<TLSSocket> {
    return connectTls({ port: this.port, ca, ALPNProtocols: ['http/1.1'] });
  }
}

function* slicesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly trailers: NodeJS.Dict<string>;
  readonly body: string;
}
