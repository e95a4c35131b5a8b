import { createHash, createPublicKey, type KeyObject, randomBytes, verify } from 'node:crypto';
import { spkiToEcPoint } from '../../../algorithm/encoding-public-key.js';
import { keyAlgorithms } from '../../../algorithm/key-algorithm.js';
import { HsmError } from '../../../errors.js';
import type { NewKey, Received } from '../../protocol.js';
import type { Call } from '../call.js';
import { inspectKey, type TokenKey } from './key-inspection.js';
import { makeKey } from './key-making.js';
import { wrappingMechanism } from './mechanism.js';
import { type Attribute, ck, type ObjectHandle, ReturnValueError, type SessionHandle } from './native.js';
import { generationFacts, roleOf, template } from './template.js';
import type { Token } from './token.js';
import { isPlausible, isSecret, requireWrappable, wrappingHandle } from './wrapping-rules.js';

/**
 * Unwraps into a non-extractable token key of one role, and reads back what the token made of it.
 * @throws {HsmError} ERR_HSM_DECRYPTION_FAILED | ERR_HSM_ARGUMENT_INVALID | ERR_HSM_KEY_UNSAFE | ERR_HSM_OUTCOME_UNKNOWN
 */
export async function unwrapKey(token: Token, call: Call, request: Received<'unwrapKey'>): Promise<TokenKey> {
  const { key, algorithm, unwrappingKeyId, wrapped } = request;
  const publicKey = readSpki(request);
  roleOf(key);
  requireWrappable(token, algorithm, key.algorithm);
  if (key.extractable) {
    // Whoever may unwrap under attributes of his choice can read every key he has a blob of.
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', 'unwrapped key: want a non-extractable one');
  }
  const mechanism = wrappingMechanism(token.profile, algorithm);
  return makeKey(token, call, key.id, async (session) => {
    const unwrappingKey = token.keys.one(session, unwrappingKeyId);
    const unwrappingHandle = wrappingHandle('unwrap', unwrappingKey, algorithm);
    if (!isPlausible(wrapped, key.algorithm, unwrappingKey.algorithm)) throw unwrappingFailed();
    const attributes = template(token.profile, isSecret(key.algorithm) ? 'secret' : 'private', key, []);
    const handle = await token.native
      .unwrapKey(session, mechanism, unwrappingHandle, wrapped, attributes)
      .catch((error: unknown) => {
        throw isBadWrapping(token, error) ? unwrappingFailed(error) : error;
      });
    const publicHandle = publicHalf(token, session, handle, key, publicKey);
    const unwrapped = inspectKey(token.native, session, token.profile, key.id, { handle, publicHandle });
    await requireOnePair(token, session, unwrapped, publicKey);
    return unwrapped;
  });
}

function readSpki({ key, spki }: Received<'unwrapKey'>): KeyObject | undefined {
  const { family } = keyAlgorithms[key.algorithm];
  if (!spki) {
    if (isSecret(key.algorithm) || family === 'rsa') return undefined;
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `spki: want the public half of ${key.algorithm}, got none`);
  }
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', 'spki: want a SubjectPublicKeyInfo', { cause });
  }
}

/** Puts the public half beside an unwrapped private key: an RSA key knows it, any other is told. */
function publicHalf(
  token: Token,
  session: SessionHandle,
  handle: ObjectHandle,
  key: NewKey,
  publicKey: KeyObject | undefined,
): ObjectHandle | undefined {
  if (isSecret(key.algorithm)) return undefined;
  const numbers = keyAlgorithms[key.algorithm].family === 'rsa' && [ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT];
  const facts: Attribute[] = numbers
    ? token.native.attributes(session, handle, numbers).map((value, index) => ({ type: numbers[index], value }))
    : [
        ...generationFacts(key.algorithm),
        { type: ck.CKA_EC_POINT, value: spkiToEcPoint(key.algorithm, publicKey as KeyObject) },
      ];
  return token.native.createObject(session, template(token.profile, 'public', key, facts));
}

/** A public half that was told must be this private key's: shown by a signature over bytes nobody chose. */
async function requireOnePair(
  token: Token,
  session: SessionHandle,
  { handle, algorithm, label, publicKey }: TokenKey,
  toldKey: KeyObject | undefined,
): Promise<void> {
  if (!toldKey || !publicKey) return;
  const facts = keyAlgorithms[algorithm];
  const message = randomBytes(32);
  let isPair = toldKey.equals(publicKey);
  if (facts.family === 'ec') {
    const digest = createHash('sha256').update(message).digest();
    const raw = await token.native.sign(
      session,
      { mechanism: ck.CKM_ECDSA },
      handle,
      digest,
      2 * facts.coordinateBytes,
    );
    isPair &&= verify('sha256', message, { key: publicKey, dsaEncoding: 'ieee-p1363' }, raw);
  } else if (facts.family === 'edwards') {
    const signature = await token.native.sign(session, { mechanism: ck.CKM_EDDSA }, handle, message, 64);
    isPair &&= verify(null, message, publicKey, signature);
  }
  if (!isPair) throw new HsmError('ERR_HSM_KEY_UNSAFE', `key "${label}": want the private half of the given spki`);
}

function isBadWrapping(token: Token, error: unknown): boolean {
  if (!(error instanceof ReturnValueError)) return false;
  return badWrapping.includes(error.returnValue) || token.profile.decryptionFailed.has(error.returnValue);
}

const badWrapping: readonly number[] = [
  ck.CKR_WRAPPED_KEY_INVALID,
  ck.CKR_WRAPPED_KEY_LEN_RANGE,
  ck.CKR_ENCRYPTED_DATA_INVALID,
  ck.CKR_ENCRYPTED_DATA_LEN_RANGE,
];

function unwrappingFailed(cause?: unknown): HsmError {
  return new HsmError('ERR_HSM_DECRYPTION_FAILED', 'unwrapping failed', { cause });
}
