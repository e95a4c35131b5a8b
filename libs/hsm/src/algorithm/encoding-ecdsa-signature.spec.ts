import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import fc from 'fast-check';
import { ecdsaSignatureFromDer, ecdsaSignatureToDer } from './encoding-ecdsa-signature.js';

const coordinateBytes = fc.constantFrom(32, 48, 66);

test('any r and s come back from DER as they were', () => {
  fc.assert(
    fc.property(
      coordinateBytes.chain((half) => fc.uint8Array({ minLength: 2 * half, maxLength: 2 * half })),
      (raw) => {
        const back = ecdsaSignatureFromDer(ecdsaSignatureToDer(raw), raw.length / 2);
        expect(back.equals(raw)).toBe(true);
      },
    ),
  );
});

test.each([
  ['a high bit gets a zero byte before it', '80', '7f', '30070202008002017f'],
  ['leading zeros go', '00000001', '000000ff', '3007020101020200ff'],
  ['zero keeps one byte', '0000', '0000', '3006020100020100'],
])('%s', (_rule, r, s, der) => {
  expect(ecdsaSignatureToDer(Buffer.from(r + s, 'hex')).toString('hex')).toBe(der);
});

test.each([
  ['prime256v1', 32],
  ['secp384r1', 48],
  ['secp521r1', 66],
])('what OpenSSL signs on %s survives both ways, and still verifies', (namedCurve, half) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
  for (let turn = 0; turn < 50; turn++) {
    const message = randomBytes(20);
    const raw = sign('sha512', message, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    const der = ecdsaSignatureToDer(raw);
    expect(verify('sha512', message, publicKey, der)).toBe(true);
    expect(ecdsaSignatureFromDer(sign('sha512', message, privateKey), half)).toHaveLength(2 * half);
    expect(ecdsaSignatureFromDer(der, half)).toEqual(raw);
  }
});

test.each([
  ['nothing', ''],
  ['another type', '31060201010201ff'],
  ['a length that lies', '3007020101020101'],
  ['bytes after it', '300602010102010100'],
  ['a long form where the short one serves', '3081060201010201 01'.replaceAll(' ', '')],
  ['a negative integer', '3006020180020101'],
  ['a padded integer', '300702020001020101'],
  ['an integer too long for the curve', '3026022101' + '00'.repeat(32) + '020101'],
  ['an empty integer', '30050200020101'],
  ['one integer', '3003020101'],
  ['three integers', '3009020101020101020101'],
])('DER that is %s is refused', (_name, hex) => {
  expect(() => ecdsaSignatureFromDer(Buffer.from(hex, 'hex'), 32)).toThrow(/want DER/);
});

test('bytes that are no DER are refused, never misread', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 150 }), coordinateBytes, (bytes, half) => {
      try {
        const raw = ecdsaSignatureFromDer(bytes, half);
        expect(ecdsaSignatureToDer(raw).equals(bytes)).toBe(true);
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_HSM_SIGNATURE_INVALID' });
      }
    }),
  );
});

test.each([0, 1, 63, 134])('%d bytes are no r and s', (length) => {
  expect(() => ecdsaSignatureToDer(Buffer.alloc(length))).toThrow(/equal length/);
});
