import type { KeyObject } from 'node:crypto';
import type { DerNode } from '../der/der-reader.js';
import { decodeOid, oids } from '../der/oid.js';
import { tags } from '../der/der-writer.js';
import { CaError } from '../errors.js';
import { verifyOffLoop } from '../verification/verify-off-loop.js';
import { pssHashOf } from './rsassa-pss.js';

/** A public key that need not be loaded here. */
export interface VerificationKey {
  /** As `KeyObject.asymmetricKeyType` says it. */
  readonly type: KeyObject['asymmetricKeyType'];
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
}

interface Scheme {
  readonly keyType: 'rsa' | 'ec' | 'ed25519';
  /** Null where the scheme hashes by itself. */
  readonly hash: string | null;
  /** RFC 4055 §5 wants NULL, RFC 5758 §3.2 and RFC 8410 §3 want nothing. */
  readonly parameters: 'null' | 'absent';
  readonly isPss?: boolean;
}

/** Signatures of others that are accepted; SHA-1 and older are not. */
const schemes: Readonly<Record<string, Scheme>> = {
  [oids.sha256WithRSAEncryption]: { keyType: 'rsa', hash: 'sha256', parameters: 'null' },
  [oids.sha384WithRSAEncryption]: { keyType: 'rsa', hash: 'sha384', parameters: 'null' },
  [oids.sha512WithRSAEncryption]: { keyType: 'rsa', hash: 'sha512', parameters: 'null' },
  [oids.ecdsaWithSHA256]: { keyType: 'ec', hash: 'sha256', parameters: 'absent' },
  [oids.ecdsaWithSHA384]: { keyType: 'ec', hash: 'sha384', parameters: 'absent' },
  [oids.ecdsaWithSHA512]: { keyType: 'ec', hash: 'sha512', parameters: 'absent' },
  [oids.ed25519]: { keyType: 'ed25519', hash: null, parameters: 'absent' },
};

export interface Signed {
  /** What was signed. */
  readonly octets: Buffer;
  /** AlgorithmIdentifier. */
  readonly algorithm: DerNode;
  readonly signature: Buffer;
}

/**
 * What is wrong with somebody else's signature, as "want X, got Y"; undefined when it was made with the key.
 * @throws {CaError} ERR_CA_CSR_MALFORMED when OpenSSL cannot load the key | ERR_CA_VERIFICATION_UNAVAILABLE
 */
export async function signatureFault(signed: Signed, { type, spki }: VerificationKey): Promise<string | undefined> {
  const scheme = schemeOf(signed.algorithm);
  if (typeof scheme === 'string') return scheme;
  const { keyType, hash, isPss = false } = scheme;
  if (type !== keyType) return `want an algorithm of a key of type ${type}, got one of ${keyType}`;
  const { octets, signature } = signed;
  switch (await verifyOffLoop({ spki, isLasting: false, hash, isPss, octets, signature })) {
    case 'sound':
      return undefined;
    case 'key-unusable':
      throw new CaError('ERR_CA_CSR_MALFORMED', 'public key: want one OpenSSL can load');
    case 'unsound':
      return 'want one made with the private key of the certificate or request, got another';
  }
}

export function verificationKeyOf(key: KeyObject): VerificationKey {
  return { type: key.asymmetricKeyType, spki: key.export({ format: 'der', type: 'spki' }) };
}

function schemeOf(identifier: DerNode): Scheme | string {
  const [type, parameters, ...rest] = identifier.children;
  if (type?.tag !== tags.oid || rest.length > 0) return 'want an AlgorithmIdentifier';
  const oid = decodeOid(type.content);
  if (oid === oids.rsassaPss) {
    const hash = pssHashOf(parameters?.raw ?? Buffer.alloc(0));
    if (hash !== undefined) return { keyType: 'rsa', hash, parameters: 'absent', isPss: true };
    return 'want RSASSA-PSS with SHA-256, SHA-384 or SHA-512, MGF1 with the same and a salt as long, got other parameters';
  }
  const known = schemes[oid];
  if (known === undefined) return `want RSA or ECDSA with SHA-256, SHA-384 or SHA-512, or Ed25519, got ${oid}`;
  if ((parameters?.tag ?? 'absent') !== (known.parameters === 'null' ? tags.null : 'absent'))
    return `want parameters ${known.parameters} for ${oid}`;
  return known;
}
