import { createHash } from 'node:crypto';

const trailer = 0xbc;

/**
 * EMSA-PSS-VERIFY (RFC 8017 §9.1.2) over a digest, for moduli of a whole number of bytes and salts as long as the digest.
 * Written out because node:crypto verifies PSS over messages only, and an agent is often given the digest.
 * @param encoded  the signature raised to the public exponent; undefined when that failed
 */
export function verifyPssEncoding(hash: string, digest: Buffer, encoded: Buffer | undefined): boolean {
  const hashBytes = digest.length;
  if (!encoded || encoded.length < 2 * hashBytes + 2 || encoded[encoded.length - 1] !== trailer) return false;
  const maskedBytes = encoded.length - hashBytes - 1;
  const masked = encoded.subarray(0, maskedBytes);
  const h = encoded.subarray(maskedBytes, encoded.length - 1);
  if ((masked[0] & 0x80) !== 0) return false;

  const block = maskGeneration(hash, h, maskedBytes);
  for (let i = 0; i < maskedBytes; i++) block[i] ^= masked[i];
  block[0] &= 0x7f;

  const paddingBytes = maskedBytes - hashBytes - 1;
  for (let i = 0; i < paddingBytes; i++) if (block[i] !== 0) return false;
  if (block[paddingBytes] !== 1) return false;
  const salt = block.subarray(paddingBytes + 1);
  return createHash(hash).update(Buffer.alloc(8)).update(digest).update(salt).digest().equals(h);
}

/** MGF1 (RFC 8017 §B.2.1). */
function maskGeneration(hash: string, seed: Buffer, byteLength: number): Buffer {
  const parts: Buffer[] = [];
  const counter = Buffer.alloc(4);
  for (let made = 0; made < byteLength; made += parts[0].length) {
    counter.writeUInt32BE(parts.length);
    parts.push(createHash(hash).update(seed).update(counter).digest());
  }
  return Buffer.concat(parts).subarray(0, byteLength);
}
