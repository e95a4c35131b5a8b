import { derType, negotiate, pemChainType, pkcs7Type } from './representation.js';

test.each([
  [undefined, 'application/json'],
  ['*/*', 'application/json'],
  ['application/json', 'application/json'],
  ['Application/PEM-Certificate-Chain', pemChainType],
  ['application/x-pem-file', pemChainType],
  ['text/html, application/pem-certificate-chain;q=0.9', pemChainType],
  ['application/json;q=1, application/pem-certificate-chain', 'application/json'],
  ['application/json;q=0.1, application/pem-certificate-chain; q=0.9', pemChainType],
  ['application/json;q=0, */*;q=0.1, application/pkix-cert;q=0.05', derType],
  ['application/json;q=0, application/pkix-cert;q=0.5', derType],
  ['application/pkix-cert', derType],
  ['application/pkcs7-mime; smime-type=certs-only', pkcs7Type],
])('%s is answered with %s', (accept, type) => {
  expect(negotiate(accept)).toBe(type);
});

test.each([
  'text/html',
  '',
  ';',
  'application/x-x509-ca-cert',
  'application/json;q=0',
  '*/*;q=0.0',
  'application/json;q=..',
  '__proto__',
  'constructor',
])('%j cannot be answered', (accept) => {
  expect(() => negotiate(accept)).toThrow(expect.objectContaining({ code: 'ERR_API_NOT_ACCEPTABLE' }) as Error);
});
