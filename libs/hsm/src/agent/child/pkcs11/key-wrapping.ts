/** Token keys under token keys: AES-KW (RFC 3394), AES-KWP (RFC 5649), RSA-OAEP (RFC 8017 §7.1). Never data. */
import { keyAlgorithms, type KeyAlgorithm } from '../../../algorithm/key-algorithm.js';
import { type WrappingAlgorithm, wrappingAlgorithms } from '../../../algorithm/wrapping-algorithm.js';
import { HsmError } from '../../../errors.js';
import type { NewKey, Request } from '../../protocol.js';
import type { Call } from '../call.js';
import { inspectKey, type TokenKey } from './key-inspection.js';
import { wrappingMechanism } from './mechanism.js';
import { type Attribute, ck, type ObjectHandle, ReturnValueError, type SessionHandle } from './native.js';
import { roleOf, template } from './template.js';
import type { Token } from './token.js';

/** A wrapped PKCS #8 RSA-4096 key is 2.4 kB. */
const maximumWrappedBytes = 8_192;
const macSize = 8;

/** @throws {HsmError} ERR_HSM_ARGUMENT_INVALID | ERR_HSM_MECHANISM_UNSUPPORTED */
export async function wrapKey(token: Token, call: Call, request: Request<'wrapKey'>): Promise<Buffer> {
  const { keyId, wrappingKeyId, algorithm } = request;
  requireSupported(token, algorithm);
  const mechanism = wrappingMechanism(token.profile, algorithm);
  return token.run(call, 'repeatable', (session) => {
    const key = token.keys.one(session, keyId);
    const wrappingKey = token.keys.one(session, wrappingKeyId);
    requireWrappable(key.algorithm, algorithm);
    if (!key.extractable) {
      throw new HsmError(
        'ERR_HSM_ARGUMENT_INVALID',
        `key "${key.label}": want a key made extractable, got one that is not`,
      );
    }
    const handle = handleFor('wrap', wrappingKey, algorithm);
    return token.native.wrapKey(session, mechanism, handle, key.handle, maximumWrappedBytes);
  });
}

/**
 * Unwraps into a non-extractable token key of one role, and reads back what the token made of it.
 * @throws {HsmError} ERR_HSM_DECRYPTION_FAILED | ERR_HSM_ARGUMENT_INVALID | ERR_HSM_KEY_UNSAFE | ERR_HSM_OUTCOME_UNKNOWN
 */
export async function unwrapKey(token: Token, call: Call, request: Request<'unwrapKey'>): Promise<TokenKey> {
  const { key, algorithm, unwrappingKeyId } = request;
  const wrapped = Buffer.from(request.wrapped);
  roleOf(key);
  requireSupported(token, algorithm);
  requireWrappable(key.algorithm, algorithm);
  if (key.extractable) {
    // An application that may unwrap under its own attributes could read every key it has a blob of.
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', 'unwrapped key: want a non-extractable one');
  }
  const mechanism = wrappingMechanism(token.profile, algorithm);
  return token.run(call, 'once', async (session) => {
    const unwrappingKey = token.keys.one(session, unwrappingKeyId);
    const unwrappingHandle = handleFor('unwrap', unwrappingKey, algorithm);
    requireWrappedLength(wrapped, key.algorithm, unwrappingKey.algorithm, algorithm);
    if (token.keys.objects(session, key.id).length > 0) {
      throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key id ${key.id}: want a fresh one, got one in use`);
    }
    try {
      const handle = await unwrapObject(token, session, mechanism, unwrappingHandle, wrapped, key);
      const publicHandle = createPublicHalf(token, session, handle, key);
      return inspectKey(token.native, session, token.profile, key, handle, publicHandle);
    } catch (error) {
      for (const object of token.keys.objects(session, key.id)) token.native.destroyObject(session, object);
      throw error;
    }
  });
}

async function unwrapObject(
  token: Token,
  session: SessionHandle,
  mechanism: ReturnType<typeof wrappingMechanism>,
  unwrappingKey: ObjectHandle,
  wrapped: Buffer,
  key: NewKey,
): Promise<ObjectHandle> {
  const kind = isSecret(key.algorithm) ? 'secret' : 'private';
  try {
    const attributes = template(token.profile, kind, key, []);
    return await token.native.unwrapKey(session, mechanism, unwrappingKey, wrapped, attributes);
  } catch (error) {
    if (!isBadWrapping(token, error)) throw error;
    throw new HsmError('ERR_HSM_DECRYPTION_FAILED', 'unwrapping failed');
  }
}

/** An unwrapped RSA key knows its public numbers; the public half is made from them. */
function createPublicHalf(
  token: Token,
  session: SessionHandle,
  handle: ObjectHandle,
  key: NewKey,
): ObjectHandle | undefined {
  const { family } = keyAlgorithms[key.algorithm];
  if (isSecret(key.algorithm)) return undefined;
  if (family !== 'rsa') {
    throw new HsmError(
      'ERR_HSM_MECHANISM_UNSUPPORTED',
      `${key.algorithm}: its public half does not come out of a wrapped key`,
    );
  }
  const [modulus, exponent] = token.native.attributes(session, handle, [ck.CKA_MODULUS, ck.CKA_PUBLIC_EXPONENT]);
  const facts: Attribute[] = [
    { type: ck.CKA_MODULUS, value: modulus },
    { type: ck.CKA_PUBLIC_EXPONENT, value: exponent },
  ];
  return token.native.createObject(session, template(token.profile, 'public', key, facts));
}

function handleFor(direction: 'wrap' | 'unwrap', key: TokenKey, algorithm: WrappingAlgorithm): ObjectHandle {
  const isAes = wrappingAlgorithms[algorithm].family === 'aes';
  const usage = isAes ? 'wrap' : 'unwrap';
  const handle = !isAes && direction === 'wrap' ? key.publicHandle : key.handle;
  if (key.usage === usage && handle) return handle;
  throw new HsmError(
    'ERR_HSM_ARGUMENT_INVALID',
    `key "${key.label}": want usage ${usage} for ${algorithm}, got ${key.usage}`,
  );
}

/** AES-KW takes whole 8-byte blocks and OAEP less than a modulus: both only the 32 bytes of a secret key. */
function requireWrappable(key: KeyAlgorithm, algorithm: WrappingAlgorithm): void {
  if (isSecret(key) || algorithm === 'aes-kwp') return;
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `${algorithm}: want a secret key (aes-kwp takes others), got ${key}`);
}

function requireWrappedLength(
  wrapped: Buffer,
  key: KeyAlgorithm,
  wrappingKey: KeyAlgorithm,
  algorithm: WrappingAlgorithm,
): void {
  const facts = keyAlgorithms[key];
  const wrapping = keyAlgorithms[wrappingKey];
  const isExpected =
    wrapping.family === 'rsa'
      ? wrapped.length === wrapping.modulusBits / 8
      : 'keyBytes' in facts
        ? wrapped.length === facts.keyBytes + macSize
        : wrapped.length % 8 === 0 && wrapped.length > 2 * macSize && wrapped.length <= maximumWrappedBytes;
  if (!isExpected) throw new HsmError('ERR_HSM_DECRYPTION_FAILED', `${algorithm}: unwrapping failed`);
}

function requireSupported(token: Token, algorithm: WrappingAlgorithm): void {
  if (token.description.mechanisms.includes(algorithm)) return;
  throw new HsmError('ERR_HSM_MECHANISM_UNSUPPORTED', `token "${token.description.label}" does not offer ${algorithm}`);
}

function isSecret(algorithm: KeyAlgorithm): boolean {
  return 'keyBytes' in keyAlgorithms[algorithm];
}

function isBadWrapping(token: Token, error: unknown): boolean {
  if (!(error instanceof ReturnValueError)) return false;
  const standard: readonly number[] = [
    ck.CKR_WRAPPED_KEY_INVALID,
    ck.CKR_WRAPPED_KEY_LEN_RANGE,
    ck.CKR_ENCRYPTED_DATA_INVALID,
    ck.CKR_ENCRYPTED_DATA_LEN_RANGE,
  ];
  return standard.includes(error.returnValue) || token.profile.decryptionFailed.has(error.returnValue);
}
