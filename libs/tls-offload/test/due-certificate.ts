import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { BasicConstraintsExtension, Pkcs10CertificateRequest, X509CertificateGenerator } from '@peculiar/x509';

const dayMilliseconds = 24 * 60 * 60 * 1000;

/** A certificate for a request, most of its life behind it. @returns PEM */
export async function dueCertificate(csr: string): Promise<string> {
  const request = new Pkcs10CertificateRequest(csr);
  const names = request.getExtension('2.5.29.17');
  const issuer = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.create({
    subject: 'CN=due',
    issuer: 'CN=issuer',
    publicKey: request.publicKey,
    signingKey: issuer.privateKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    notBefore: new Date(Date.now() - 80 * dayMilliseconds),
    notAfter: new Date(Date.now() + 10 * dayMilliseconds),
    extensions: [new BasicConstraintsExtension(false), ...(names === null ? [] : [names])],
  });
  return certificate.toString('pem');
}
