import type { PublishedCrl } from '@nest-hsm/ca';
import { pemOfCrl } from './crl-pem.js';

test('a CRL is put into PEM once, however many fetch it and however slowly', () => {
  const [crl, next] = ['3000', '3100'].map((der) => ({ der: Buffer.from(der, 'hex') }) as PublishedCrl);
  expect(pemOfCrl(crl).toString()).toBe('-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n');
  expect(pemOfCrl(crl)).toBe(pemOfCrl(crl));
  expect(pemOfCrl(next)).not.toEqual(pemOfCrl(crl));
});
