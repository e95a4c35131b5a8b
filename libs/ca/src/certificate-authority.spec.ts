import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509';
import { SoftwareToken } from '../../../test/support/software-token.js';
import { CertificateAuthority } from './certificate-authority.js';
import { openCaDatabase } from './store/typeorm/database.js';
import { TypeOrmCertificateStore } from './store/typeorm/typeorm-certificate-store.js';
import { TypeOrmCrlStore } from './store/typeorm/typeorm-crl-store.js';

const config = {
  authority: {
    root: { label: 'root', subject: { commonName: 'Test Root' }, algorithm: 'ec-p384' },
    issuing: { label: 'issuing', subject: { commonName: 'Test Issuing' }, algorithm: 'ec-p256' },
    initialize: true,
  },
  allowedNames: { dns: ['*.example.test'] },
} as const;

test('issues', async () => {
  const ds = await openCaDatabase({ type: 'better-sqlite3', database: ':memory:' });
  const token = new SoftwareToken();
  const ca = await CertificateAuthority.open({
    token,
    certificates: new TypeOrmCertificateStore(ds),
    crls: new TypeOrmCrlStore(ds),
    config: config as never,
  });
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const csr = await Pkcs10CertificateRequestGenerator.create({
    name: 'CN=a.example.test',
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: 'b.example.test' }])],
  });
  const issued = await ca.issue(Buffer.from(csr.rawData), 'tls-server');
  console.log(new X509Certificate(issued.der).toString(), new X509Certificate(issued.der).subjectAltName);
  expect(new X509Certificate(issued.der).verify(ca.issuer.publicKey)).toBe(true);
  expect((await ca.find(issued.serial)).der.equals(issued.der)).toBe(true);
  const sql = await ds.driver.createSchemaBuilder().log();
  expect(sql.upQueries).toEqual([]);
  const t0 = performance.now();
  for (let i = 0; i < 500; i++) await ca.issue(Buffer.from(csr.rawData), 'tls-server');
  console.log(500 / ((performance.now() - t0) / 1000), '/s');
  await ca.close();
  await ds.destroy();
});
