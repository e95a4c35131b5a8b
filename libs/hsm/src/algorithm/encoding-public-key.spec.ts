import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import fc from 'fast-check';
import { ecPointToSpki, rsaNumbersToSpki, spkiToEcPoint } from './encoding-public-key.js';
import { type AsymmetricKeyAlgorithm, keyAlgorithms } from './key-algorithm.js';

const pairs = {
  'ec-p256': generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
  'ec-p384': generateKeyPairSync('ec', { namedCurve: 'secp384r1' }),
  'ec-p521': generateKeyPairSync('ec', { namedCurve: 'secp521r1' }),
  ed25519: generateKeyPairSync('ed25519'),
};
const algorithms = Object.keys(pairs) as (keyof typeof pairs)[];

test.each(algorithms)('%s: point and SubjectPublicKeyInfo come from one another', (algorithm) => {
  const { publicKey } = pairs[algorithm];
  const point = spkiToEcPoint(algorithm, publicKey);
  expect(ecPointToSpki(algorithm, point)).toEqual(der(publicKey));
});

test.each(algorithms)('%s: a point without its OCTET STRING is understood too', (algorithm) => {
  const { publicKey } = pairs[algorithm];
  const { coordinateBytes, family } = keyAlgorithms[algorithm];
  const bareBytes = family === 'ec' ? 1 + 2 * coordinateBytes : coordinateBytes;
  expect(ecPointToSpki(algorithm, der(publicKey).subarray(-bareBytes))).toEqual(der(publicKey));
});

test.each([2048, 3072])('RSA-%d: modulus and exponent make the SubjectPublicKeyInfo', (modulusLength) => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength });
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
  expect(rsaNumbersToSpki(Buffer.from(n, 'base64url'), Buffer.from(e, 'base64url'))).toEqual(der(publicKey));
});

test('a point that is not on its curve is refused', () => {
  const point = spkiToEcPoint('ec-p256', pairs['ec-p256'].publicKey);
  point[point.length - 1] ^= 1;
  expect(() => ecPointToSpki('ec-p256', point)).toThrow(
    expect.objectContaining({ code: 'ERR_HSM_KEY_UNSAFE' }) as Error,
  );
});

test('a compressed or infinite point is refused', () => {
  const compressed = Buffer.concat([Buffer.of(2), Buffer.alloc(64, 1)]);
  for (const point of [compressed, Buffer.of(0), Buffer.alloc(0)]) {
    expect(() => ecPointToSpki('ec-p256', point)).toThrow(
      expect.objectContaining({ code: 'ERR_HSM_KEY_UNSAFE' }) as Error,
    );
  }
});

test('any bytes are a key or an error that says so', () => {
  const algorithm = fc.constantFrom<AsymmetricKeyAlgorithm>(...algorithms, 'rsa-2048');
  fc.assert(
    fc.property(algorithm, fc.uint8Array({ maxLength: 140 }), (name, bytes) => {
      try {
        expect(ecPointToSpki(name, Buffer.from(bytes)).length).toBeGreaterThan(40);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_HSM_KEY_UNSAFE' });
      }
    }),
  );
});

test('a public key of another curve is not taken for this one', () => {
  expect(() => spkiToEcPoint('ec-p256', pairs['ec-p384'].publicKey)).toThrow(/want one of ec-p256, got P-384/);
  expect(() => spkiToEcPoint('rsa-2048', pairs.ed25519.publicKey)).toThrow(/want one of rsa-2048/);
});

function der(publicKey: KeyObject): Buffer {
  return publicKey.export({ format: 'der', type: 'spki' });
}
