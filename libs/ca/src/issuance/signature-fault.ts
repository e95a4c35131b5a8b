import { constants, type KeyObject, verify } from 'node:crypto';
import { promisify } from 'node:util';
import type { DerNode } from '../der/der-reader.js';
import { decodeOid, oids } from '../der/oid.js';
import { tags } from '../der/der-writer.js';
import { pssHashOf } from './rsassa-pss.js';

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

/** On a thread of the pool: it takes longer than everything else that is decided about what is signed. */
const verifyOffLoop = promisify(verify);

export interface Signed {
  /** What was signed. */
  readonly octets: Buffer;
  /** AlgorithmIdentifier. */
  readonly algorithm: DerNode;
  readonly signature: Buffer;
}

/** What is wrong with somebody else's signature, as "want X, got Y"; undefined when it was made with the key. */
export async function signatureFault(signed: Signed, publicKey: KeyObject): Promise<string | undefined> {
  const scheme = schemeOf(signed.algorithm);
  if (typeof scheme === 'string') return scheme;
  const { keyType, hash, isPss = false } = scheme;
  if (publicKey.asymmetricKeyType !== keyType)
    return `want an algorithm of a key of type ${publicKey.asymmetricKeyType}, got one of ${keyType}`;
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants;
  const key = isPss ? { key: publicKey, padding, saltLength } : publicKey;
  const isSound = await verifyOffLoop(hash, signed.octets, key, signed.signature);
  return isSound ? undefined : 'want one made with the private key of the certificate or request, got another';
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
