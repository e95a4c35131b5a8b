import { negotiate, pemChainType } from './representation.js';

test.each([
  [undefined, 'application/json'],
  ['*/*', 'application/json'],
  ['application/json', 'application/json'],
  ['Application/PEM-Certificate-Chain', pemChainType],
  ['application/x-pem-file', pemChainType],
  ['text/html, application/pem-certificate-chain;q=0.9', pemChainType],
  ['application/json;q=1, application/pem-certificate-chain', 'application/json'],
])('%s is answered with %s', (accept, type) => {
  expect(negotiate(accept)).toBe(type);
});

test.each(['text/html', '', ';', 'application/pkix-cert'])('%j cannot be answered', (accept) => {
  expect(() => negotiate(accept)).toThrow(expect.objectContaining({ code: 'ERR_API_NOT_ACCEPTABLE' }) as Error);
});
