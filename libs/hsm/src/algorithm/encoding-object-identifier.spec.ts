import { generateKeyPairSync } from 'node:crypto';
import { objectIdentifier } from './encoding-object-identifier.js';
import { keyAlgorithms } from './key-algorithm.js';

test.each([
  ['ec-p256', 'prime256v1'],
  ['ec-p384', 'secp384r1'],
  ['ec-p521', 'secp521r1'],
] as const)('%s is named as OpenSSL names it', (algorithm, namedCurve) => {
  const spki = generateKeyPairSync('ec', { namedCurve }).publicKey.export({ format: 'der', type: 'spki' });
  expect(spki.includes(objectIdentifier(keyAlgorithms[algorithm].curveOid))).toBe(true);
});

test.each([
  ['1.3.101.112', '06032b6570'],
  ['2.5.4.3', '0603550403'],
  ['1.2.840.113549.1.1.1', '06092a864886f70d010101'],
])('%s is %s', (dotted, hex) => {
  expect(objectIdentifier(dotted).toString('hex')).toBe(hex);
});
