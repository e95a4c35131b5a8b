import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { perform } from '../harness/process.js';
import { makeFor, type TbsResult, type TbsTask } from './tbs.js';

/** The same certificate by the general library, which has no way to leave its signature out: P-256 in software. */
perform<TbsTask, TbsResult>(async ({ seconds }) => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const issuer = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
  const subject = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
  return makeFor(seconds, async () =>
    x509.X509CertificateGenerator.create({
      serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('hex'),
      issuer: 'CN=Bench Issuing CA',
      subject: 'CN=www.example.test',
      notBefore: new Date(),
      notAfter: new Date(Date.now() + 90 * 86_400_000),
      publicKey: subject.publicKey,
      signingKey: issuer.privateKey,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.BasicConstraintsExtension(false, undefined, true),
        await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
        new x509.AuthorityInfoAccessExtension({ caIssuers: ['http://ca.example.test/issuing.der'] }),
        new x509.CRLDistributionPointsExtension(['http://ca.example.test/crl.der']),
        await x509.SubjectKeyIdentifierExtension.create(subject.publicKey),
        new x509.SubjectAlternativeNameExtension([
          { type: 'dns', value: 'www.example.test' },
          { type: 'dns', value: 'example.test' },
        ]),
      ],
    }),
  );
});
