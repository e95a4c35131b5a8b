import { createPublicKey } from 'node:crypto';
import { spkiToEcPoint } from '../../../algorithm/encoding-public-key.js';
import { type KeyAlgorithm, keyAlgorithmNames, keyAlgorithms } from '../../../algorithm/key-algorithm.js';
import { HsmError } from '../../../errors.js';
import { ck, type Native, type ObjectHandle, type SessionHandle } from './native.js';
import { type AttributeName, ObjectReader } from './object-reader.js';

/** What two objects have in common that hold the same public key: an RSA half knows the modulus, a public EC half the point. */
export interface PublicIdentity {
  readonly name: AttributeName;
  readonly value: Buffer;
}

/** Of an object on the token: none for a session object, whose copies are what it was made for, nor for a private EC half. */
export function identitiesOf(native: Native, session: SessionHandle, object: ObjectHandle): PublicIdentity[] {
  const reader = new ObjectReader(native, session, object);
  if (!reader.boolean('CKA_TOKEN')) return [];
  return (['CKA_MODULUS', 'CKA_EC_POINT'] as const).flatMap((name) => {
    const value = reader.read(name);
    return value && value.length > 0 ? [{ name, value }] : [];
  });
}

/** @throws {HsmError} ERR_HSM_ARGUMENT_INVALID */
export function publicIdentity(spki: Buffer): PublicIdentity {
  try {
    const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const { n, crv } = publicKey.export({ format: 'jwk' });
    if (n !== undefined) return { name: 'CKA_MODULUS', value: Buffer.from(n, 'base64url') };
    const algorithm = keyAlgorithmNames.find((name) => {
      const facts = keyAlgorithms[name];
      return 'namedCurve' in facts && facts.namedCurve === crv;
    });
    return { name: 'CKA_EC_POINT', value: spkiToEcPoint(algorithm as KeyAlgorithm, publicKey) };
  } catch (cause) {
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', 'spki: want the SubjectPublicKeyInfo of a key', { cause });
  }
}

/** The token's objects that hold the public key. */
export function findTwins(native: Native, session: SessionHandle, { name, value }: PublicIdentity): ObjectHandle[] {
  return native.findObjects(session, [
    { type: ck.CKA_TOKEN, value: true },
    { type: ck[name], value },
  ]);
}
