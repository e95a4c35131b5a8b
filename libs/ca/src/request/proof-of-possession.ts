import { constants, type KeyObject, verify } from 'node:crypto';
import { promisify } from 'node:util';
import { tags } from '../der/der-writer.js';
import type { DerNode } from '../der/der-reader.js';
import { decodeOid, oids } from '../der/oid.js';
import { CaError } from '../errors.js';
import type { CertificationRequest } from './csr.js';
import { pssHashOf } from './rsassa-pss.js';

interface RequestSignature {
  readonly keyType: 'rsa' | 'ec' | 'ed25519';
  /** Null where the scheme hashes by itself. */
  readonly hash: string | null;
  /** RFC 4055 §5 wants NULL, RFC 5758 §3.2 and RFC 8410 §3 want nothing. */
  readonly parameters: 'null' | 'absent';
  readonly isPss?: boolean;
}

/** Signatures accepted on a request; SHA-1 and older are not. */
const requestSignatures: Readonly<Record<string, RequestSignature>> = {
  [oids.sha256WithRSAEncryption]: { keyType: 'rsa', hash: 'sha256', parameters: 'null' },
  [oids.sha384WithRSAEncryption]: { keyType: 'rsa', hash: 'sha384', parameters: 'null' },
  [oids.sha512WithRSAEncryption]: { keyType: 'rsa', hash: 'sha512', parameters: 'null' },
  [oids.ecdsaWithSHA256]: { keyType: 'ec', hash: 'sha256', parameters: 'absent' },
  [oids.ecdsaWithSHA384]: { keyType: 'ec', hash: 'sha384', parameters: 'absent' },
  [oids.ecdsaWithSHA512]: { keyType: 'ec', hash: 'sha512', parameters: 'absent' },
  [oids.ed25519]: { keyType: 'ed25519', hash: null, parameters: 'absent' },
};

/** On a thread of the pool: it takes longer than everything else that is decided about a request. */
const verifyOffLoop = promisify(verify);

/**
 * Checks that whoever asks holds the private key: the request is signed with it (RFC 2986 §4.2).
 * @throws {CaError} ERR_CA_CSR_SIGNATURE_INVALID
 */
export async function verifyProofOfPossession(request: CertificationRequest, publicKey: KeyObject): Promise<void> {
  const { keyType, hash, isPss = false } = readSignatureAlgorithm(request.signatureAlgorithm);
  if (publicKey.asymmetricKeyType !== keyType)
    refuse(`want an algorithm of a key of type ${publicKey.asymmetricKeyType}, got one of ${keyType}`);
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants;
  const key = isPss ? { key: publicKey, padding, saltLength } : publicKey;
  if (!(await verifyOffLoop(hash, request.info, key, request.signature)))
    refuse('want one made with the private key of the request, got another');
}

function readSignatureAlgorithm(identifier: DerNode): RequestSignature {
  const [type, parameters, ...rest] = identifier.children;
  if (type?.tag !== tags.oid || rest.length > 0) refuse('want an AlgorithmIdentifier');
  const oid = decodeOid(type.content);
  if (oid === oids.rsassaPss) {
    const hash = pssHashOf(parameters?.raw ?? Buffer.alloc(0));
    if (hash !== undefined) return { keyType: 'rsa', hash, parameters: 'absent', isPss: true };
    refuse(
      'want RSASSA-PSS with SHA-256, SHA-384 or SHA-512, MGF1 with the same and a salt as long, got other parameters',
    );
  }
  const known = requestSignatures[oid];
  if (known === undefined) refuse(`want RSA or ECDSA with SHA-256, SHA-384 or SHA-512, or Ed25519, got ${oid}`);
  if ((parameters?.tag ?? 'absent') !== (known.parameters === 'null' ? tags.null : 'absent'))
    refuse(`want parameters ${known.parameters} for ${oid}`);
  return known;
}

function refuse(message: string): never {
  throw new CaError('ERR_CA_CSR_SIGNATURE_INVALID', `CSR signature: ${message}`);
}
