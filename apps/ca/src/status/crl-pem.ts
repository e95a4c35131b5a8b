import { encodePem, type PublishedCrl } from '@nest-hsm/ca';

const pems = new WeakMap<PublishedCrl, Buffer>();

/** Encoded once, whoever asks: that of half a million entries has 34 MB. */
export function pemOfCrl(crl: PublishedCrl): Buffer {
  let pem = pems.get(crl);
  if (pem === undefined) pems.set(crl, (pem = Buffer.from(encodePem('X509 CRL', crl.der), 'latin1')));
  return pem;
}
