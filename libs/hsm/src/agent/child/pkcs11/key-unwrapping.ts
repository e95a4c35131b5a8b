import { HsmError } from '../../../errors.js';
import { memberKeyLabel, recoveryKeyLabel } from '../../../key/key.js';
import type { Received } from '../../protocol.js';
import type { Call } from '../call.js';
import type { TokenKey } from './key-inspection.js';
import { makeKey } from './key-making.js';
import { wrappingMechanism } from './mechanism.js';
import { roleOf } from './template.js';
import type { Token } from './token.js';
import { readSpki, unwrappingFailed, unwrapTokenKey } from './unwrapped-key.js';
import { isPlausible, requireWrappable, wrappingHandle } from './wrapping-rules.js';

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
    // What was sent to these is opened by verbs that leave no transport key behind, and give a key no other role.
    if (unwrappingKey.label === memberKeyLabel || unwrappingKey.label === recoveryKeyLabel) {
      const message = `key "${unwrappingKey.label}": want another to unwrap with, got one for keys that are replicated`;
      throw new HsmError('ERR_HSM_ARGUMENT_INVALID', message);
    }
    const unwrappingHandle = wrappingHandle('unwrap', unwrappingKey, algorithm);
    if (!isPlausible(wrapped, key.algorithm, unwrappingKey.algorithm)) throw unwrappingFailed();
    return unwrapTokenKey(token, session, { mechanism, unwrappingHandle, wrapped, key, publicKey });
  });
}
