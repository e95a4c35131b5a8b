import { createHash, hash as hashOnce, verify } from 'node:crypto';
import { HsmError, type HsmErrorCode, type TrafficClass } from '@nest-hsm/hsm';
import { derElements } from '../der/der-reader.js';
import { tags } from '../der/der-writer.js';
import { CaError } from '../errors.js';
import { verifyOffLoop } from '../verification/verify-off-loop.js';
import type { IssuerToken, SigningAuthority } from './issuer.js';
import { encodeSigned } from './tbs-certificate.js';

/** SHA-256 of the octets to be signed, in hexadecimal: what the store commits and the token's audit line carries. */
export function digestOf(tbs: Buffer): string {
  return hashOnce('sha256', tbs, 'hex');
}

/** How the token says that it was not asked: for a moment, or until somebody mends it. */
const refusals: ReadonlyMap<string, 'momentary' | 'lasting'> = new Map<HsmErrorCode, 'momentary' | 'lasting'>([
  ['ERR_HSM_OVERLOADED', 'momentary'],
  ['ERR_HSM_THROTTLED', 'momentary'],
  ['ERR_HSM_CLOSED', 'momentary'],
  ['ERR_HSM_POLICY_DENIED', 'lasting'],
  ['ERR_HSM_AUDIT_UNAVAILABLE', 'lasting'],
  ['ERR_HSM_KEY_NOT_FOUND', 'lasting'],
  ['ERR_HSM_KEY_UNSAFE', 'lasting'],
  ['ERR_HSM_MECHANISM_UNSUPPORTED', 'lasting'],
]);

/** Whether the token was not asked, so that there is no signature. */
export function isRefusal(error: unknown): boolean {
  return error instanceof HsmError && refusals.has(error.code);
}

/** Whether the token goes on refusing until somebody mends it, unlike a line that is full for a moment. */
export function isLastingRefusal(error: unknown): error is HsmError {
  return error instanceof HsmError && refusals.get(error.code) === 'lasting';
}

/** A longer TBS, that of a CRL, is hashed here: the token's agent takes at most 1 MiB. */
const maximumMessageBytes = 65_536;

export interface SigningOptions {
  /** Default `issuance`. */
  readonly trafficClass?: TrafficClass;
  /**
   * Verified on the event loop, and not on the thread that takes many signatures at a time: to hand a single one over takes the loop as
   * long as P-256 does, and its answer longer. Default false.
   */
  readonly verifiesHere?: boolean;
}

/**
 * Signs octets on the token and verifies the signature in software before anyone sees it (SECURITY: a faulty RSA-CRT
 * signature reveals the key).
 * @throws {CaError} ERR_CA_SIGNATURE_INVALID | ERR_CA_VERIFICATION_UNAVAILABLE
 * @throws {HsmError} as `Hsm.sign`
 */
export async function signVerified(
  token: IssuerToken,
  authority: SigningAuthority,
  tbs: Buffer,
  { trafficClass = 'issuance', verifiesHere = false }: SigningOptions = {},
): Promise<Buffer> {
  const { scheme, hash } = authority.signatureAlgorithm;
  const call = { correlationId: digestOf(tbs), trafficClass };
  const isSound = verifiesHere ? isSoundHere : isSoundOffLoop;
  if (tbs.length > maximumMessageBytes) {
    const digest = createHash(hash).update(tbs).digest();
    const signature = await token.sign(authority.key, scheme, digest, { ...call, input: 'digest' });
    if (await isSound(authority, tbs, signature)) return signature;
  } else {
    // Verified here alone at first. When it is wrong the token's agent verifies as well, so that a fleet asks another member.
    for (const isVerifiedThere of [false, true]) {
      const signature = await token.sign(authority.key, scheme, tbs, { ...call, verify: isVerifiedThere });
      if (await isSound(authority, tbs, signature)) return signature;
    }
  }
  throw new CaError(
    'ERR_CA_SIGNATURE_INVALID',
    `signature of ${authority.key.label}: want one its public key verifies, got another`,
  );
}

async function isSoundOffLoop(
  { subjectPublicKeyInfo: spki, signatureAlgorithm: { hash } }: SigningAuthority,
  octets: Buffer,
  signature: Buffer,
): Promise<boolean> {
  return (await verifyOffLoop({ spki, isLasting: true, hash, isPss: false, octets, signature })) === 'sound';
}

function isSoundHere(
  { publicKey, signatureAlgorithm: { hash } }: SigningAuthority,
  octets: Buffer,
  signature: Buffer,
): boolean {
  return verify(hash, octets, publicKey, signature);
}

/**
 * The final octets, compared with what was linted: the same TBS inside, the same algorithm inside and outside, one signature.
 * @throws {CaError} ERR_CA_LINT_FAILED
 */
export function assembleSigned(tbs: Buffer, authority: SigningAuthority, signature: Buffer): Buffer {
  const { identifier } = authority.signatureAlgorithm;
  const signed = encodeSigned(tbs, identifier, signature);
  const [outer, ...behind] = derElements(signed);
  const [linted, algorithm, bits, ...rest] = derElements(outer.content);
  const isSame =
    outer.tag === tags.sequence &&
    linted.raw.equals(tbs) &&
    algorithm.raw.equals(identifier) &&
    bits.tag === tags.bitString &&
    bits.content[0] === 0 &&
    bits.content.subarray(1).equals(signature) &&
    rest.length + behind.length === 0;
  if (!isSame)
    throw new CaError(
      'ERR_CA_LINT_FAILED',
      'final octets: want the linted TBS, its algorithm and its signature, got something else',
    );
  return signed;
}
