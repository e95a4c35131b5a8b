import { hash } from 'node:crypto';
import { derElements, type DerNode } from '../der/der-reader.js';

/**
 * The leftmost 160 bits of the SHA-256 of the public key's bits (RFC 7093 §2, method 1).
 * @param spki  DER SubjectPublicKeyInfo
 * @returns 20 octets
 */
export function keyIdentifier(spki: Buffer | DerNode): Buffer {
  const [outer] = 'content' in spki ? [spki] : derElements(spki);
  const [, publicKey] = derElements(outer.content);
  return hash('sha256', publicKey.content.subarray(1), 'buffer').subarray(0, 20);
}
