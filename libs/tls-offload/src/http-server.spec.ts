import 'reflect-metadata';
import { Controller, Get, Module, Post, type RawBodyRequest, Req } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { credentialOf, makeIdentity } from '../test/identity.js';
import { connectTls, eventually, readAll } from '../test/listen.js';
import { createTlsOffloadServer } from './http-server.js';
import { TlsOffloadModule } from './nest/tls-offload.module.js';
import type { TlsSocket } from './socket.js';
import { TlsTerminator } from './terminator.js';

const identity = makeIdentity('ec-p256', ['localhost', '127.0.0.1']);
const ca = identity.certificatePem;
const run = promisify(execFile);
const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-http-'));
const caFile = join(directory, 'ca.pem');
writeFileSync(caFile, ca);
afterAll(() => rmSync(directory, { recursive: true }));

async function curl(...args: string[]): Promise<string> {
  const { stdout } = await run('curl', ['--silent', '--show-error', '--cacert', caFile, '--max-time', '20', ...args], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

describe('a Nest application on Fastify behind our server', () => {
  @Controller()
  class EchoController {
    @Get('who')
    who(@Req() req: { protocol: string; ip: string; raw: IncomingMessage }): object {
      const socket = req.raw.socket as unknown as TlsSocket;
      return { protocol: req.protocol, ip: req.ip, version: socket.getProtocol(), alpn: socket.alpnProtocol };
    }

    @Post('digest')
    digest(@Req() req: RawBodyRequest<{ rawBody?: Buffer }>): object {
      return {
        digest: createHash('sha256')
          .update(req.rawBody ?? Buffer.alloc(0))
          .digest('hex'),
      };
    }
  }

  @Module({
    imports: [TlsOffloadModule.forRootAsync({ useFactory: () => ({ credentials: [credentialOf(identity)] }) })],
    controllers: [EchoController],
  })
  class AppModule {}

  let app: NestFastifyApplication;
  let url: string;
  let terminator: TlsTerminator;

  beforeAll(async () => {
    const serverFactory = (handler: RequestListener): Server =>
      createTlsOffloadServer(() => app.get(TlsTerminator), handler);
    const adapter = new FastifyAdapter({ serverFactory, bodyLimit: 32 * 1024 * 1024 });
    app = await NestFactory.create<NestFastifyApplication>(AppModule, adapter, {
      logger: false,
      rawBody: true,
      abortOnError: false,
    });
    app.useBodyParser('application/octet-stream');
    await app.listen(0, '127.0.0.1');
    url = `https://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
    terminator = app.get(TlsTerminator);
  });
  afterAll(async () => {
    await app.close();
    expect(terminator.statistics.open).toBe(0);
  });

  it('knows that it is secure', async () => {
    const who = JSON.parse(await curl(`${url}/who`)) as object;
    expect(who).toEqual({ protocol: 'https', ip: '127.0.0.1', version: 'TLSv1.3', alpn: 'http/1.1' });
  });

  it('takes a large body and an answer in either version', async () => {
    const body = randomBytes(20 * 1024 * 1024);
    const file = join(directory, 'body');
    writeFileSync(file, body);
    for (const version of ['--tlsv1.3', '--tls-max=1.2']) {
      const args = [...version.split('='), '--data-binary', `@${file}`, '-H', 'content-type: application/octet-stream'];
      const answer = JSON.parse(await curl(...args, `${url}/digest`)) as object;
      expect(answer).toEqual({ digest: createHash('sha256').update(body).digest('hex') });
    }
  });

  it('answers many requests on one connection', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca });
    const before = terminator.statistics.completed['TLSv1.3'];
    for (let count = 0; count < 20; count++) expect((await get(`${url}/who`, agent)).status).toBe(200);
    expect(terminator.statistics.completed['TLSv1.3']).toBe(before + 1);
    agent.destroy();
  });

  it('survives what is not TLS', async () => {
    await expect(curl(url.replace('https', 'http'))).rejects.toThrow();
    expect((await get(`${url}/who`)).status).toBe(200);
  });
});

describe('a plain handler behind our server', () => {
  let server: Server;
  let terminator: TlsTerminator;

  async function serve(handler: RequestListener): Promise<number> {
    terminator = new TlsTerminator({ credentials: [credentialOf(identity)] });
    server = createTlsOffloadServer(terminator, handler, { keepAliveTimeout: 100 });
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
});

function get(url: string, agent?: Agent): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    request(url, { agent, ca }, (response) => {
      readAll(response).then((body) => resolve({ status: response.statusCode, body: body.toString() }), reject);
    })
      .once('error', reject)
      .end();
  });
}
