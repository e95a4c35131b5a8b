/**
 * ECDSA signatures: r ‖ s, each padded to the curve order's length (PKCS #11, IEEE P1363), ↔ DER SEQUENCE { r, s }
 * (RFC 3279 §2.2.3). The first direction is on the hot path of every handshake and certificate, hence written out.
 */
import { HsmError } from '../errors.js';

const sequenceTag = 0x30;
const integerTag = 0x02;

/**
 * @param raw  r ‖ s, of equal length, at most 2 × 66 bytes (P-521)
 * @returns DER, in a buffer of its own
 */
export function ecdsaSignatureToDer(raw: Uint8Array): Buffer {
  const half = raw.length >>> 1;
  if (raw.length === 0 || raw.length !== half * 2 || half > 66) {
    throw new HsmError(
      'ERR_HSM_SIGNATURE_INVALID',
      `ECDSA signature: want r and s of equal length, got ${raw.length} bytes`,
    );
  }
  const rStart = firstSignificant(raw, 0, half);
  const sStart = firstSignificant(raw, half, raw.length);
  // A set high bit would make the INTEGER negative, so a zero byte goes before it.
  const rPad = raw[rStart] >>> 7;
  const sPad = raw[sStart] >>> 7;
  const rBytes = half - rStart + rPad;
  const sBytes = raw.length - sStart + sPad;
  const contentBytes = 4 + rBytes + sBytes;
  const headerBytes = contentBytes < 0x80 ? 2 : 3;

  const der = Buffer.allocUnsafe(headerBytes + contentBytes);
  let offset = 0;
  der[offset++] = sequenceTag;
  if (headerBytes === 3) der[offset++] = 0x81;
  der[offset++] = contentBytes;
  der[offset++] = integerTag;
  der[offset++] = rBytes;
  if (rPad === 1) der[offset++] = 0;
  for (let at = rStart; at < half; at++) der[offset++] = raw[at];
  der[offset++] = integerTag;
  der[offset++] = sBytes;
  if (sPad === 1) der[offset++] = 0;
  for (let at = sStart; at < raw.length; at++) der[offset++] = raw[at];
  return der;
}

/**
 * @param der  SEQUENCE { r, s } in DER: minimal lengths, minimal positive integers, nothing after it
 * @param coordinateBytes  length of the curve order: 32, 48 or 66
 * @returns r ‖ s, 2 × coordinateBytes
 * @throws {HsmError} ERR_HSM_SIGNATURE_INVALID
 */
export function ecdsaSignatureFromDer(der: Uint8Array, coordinateBytes: number): Buffer {
  const raw = Buffer.alloc(2 * coordinateBytes);
  const headerBytes = der[1] === 0x81 ? 3 : 2;
  const contentBytes = der[headerBytes - 1];
  const isMinimalLength = headerBytes === 3 ? contentBytes >= 0x80 : contentBytes < 0x80;
  if (der[0] !== sequenceTag || !isMinimalLength || der.length !== headerBytes + contentBytes) throw notDer();
  const afterR = readInteger(der, headerBytes, raw.subarray(0, coordinateBytes));
  const afterS = readInteger(der, afterR, raw.subarray(coordinateBytes));
  if (afterS !== der.length) throw notDer();
  return raw;
}

function firstSignificant(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to - 1 && bytes[at] === 0) at++;
  return at;
}

/** Reads one non-negative INTEGER, right-aligned into `target`. @returns the offset after it */
function readInteger(der: Uint8Array, at: number, target: Buffer): number {
  const length = der[at + 1];
  const start = at + 2;
  const end = start + length;
  if (der[at] !== integerTag || !(length > 0 && length < 0x80) || end > der.length) throw notDer();
  const hasPad = der[start] === 0;
  if (der[start] >= 0x80 || (hasPad && length > 1 && der[start + 1] < 0x80)) throw notDer();
  const significant = der.subarray(hasPad ? start + 1 : start, end);
  if (significant.length > target.length) throw notDer();
  target.set(significant, target.length - significant.length);
  return end;
}

function notDer(): HsmError {
  return new HsmError('ERR_HSM_SIGNATURE_INVALID', 'ECDSA signature: want DER SEQUENCE { r, s }');
}
