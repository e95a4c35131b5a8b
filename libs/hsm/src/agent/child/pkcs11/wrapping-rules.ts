/** What may be wrapped under what: AES-KW (RFC 3394), AES-KWP (RFC 5649), RSA-OAEP (RFC 8017 §7.1). Never data. */
import { keyAlgorithms, type KeyAlgorithm } from '../../../algorithm/key-algorithm.js';
import { type WrappingAlgorithm, wrappingAlgorithms } from '../../../algorithm/wrapping-algorithm.js';
import { HsmError } from '../../../errors.js';
import type { NewKey } from '../../protocol.js';
import type { TokenKey } from './key-inspection.js';
import type { ObjectHandle } from './native.js';
import type { Token } from './token.js';

/** A PKCS #8 RSA-4096 key is 2.4 kB. */
export const maximumWrappedBytes = 8_192;
/** What AES-KW and AES-KWP add. */
const integrityBytes = 8;

/** @throws {HsmError} ERR_HSM_MECHANISM_UNSUPPORTED | ERR_HSM_ARGUMENT_INVALID */
export function requireWrappable(token: Token, algorithm: WrappingAlgorithm, key: KeyAlgorithm): void {
  requireOffered(token, algorithm);
  if (token.profile.unwrappable.includes(keyAlgorithms[key].family)) {
    throw new HsmError(
      'ERR_HSM_MECHANISM_UNSUPPORTED',
      `token "${token.description.label}" cannot wrap a key of ${key}: it stays on the token that made it`,
    );
  }
  // AES-KW takes whole 8-byte blocks and OAEP less than a modulus: both only the 32 bytes of a secret key.
  if (isSecret(key) || algorithm === 'aes-kwp') return;
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `${algorithm}: want a secret key (aes-kwp takes others), got ${key}`);
}

/** @throws {HsmError} ERR_HSM_MECHANISM_UNSUPPORTED */
export function requireOffered({ description }: Token, algorithm: WrappingAlgorithm): void {
  if (description.mechanisms.includes(algorithm)) return;
  throw new HsmError('ERR_HSM_MECHANISM_UNSUPPORTED', `token "${description.label}" does not offer ${algorithm}`);
}

/**
 * A key that moves keys stays where it is: what was wrapped for it could be unwrapped wherever else it were.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID
 */
export function requireMovable({ label, usage }: Pick<NewKey, 'label' | 'usage'>): void {
  if (usage !== 'wrap' && usage !== 'unwrap') return;
  throw new HsmError(
    'ERR_HSM_ARGUMENT_INVALID',
    `key "${label}": want one that signs, encrypts or makes MACs, got ${usage}`,
  );
}

/**
 * The handle to wrap or unwrap with: an AES key of usage `wrap` either way; of an RSA pair of usage `unwrap` the public half
 * wraps and the private half unwraps.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID
 */
export function wrappingHandle(
  direction: 'wrap' | 'unwrap',
  key: TokenKey,
  algorithm: WrappingAlgorithm,
): ObjectHandle {
  const isAes = wrappingAlgorithms[algorithm].family === 'aes';
  const usage = isAes ? 'wrap' : 'unwrap';
  const handle = !isAes && direction === 'wrap' ? key.publicHandle : key.handle;
  if (key.usage === usage && handle) return handle;
  throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key "${key.label}": want usage ${usage}, got ${key.usage}`);
}

/** Whether these bytes can hold such a key at all; tokens are not asked about the rest. */
export function isPlausible(wrapped: Buffer, key: KeyAlgorithm, unwrappingKey: KeyAlgorithm): boolean {
  const unwrapping = keyAlgorithms[unwrappingKey];
  if (unwrapping.family === 'rsa') return wrapped.length === unwrapping.modulusBits / 8;
  const facts = keyAlgorithms[key];
  if ('keyBytes' in facts) return wrapped.length === facts.keyBytes + integrityBytes;
  return wrapped.length % 8 === 0 && wrapped.length > 2 * integrityBytes && wrapped.length <= maximumWrappedBytes;
}

export function isSecret(algorithm: KeyAlgorithm): boolean {
  return 'keyBytes' in keyAlgorithms[algorithm];
}
