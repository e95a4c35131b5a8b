/** What has to be done with a key that comes unwrapped, whatever way it came. */
import { createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { spkiToEcPoint } from '../../../algorithm/encoding-public-key.js';
import { keyAlgorithms } from '../../../algorithm/key-algorithm.js';
import { defaultSchemes } from '../../../algorithm/signature-scheme.js';
import { HsmError } from '../../../errors.js';
import type { NewKey } from '../../protocol.js';
import { inspectKey, type TokenKey } from './key-inspection.js';
import {
  type Attribute,
  ck,
  type Mechanism,
  type ObjectHandle,
  ReturnValueError,
  type SessionHandle,
} from './native.js';
import { sign } from './signing.js';
import { generationFacts, template } from './template.js';
import type { Token } from './token.js';
import { isSecret } from './wrapping-rules.js';

export interface WrappedKey {
  readonly mechanism: Mechanism;
  readonly unwrappingHandle: ObjectHandle;
  readonly wrapped: Buffer;
  readonly key: NewKey;
  /** The public half of a private key, which must be its own. */
  readonly publicKey: KeyObject | undefined;
}

/**
 * Unwraps a key with the template of its role, puts the public half beside it, reads both back and, where the public half was
 * told, signs once.
 * @throws {HsmError} ERR_HSM_DECRYPTION_FAILED | ERR_HSM_KEY_UNSAFE
 */
export async function unwrapTokenKey(
  token: Token,
  session: SessionHandle,
  { mechanism, unwrappingHandle, wrapped, key, publicKey }: WrappedKey,
): Promise<TokenKey> {
  const attributes = template(token.profile, isSecret(key.algorithm) ? 'secret' : 'private', key, []);
  const unwrapping = token.native.unwrapKey(session, mechanism, unwrappingHandle, wrapped, attributes);
  const handle = await withBadWrapping(token, unwrapping);
  const publicHandle = publicHalf(token, session, handle, key, publicKey);
  const unwrapped = inspectKey(token.native, session, token.profile, key.id, { handle, publicHandle });
  if (publicKey) await requireOnePair(token, session, unwrapped, publicKey);
  return unwrapped;
}

/** @throws {HsmError} ERR_HSM_ARGUMENT_INVALID */
export function readSpki({ key, spki }: { readonly key: NewKey; readonly spki?: Buffer }): KeyObject | undefined {
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
  key: TokenKey,
  publicKey: KeyObject,
): Promise<void> {
  const isPair = key.publicKey !== undefined && publicKey.equals(key.publicKey) && (await signs(token, session, key));
  if (!isPair) throw new HsmError('ERR_HSM_KEY_UNSAFE', `key "${key.label}": want the private half of the given spki`);
}

async function signs(token: Token, session: SessionHandle, key: TokenKey): Promise<boolean> {
  const { family } = keyAlgorithms[key.algorithm];
  if (key.usage !== 'sign' || family === 'aes' || family === 'hmac') return true;
  const terms = {
    keyId: key.id,
    scheme: defaultSchemes[family],
    input: 'message',
    format: 'p1363',
    verify: true,
  } as const;
  try {
    await sign(token, session, key, { ...terms, data: randomBytes(32) }, { operation: 'test' });
    return true;
  } catch (error) {
    if (error instanceof HsmError && error.code === 'ERR_HSM_SIGNATURE_INVALID') return false;
    throw error;
  }
}

/** What the token returns for bytes that are no wrapped key, as the one error that says so. */
export async function withBadWrapping<T>(token: Token, unwrapping: Promise<T>): Promise<T> {
  try {
    return await unwrapping;
  } catch (error) {
    throw isBadWrapping(token, error) ? unwrappingFailed(error) : error;
  }
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

export function unwrappingFailed(cause?: unknown): HsmError {
  return new HsmError('ERR_HSM_DECRYPTION_FAILED', 'unwrapping failed', { cause });
}
