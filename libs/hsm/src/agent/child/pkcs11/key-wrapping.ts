import { HsmError } from '../../../errors.js';
import type { Received } from '../../protocol.js';
import type { Call } from '../call.js';
import { wrappingMechanism } from './mechanism.js';
import type { Token } from './token.js';
import { maximumWrappedBytes, requireWrappable, wrappingHandle } from './wrapping-rules.js';

/**
 * Wraps a key that was made extractable, under a key of the token.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID | ERR_HSM_MECHANISM_UNSUPPORTED
 */
export async function wrapKey(
  token: Token,
  call: Call,
  { keyId, wrappingKeyId, algorithm }: Received<'wrapKey'>,
): Promise<Buffer> {
  return token.run(call, 'repeatable', (session) => {
    const key = token.keys.one(session, keyId);
    requireWrappable(token, algorithm, key.algorithm);
    if (!key.extractable) {
      throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key "${key.label}": want a key made extractable`);
    }
    const handle = wrappingHandle('wrap', token.keys.one(session, wrappingKeyId), algorithm);
    const mechanism = wrappingMechanism(token.profile, algorithm);
    return token.native.wrapKey(session, mechanism, handle, key.handle, maximumWrappedBytes);
  });
}
