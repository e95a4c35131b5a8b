/**
 * Public keys as a token holds them (EC point, modulus and exponent) → DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7;
 * RFC 5480, RFC 8017 §A.1, RFC 8410). Node's own key import checks the numbers: a point off its curve is refused.
 */
import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { HsmError } from '../errors.js';
import { keyAlgorithms, type AsymmetricKeyAlgorithm, type KeyAlgorithm } from './key-algorithm.js';

const octetStringTag = 0x04;
const uncompressedPoint = 0x04;

/**
 * @param point  CKA_EC_POINT: a DER OCTET STRING of the point, or the bare point as some tokens give it
 * @throws {HsmError} ERR_HSM_KEY_UNSAFE when the point is not one of the curve
 */
export function ecPointToSpki(algorithm: AsymmetricKeyAlgorithm, point: Buffer): Buffer {
  const facts = keyAlgorithms[algorithm];
  if (facts.family === 'rsa') throw new HsmError('ERR_HSM_KEY_UNSAFE', `${algorithm}: want modulus and exponent`);
  const { namedCurve, coordinateBytes } = facts;
  if (facts.family === 'edwards') {
    return toSpki(algorithm, { kty: 'OKP', crv: namedCurve, x: base64Url(unwrapPoint(point, coordinateBytes)) });
  }
  const bare = unwrapPoint(point, 1 + 2 * coordinateBytes);
  if (bare[0] !== uncompressedPoint) throw notAKey(algorithm);
  const x = bare.subarray(1, 1 + coordinateBytes);
  const y = bare.subarray(1 + coordinateBytes);
  return toSpki(algorithm, { kty: 'EC', crv: namedCurve, x: base64Url(x), y: base64Url(y) });
}

/** The other way: CKA_EC_POINT, a DER OCTET STRING of the point. @throws {HsmError} ERR_HSM_ARGUMENT_INVALID */
export function spkiToEcPoint(algorithm: KeyAlgorithm, publicKey: KeyObject): Buffer {
  const facts = keyAlgorithms[algorithm];
  const { crv, x = '', y = '' } = publicKey.export({ format: 'jwk' });
  if (!('namedCurve' in facts) || crv !== facts.namedCurve) {
    throw new HsmError(
      'ERR_HSM_ARGUMENT_INVALID',
      `public key: want one of ${algorithm}, got ${crv ?? 'another kind'}`,
    );
  }
  const coordinates = [x, y].map((coordinate) => Buffer.from(coordinate, 'base64url'));
  const bare = Buffer.concat([Buffer.from(facts.family === 'ec' ? [uncompressedPoint] : []), ...coordinates]);
  const header = bare.length < 0x80 ? [octetStringTag, bare.length] : [octetStringTag, 0x81, bare.length];
  return Buffer.concat([Buffer.from(header), bare]);
}

/** @param modulus  CKA_MODULUS, big-endian @param exponent  CKA_PUBLIC_EXPONENT, big-endian */
export function rsaNumbersToSpki(modulus: Buffer, exponent: Buffer): Buffer {
  return toSpki('RSA', { kty: 'RSA', n: base64Url(modulus), e: base64Url(exponent) });
}

/** What people compare and configurations pin: SHA-256 of the DER SubjectPublicKeyInfo, 64 lower-case hexadecimal digits. */
export function fingerprint(spki: Uint8Array): string {
  return createHash('sha256').update(spki).digest('hex');
}

function unwrapPoint(point: Buffer, bareBytes: number): Buffer {
  if (point.length === bareBytes) return point;
  const headerBytes = bareBytes < 0x80 ? 2 : 3;
  const isWrapped = point.length === headerBytes + bareBytes && point[0] === octetStringTag;
  if (!isWrapped) throw notAKey(`EC point of ${point.length} bytes`);
  return point.subarray(headerBytes);
}

function toSpki(name: string, jwk: JsonWebKey): Buffer {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' });
  } catch (cause) {
    throw notAKey(name, cause);
  }
}

function notAKey(name: string, cause?: unknown): HsmError {
  return new HsmError('ERR_HSM_KEY_UNSAFE', `${name}: want a public key, got one that is not`, { cause });
}

function base64Url(bytes: Buffer): string {
  return bytes.toString('base64url');
}
