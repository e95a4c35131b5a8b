import { DerError, type DerNode, parseDer } from '../der/der-reader.js';
import { tags } from '../der/der-writer.js';
import { decodeOid, oids } from '../der/oid.js';
import { CaError } from '../errors.js';
import type { SubjectKeyKind } from '../profile/key-usage.js';
import type { VerificationKey } from '../issuance/signature-fault.js';
import type { Profile } from '../profile/profile.js';
import { loadPublicKey } from '../verification/signature-checker.js';
import { hasClosePrimes } from './close-primes.js';
import { hasRocaFingerprint, hasSmallFactor } from './roca.js';

const minimumModulusBits = 2048;
/** Above it a verification costs more than a request is worth. */
const maximumModulusBits = 8192;
/** FIPS 186-5 §A.1.1: 2^16 < e < 2^256, odd. */
const minimumExponent = 65537n;
const maximumExponentBits = 256;

/** Octets of an uncompressed point: 04 ‖ x ‖ y (RFC 5480 §2.2). */
const curves: Readonly<Record<string, { readonly kind: SubjectKeyKind; readonly pointBytes: number }>> = {
  [oids.secp256r1]: { kind: 'ec-p256', pointBytes: 65 },
  [oids.secp384r1]: { kind: 'ec-p384', pointBytes: 97 },
  [oids.secp521r1]: { kind: 'ec-p521', pointBytes: 133 },
};

/** A public key that may be certified. */
export interface AcceptedKey extends VerificationKey {
  readonly kind: SubjectKeyKind;
  /** Of an RSA key. */
  readonly modulusBits?: number;
}

/**
 * A public key that comes with no signature of its own, if it is one that may be certified.
 * @throws {CaError} as `readPublicKey`
 */
export function acceptPublicKey(spki: DerNode): AcceptedKey {
  const key = readPublicKey(spki);
  try {
    loadPublicKey(key.spki);
  } catch (error) {
    throw new CaError('ERR_CA_CSR_MALFORMED', 'public key: want one OpenSSL can load', { cause: error });
  }
  return key;
}

/**
 * The public key of a request, if it is one that may be certified: RSA of 2048 to 8192 bits without known weakness, EC on
 * P-256, P-384 or P-521 named and uncompressed, or Ed25519. Whoever verifies with it next finds whether an EC point lies on its curve.
 * @param node  SubjectPublicKeyInfo (RFC 5280 §4.1.2.7)
 * @throws {CaError} ERR_CA_KEY_UNSUPPORTED | ERR_CA_KEY_WEAK | ERR_CA_CSR_MALFORMED
 */
export function readPublicKey({ children, raw: spki }: DerNode): AcceptedKey {
  const [algorithm, bits, ...rest] = children;
  if (algorithm?.tag !== tags.sequence || bits?.tag !== tags.bitString || rest.length > 0 || bits.content[0] !== 0)
    malformed('want SubjectPublicKeyInfo');
  const [type, parameters, ...more] = algorithm.children;
  if (type?.tag !== tags.oid || more.length > 0) malformed('want an AlgorithmIdentifier in SubjectPublicKeyInfo');
  const key = bits.content.subarray(1);
  const oid = decodeOid(type.content);
  switch (oid) {
    case oids.rsaEncryption:
      if (parameters?.tag !== tags.null) malformed('want NULL parameters of an RSA key');
      return { kind: 'rsa', type: 'rsa', modulusBits: assertSoundRsa(key), spki };
    case oids.ecPublicKey:
      return { kind: namedCurve(parameters, key), type: 'ec', spki };
    case oids.ed25519:
      if (parameters !== undefined || key.length !== 32)
        malformed('want an Ed25519 key of 32 octets without parameters');
      return { kind: 'ed25519', type: 'ed25519', spki };
    default:
      throw new CaError('ERR_CA_KEY_UNSUPPORTED', `public key: want RSA, EC or Ed25519, got algorithm ${oid}`);
  }
}

/**
 * Holds a key against what a profile is for.
 * @throws {CaError} ERR_CA_KEY_UNSUPPORTED | ERR_CA_KEY_WEAK
 */
export function assertKeyFits({ name, keys, minimumRsaBits }: Profile, { kind, modulusBits }: AcceptedKey): void {
  if (!keys.includes(kind))
    throw new CaError('ERR_CA_KEY_UNSUPPORTED', `public key: want ${keys.join(', ')} for profile ${name}, got ${kind}`);
  if (modulusBits !== undefined && modulusBits < minimumRsaBits)
    weak(`want a modulus of at least ${minimumRsaBits} bits for profile ${name}, got ${modulusBits}`);
}

/** @returns bits of the modulus */
function assertSoundRsa(der: Buffer): number {
  const [modulusNode, exponentNode] = readRsaPublicKey(der);
  const modulusBits = bitLength(modulusNode.content);
  if (modulusBits % 8 !== 0) weak(`want a modulus of whole octets (CABF BR §6.1.5), got ${modulusBits} bits`);
  if (modulusBits < minimumModulusBits || modulusBits > maximumModulusBits) {
    weak(`want a modulus of ${minimumModulusBits} to ${maximumModulusBits} bits, got ${modulusBits}`);
  }
  if (bitLength(exponentNode.content) > maximumExponentBits)
    weak(`want an exponent of at most ${maximumExponentBits} bits`);
  const exponent = toBigInt(exponentNode.content);
  if (exponent < minimumExponent || exponent % 2n === 0n)
    weak(`want an odd exponent of at least ${minimumExponent}, got ${exponent}`);
  const modulus = toBigInt(modulusNode.content);
  if (hasSmallFactor(modulus)) weak('want a modulus without small factors');
  if (hasRocaFingerprint(modulus)) weak('want a modulus without the ROCA fingerprint (CVE-2017-15361)');
  if (hasClosePrimes(modulus)) weak('want a modulus whose primes are not close together (CVE-2022-26320)');
  return modulusBits;
}

function readRsaPublicKey(der: Buffer): readonly DerNode[] {
  try {
    const { tag, children } = parseDer(der);
    const positive = children.every((child) => child.tag === tags.integer && child.content[0] < 0x80);
    if (tag === tags.sequence && children.length === 2 && positive) return children;
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
  }
  return malformed('want RSAPublicKey: two positive integers');
}

function namedCurve(parameters: DerNode | undefined, point: Buffer): SubjectKeyKind {
  const curve = parameters?.tag === tags.oid ? decodeOid(parameters.content) : 'explicit parameters';
  if (!Object.hasOwn(curves, curve))
    throw new CaError('ERR_CA_KEY_UNSUPPORTED', `public key: want the named curve P-256, P-384 or P-521, got ${curve}`);
  const { kind, pointBytes } = curves[curve];
  if (point[0] !== 4 || point.length !== pointBytes) malformed(`want an uncompressed point of ${pointBytes} octets`);
  return kind;
}

function bitLength(magnitude: Buffer): number {
  const first = magnitude.findIndex((octet) => octet !== 0);
  return first < 0 ? 0 : (magnitude.length - first) * 8 - Math.clz32(magnitude[first]) + 24;
}

const toBigInt = (magnitude: Buffer): bigint => BigInt(`0x${magnitude.toString('hex')}`);

function weak(message: string): never {
  throw new CaError('ERR_CA_KEY_WEAK', `RSA key: ${message}`);
}

function malformed(message: string): never {
  throw new CaError('ERR_CA_CSR_MALFORMED', `CSR: ${message}`);
}
