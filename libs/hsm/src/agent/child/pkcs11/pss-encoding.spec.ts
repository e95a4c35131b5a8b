import { constants, createHash, generateKeyPairSync, publicDecrypt, sign } from 'node:crypto';
import fc from 'fast-check';
import { verifyPssEncoding } from './pss-encoding.js';

const message = Buffer.from('message');
const { RSA_PKCS1_PSS_PADDING: padding, RSA_NO_PADDING } = constants;

describe.each(['sha256', 'sha384', 'sha512'] as const)('%s', (hash) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const digest = createHash(hash).update(message).digest();
  const encodedBy = (saltLength: number): Buffer => {
    const signature = sign(hash, message, { key: privateKey, padding, saltLength });
    return publicDecrypt({ key: publicKey, padding: RSA_NO_PADDING }, signature);
  };

  test('what OpenSSL encodes is accepted', () => {
    for (let turn = 0; turn < 20; turn++) {
      expect(verifyPssEncoding(hash, digest, encodedBy(digest.length))).toBe(true);
    }
  });

  test('another salt length is refused', () => {
    expect(verifyPssEncoding(hash, digest, encodedBy(digest.length - 1))).toBe(false);
    expect(verifyPssEncoding(hash, digest, encodedBy(0))).toBe(false);
  });

  test('another message is refused', () => {
    const other = createHash(hash).update('another').digest();
    expect(verifyPssEncoding(hash, other, encodedBy(digest.length))).toBe(false);
  });

  test('one flipped bit anywhere is refused', () => {
    const encoded = encodedBy(digest.length);
    fc.assert(
      fc.property(fc.nat(encoded.length * 8 - 1), (bit) => {
        const flipped = Buffer.from(encoded);
        flipped[bit >> 3] ^= 1 << (bit & 7);
        expect(verifyPssEncoding(hash, digest, flipped)).toBe(false);
      }),
    );
  });

  test('no bytes, few bytes and random bytes are refused', () => {
    expect(verifyPssEncoding(hash, digest, undefined)).toBe(false);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(verifyPssEncoding(hash, digest, Buffer.from(bytes))).toBe(false);
      }),
    );
  });
});
