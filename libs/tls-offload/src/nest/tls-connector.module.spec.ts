import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Curl } from '../../test/curl.js';
import { credentialOf, makeIdentity } from '../../test/identity.js';
import { eventually, readAll } from '../../test/listen.js';
import { TlsConnector } from '../connector/connector.js';
import { HttpsAgent } from '../connector/https-agent.js';
import { TlsConnectorModule } from './tls-connector.module.js';
import { TlsOffloadModule } from './tls-offload.module.js';

const server = makeIdentity('ec-p256', ['localhost']);
const alice = makeIdentity('ec-p256', ['alice']);
const files = new Curl('');
const caFile = files.file('ca.pem', server.certificatePem);
const key = server.privateKey.export({ format: 'pem', type: 'pkcs8' });
const asking = { key, cert: server.certificatePem, ca: alice.certificatePem, requestCert: true };
const https = createServer(asking, ({ socket }, response) => {
  response.end(String((socket as TLSSocket).getPeerCertificate().subject.CN));
});
beforeAll(() => new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve)));
afterAll(() => {
  https.close();
  files.remove();
});

@Injectable()
class Caller {
  constructor(private readonly agent: HttpsAgent) {}

  ask(): Promise<string> {
    const { port } = https.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      const asked = get({ host: 'localhost', family: 4, port, agent: this.agent }, (response) => {
        readAll(response).then((body) => resolve(String(body)), reject);
      });
      asked.once('error', reject);
    });
  }
}

const options = { credentials: [credentialOf(alice)], caFile };

describe.each([
  ['forRoot', TlsConnectorModule.forRoot(options)],
  ['forRootAsync, beside TlsOffloadModule', TlsConnectorModule.forRootAsync({ useFactory: () => options })],
])('a Nest application that calls servers (%s)', (how, module) => {
  it('does so by the one connector that it is given, which closes with it', async () => {
    const served = TlsOffloadModule.forRoot({ credentials: [credentialOf(server)] });
    @Module({ imports: how === 'forRoot' ? [module] : [served, module], providers: [Caller] })
    class Root {}
    const app = await NestFactory.createApplicationContext(Root, { logger: false, abortOnError: false });
    const connector = app.get(TlsConnector);
    const caller = app.get(Caller);
    expect([await caller.ask(), await caller.ask()]).toEqual(['alice', 'alice']);
    expect(connector.statistics).toMatchObject({ open: 1, completed: { 'TLSv1.3': 1 } });
    await app.close();
    await expect(caller.ask()).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_CLOSED' });
    await eventually(() => connector.statistics.open === 0);
  });
});

it('a Nest application with a connector that cannot be made does not start', async () => {
  @Module({ imports: [TlsConnectorModule.forRoot({ caFile: '/nowhere' })] })
  class Root {}
  const starting = NestFactory.createApplicationContext(Root, { logger: false, abortOnError: false });
  await expect(starting).rejects.toMatchObject({ code: 'ERR_TLS_OFFLOAD_CONFIG_INVALID' });
});
