import 'reflect-metadata';
import type { Hsm } from '@nest-hsm/hsm';
import {
  createTlsOffloadServer,
  credentialFromCa,
  HttpsAgent,
  TlsConnector,
  TlsTerminator,
} from '@nest-hsm/tls-offload';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { once } from 'node:events';
import type { IncomingMessage, RequestListener } from 'node:http';
import { get } from 'node:https';
import { text } from 'node:stream/consumers';

@Controller()
class GreetingController {
  @Get()
  greet(): string {
    return 'signed in the HSM';
  }
}

@Module({ controllers: [GreetingController] })
class GreetingModule {}

const issuer = {
  url: process.env.CA_URL ?? 'http://127.0.0.1:8440',
  tokenFile: process.env.CA_TOKEN_FILE ?? '/run/secrets/ca-token',
};

/** An HTTPS service whose key is made on the token and stays there, with a certificate from a nest-hsm CA. */
export async function serveHttps(hsm: Hsm, port: number): Promise<NestFastifyApplication> {
  const credential = await credentialFromCa(hsm, {
    ...issuer,
    dnsNames: ['localhost'],
    keyLabel: 'web',
    certificateFile: process.env.CERTIFICATE_FILE ?? '/var/lib/web/certificate.pem',
  });
  const terminator = new TlsTerminator({ credentials: [credential] });
  const serverFactory = (handler: RequestListener) => createTlsOffloadServer(terminator, handler);
  const app = await NestFactory.create<NestFastifyApplication>(GreetingModule, new FastifyAdapter({ serverFactory }));
  await app.listen(port, '127.0.0.1');
  return app;
}

/** Asks a service that wants to know who calls: a client whose key is made on the token, too. */
export async function callHttps(hsm: Hsm, url: string, caFile: string): Promise<string> {
  const certificateFile = process.env.CLIENT_CERTIFICATE_FILE ?? '/var/lib/web/client.pem';
  const client = { ...issuer, profile: 'tls-client', dnsNames: ['localhost'], keyLabel: 'client', certificateFile };
  const credential = await credentialFromCa(hsm, client, { purposes: ['client'] });
  const connector = new TlsConnector({ credentials: [credential], caFile });
  const agent = new HttpsAgent(connector);
  const [response] = (await once(get(url, { agent }), 'response')) as [IncomingMessage];
  const answer = await text(response);
  agent.destroy();
  await connector.close();
  return answer;
}
