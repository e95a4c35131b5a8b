import { constants, createHash, generateKeyPairSync, privateEncrypt, verify } from 'node:crypto';
import { digestInfo } from './encoding-digest-info.js';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

test.each(['sha256', 'sha384', 'sha512'] as const)('%s: what CKM_RSA_PKCS makes of it, OpenSSL verifies', (hash) => {
  const message = Buffer.from('message');
  const encoded = digestInfo(hash, createHash(hash).update(message).digest());
  const signature = privateEncrypt({ key: privateKey, padding: constants.RSA_PKCS1_PADDING }, encoded);
  expect(verify(hash, message, publicKey, signature)).toBe(true);
});
