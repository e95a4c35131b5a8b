import 'reflect-metadata';
import { Controller, Get, type INestApplication, Module, Post, type RawBodyRequest, Req } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { Agent, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Curl } from '../../test/curl.js';
import { credentialOf, makeIdentity } from '../../test/identity.js';
import { readAll } from '../../test/listen.js';
import { createTlsOffloadServer } from '../http-server.js';
import type { TlsSocket } from '../socket.js';
import { TlsTerminator } from '../terminator.js';
import { overTls } from './http-adapter.js';
import { TlsOffloadModule } from './tls-offload.module.js';

const identity = makeIdentity('ec-p256', ['localhost', '127.0.0.1']);
const curl = new Curl(identity.certificatePem);
const body = randomBytes(20 * 1024 * 1024);
const bodyFile = curl.file('body', body);
afterAll(() => curl.remove());

@Controller()
class EchoController {
  @Get('who')
  who(@Req() request: { protocol: string; ip: string; socket: TlsSocket; raw?: IncomingMessage }): object {
    const socket = (request.raw?.socket ?? request.socket) as unknown as TlsSocket;
    const { encrypted, authorized, alpnProtocol, servername } = socket;
    const { protocol, ip } = request;
    return { protocol, ip, version: socket.getProtocol(), encrypted, authorized, alpnProtocol, servername };
  }

  @Post('digest')
  digest(@Req() request: RawBodyRequest<object>): object {
    return { digest: sha256(request.rawBody ?? Buffer.alloc(0)) };
  }
}

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const origin = (app: INestApplication): string =>
  `https://localhost:${((app.getHttpServer() as Server).address() as AddressInfo).port}`;
const quiet = { logger: false, rawBody: true, abortOnError: false } as const;

async function startFastify(): Promise<INestApplication> {
  const alpnProtocols = ['h2', 'http/1.1'];
  @Module({
    imports: [
      TlsOffloadModule.forRootAsync({ useFactory: () => ({ credentials: [credentialOf(identity)], alpnProtocols }) }),
    ],
    controllers: [EchoController],
  })
  class Root {}
  const serverFactory = (handler: RequestListener): Server =>
    createTlsOffloadServer(() => app.get(TlsTerminator), handler);
  const adapter = new FastifyAdapter({ serverFactory, bodyLimit: 32 * 1024 * 1024 });
  const app = await NestFactory.create<NestFastifyApplication>(Root, adapter, quiet);
  app.useBodyParser('application/octet-stream');
  await app.listen(0, '127.0.0.1');
  return app;
}

async function startExpress(): Promise<INestApplication> {
  @Module({
    imports: [TlsOffloadModule.forRoot({ credentials: [credentialOf(identity)] })],
    controllers: [EchoController],
  })
  class Root {}
  const current = (): TlsTerminator => app.get(TlsTerminator);
  const adapter = overTls(new ExpressAdapter(), current);
  const app: NestExpressApplication = await NestFactory.create<NestExpressApplication>(Root, adapter, quiet);
  app.useBodyParser('raw', { type: 'application/octet-stream', limit: '32mb' });
  await app.listen(0, '127.0.0.1');
  return app;
}

describe.each([
  { framework: 'Fastify', start: startFastify, protocols: ['http/1.1', 'h2'] },
  { framework: 'Express', start: startExpress, protocols: ['http/1.1'] },
])('a Nest application on $framework', ({ start, protocols }) => {
  let app: INestApplication;
  let terminator: TlsTerminator;
  beforeAll(async () => {
    app = await start();
    terminator = app.get(TlsTerminator);
  });
  afterAll(async () => {
    await app.close();
    expect(terminator.statistics.open).toBe(0);
  });

  const spoken = (protocol: string): string => (protocol === 'h2' ? '--http2' : '--http1.1');

  it.each(protocols)('knows that it is secure (%s)', async (alpnProtocol) => {
    const who = JSON.parse(await curl.run(spoken(alpnProtocol), `${origin(app)}/who`)) as object;
    expect(who).toEqual({
      protocol: 'https',
      ip: '127.0.0.1',
      version: 'TLSv1.3',
      encrypted: true,
      authorized: false,
      alpnProtocol,
      servername: 'localhost',
    });
  });

  it.each(protocols)('takes a large body and an answer in either version of TLS (%s)', async (protocol) => {
    for (const version of [['--tlsv1.3'], ['--tls-max', '1.2']]) {
      const upload = ['--data-binary', `@${bodyFile}`, '-H', 'content-type: application/octet-stream'];
      const answer = await curl.run(spoken(protocol), ...version, ...upload, `${origin(app)}/digest`);
      expect(JSON.parse(answer)).toEqual({ digest: sha256(body) });
    }
  });

  it('answers many requests on one connection', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: identity.certificatePem });
    const before = terminator.statistics.completed['TLSv1.3'];
    for (let count = 0; count < 20; count++) expect((await getOnce(`${origin(app)}/who`, agent)).statusCode).toBe(200);
    expect(terminator.statistics.completed['TLSv1.3']).toBe(before + 1);
    agent.destroy();
  });

  it('survives what is not TLS', async () => {
    await expect(curl.run(`${origin(app).replace('https', 'http')}/who`)).rejects.toThrow();
    expect(await curl.run(`${origin(app)}/who`)).toContain('https');
  });
});

function getOnce(url: string, agent: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => void readAll(response).then(() => resolve(response), reject)).once(
      'error',
      reject,
    );
  });
}
