import { generateKeyPairSync } from 'node:crypto';
import { rocaKey } from '../../../../test/support/csr.js';
import { hasRocaFingerprint, hasSmallFactor } from './roca.js';

function soundModulus(): bigint {
  const { n = '' } = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
  return BigInt(`0x${Buffer.from(n, 'base64url').toString('hex')}`);
}

test('a ROCA modulus has the fingerprint, a sound one has not', () => {
  expect(hasRocaFingerprint(rocaKey().modulus)).toBe(true);
  expect(hasRocaFingerprint(soundModulus())).toBe(false);
});

test.each([2n, 3n, 101n, 167n, 173n, 751n])('a factor of %s is seen', (factor) => {
  const modulus = soundModulus();
  expect(hasSmallFactor(modulus)).toBe(false);
  expect(hasSmallFactor(modulus * factor)).toBe(true);
});
