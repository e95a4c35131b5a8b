import 'reflect-metadata';
import type { Hsm } from '@nest-hsm/hsm';
import { createTlsOffloadServer, credentialFromCa, TlsTerminator } from '@nest-hsm/tls-offload';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { RequestListener } from 'node:http';

@Controller()
class GreetingController {
  @Get()
  greet(): string {
    return 'signed in the HSM';
  }
}

@Module({ controllers: [GreetingController] })
class GreetingModule {}

/** An HTTPS service whose key is made on the token and stays there, with a certificate from a nest-hsm CA. */
export async function serveHttps(hsm: Hsm, port: number): Promise<NestFastifyApplication> {
  const credential = await credentialFromCa(hsm, {
    url: process.env.CA_URL ?? 'http://127.0.0.1:8440',
    tokenFile: process.env.CA_TOKEN_FILE ?? '/run/secrets/ca-token',
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
