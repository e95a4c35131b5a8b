import { HsmError } from '../../../errors.js';
import type { Received } from '../../protocol.js';
import type { Call } from '../call.js';
import { verifyCheckValue } from './check-value.js';
import type { TokenKey } from './key-inspection.js';
import { makeKey } from './key-making.js';
import { wrappingMechanism } from './mechanism.js';
import type { ObjectHandle, SessionHandle } from './native.js';
import { unwrapTransportKey, whilePresent } from './passing-object.js';
import { roleOf } from './template.js';
import type { Token } from './token.js';
import { readSpki, unwrappingFailed, unwrapTokenKey, withBadWrapping } from './unwrapped-key.js';
import {
  isPlausible,
  isSecret,
  requireMovable,
  requireOffered,
  requireWrappable,
  wrappingHandle,
} from './wrapping-rules.js';

/**
 * Takes in a key that was exported to this token, as a non-extractable token key of one role. It stays only if it is as its
 * template says, works, and is the one that the public half or check value tells of.
 * @throws {HsmError} ERR_HSM_DECRYPTION_FAILED | ERR_HSM_ARGUMENT_INVALID | ERR_HSM_KEY_UNSAFE | ERR_HSM_OUTCOME_UNKNOWN
 */
export async function importKey(token: Token, call: Call, request: Received<'importKey'>): Promise<TokenKey> {
  const { key, algorithm, checkValue, wrapped } = request;
  roleOf(key);
  requireMovable(key);
  requireOffered(token, algorithm);
  requireWrappable(token, 'aes-kwp', key.algorithm);
  if (key.extractable) throw new HsmError('ERR_HSM_ARGUMENT_INVALID', 'imported key: want a non-extractable one');
  const publicKey = readSpki(request);
  if (!publicKey === !checkValue || isSecret(key.algorithm) !== !publicKey) {
    const want = isSecret(key.algorithm) ? 'a check value' : 'an spki';
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `imported key of ${key.algorithm}: want ${want} to tell it by`);
  }
  const mechanism = wrappingMechanism(token.profile, 'aes-kwp');
  return makeKey(token, call, key.id, async (session) => {
    const transportKey = await takeTransportKey(token, session, request);
    return whilePresent(token.native, session, transportKey, async (unwrappingHandle) => {
      const imported = await unwrapTokenKey(token, session, { mechanism, unwrappingHandle, wrapped, key, publicKey });
      if (checkValue) await verifyCheckValue(token, session, imported, checkValue);
      return imported;
    });
  });
}

async function takeTransportKey(
  token: Token,
  session: SessionHandle,
  { unwrappingKeyId, algorithm, transport, wrapped, key }: Received<'importKey'>,
): Promise<ObjectHandle> {
  const unwrappingKey = token.keys.one(session, unwrappingKeyId);
  const handle = wrappingHandle('unwrap', unwrappingKey, algorithm);
  const isTransport = isPlausible(transport, 'aes-256', unwrappingKey.algorithm);
  if (!isTransport || !isPlausible(wrapped, key.algorithm, 'aes-256')) throw unwrappingFailed();
  return withBadWrapping(token, unwrapTransportKey(token, session, handle, algorithm, transport));
}
