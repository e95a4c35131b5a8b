import { X509Certificate } from 'node:crypto';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { buildCsr } from '../../../../test/support/csr.js';
import { SoftwareToken } from '../../../../test/support/software-token.js';
import { CertificateAuthority } from '../certificate-authority.js';
import type { CaConfig } from '../config.js';
import { openCaDatabase } from '../store/typeorm/database.js';
import { CaHealthIndicator } from './ca.health.js';
import { CaModule } from './ca.module.js';

const config: CaConfig = {
  authority: {
    root: { label: 'root', subject: { commonName: 'Root' }, algorithm: 'ec-p256' },
    issuing: { label: 'issuing', subject: { commonName: 'Issuing' }, algorithm: 'ec-p256' },
    initialize: true,
  },
  allowedNames: { dns: ['*.example.test'] },
};

/** Somebody else's service. */
@Injectable()
class Enrolment {
  constructor(readonly authority: CertificateAuthority) {}

  async enrol(csr: Buffer): Promise<X509Certificate> {
    return new X509Certificate((await this.authority.issue(csr, 'tls-client', { requester: 'enrolment' })).der);
  }
}

test.each(['forRoot', 'forRootAsync'] as const)(
  'CaModule.%s gives a service its certificate authority',
  async (way) => {
    const dataSource = await openCaDatabase({ type: 'better-sqlite3', database: ':memory:' });
    const options = { hsm: new SoftwareToken(), dataSource, config };
    const module = way === 'forRoot' ? CaModule.forRoot(options) : CaModule.forRootAsync({ useFactory: () => options });

    @Module({ imports: [module], providers: [Enrolment] })
    class AppModule {}

    const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
    const enrolment = app.get(Enrolment);
    expect((await enrolment.enrol(buildCsr())).verify(enrolment.authority.issuer.publicKey)).toBe(true);

    const health = app.get(CaHealthIndicator);
    const { nextUpdate } = enrolment.authority.crl;
    expect([health.check().ca.status, health.check(nextUpdate).ca.status]).toEqual(['up', 'down']);
    await app.close();
    await expect(enrolment.enrol(buildCsr())).rejects.toMatchObject({ code: 'ERR_CA_CLOSED' });
    await dataSource.destroy();
  },
);

test('an application whose CA cannot open does not start, and says why', async () => {
  const dataSource = await openCaDatabase({ type: 'better-sqlite3', database: ':memory:' });
  const neverMade = { ...config, authority: { ...config.authority, initialize: false } };
  const module = CaModule.forRoot({ hsm: new SoftwareToken(), dataSource, config: neverMade });
  const start = NestFactory.createApplicationContext(module, { logger: false, abortOnError: false });
  await expect(start).rejects.toMatchObject({ code: 'ERR_CA_NOT_INITIALIZED' });
  await dataSource.destroy();
});
