import { keyAlgorithms } from '../../../algorithm/key-algorithm.js';
import { HsmError } from '../../../errors.js';
import { recoveryKeyLabel } from '../../../key/key.js';
import type { Answer, Received } from '../../protocol.js';
import type { Call } from '../call.js';
import { allowedMechanisms, wrappingMechanism } from './mechanism.js';
import type { ObjectHandle, SessionHandle } from './native.js';
import { unwrapTransportKey, whilePresent } from './passing-object.js';
import { readRecipients, transferTo } from './recipients.js';
import { passingTemplate, roleOf } from './template.js';
import type { Token } from './token.js';
import { unwrappingFailed, withBadWrapping } from './unwrapped-key.js';
import {
  isPlausible,
  isSecret,
  requireMovable,
  requireOffered,
  requireWrappable,
  wrappingHandle,
} from './wrapping-rules.js';

/**
 * Opens a key's recovery form on the recovery token and wraps it anew for others (SECURITY.md, Replication, step 3). What is
 * opened are session objects: the one-use AES key can only unwrap, the key itself can do nothing but be wrapped, and both are
 * destroyed before the answer. Whether it is the key that is meant is shown by the member that takes it in.
 *
 * Only a key made for recovery does this: with the key that a member takes keys in by, whoever has that member's PIN and an
 * intercepted transfer could send the key anywhere.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID | ERR_HSM_MECHANISM_UNSUPPORTED | ERR_HSM_DECRYPTION_FAILED
 */
export async function transferKey(
  token: Token,
  call: Call,
  request: Received<'transferKey'>,
): Promise<Answer<'transferKey'>> {
  const { key, algorithm } = request;
  roleOf(key);
  requireMovable(key);
  requireOffered(token, algorithm);
  requireWrappable(token, 'aes-kwp', key.algorithm);
  const holders = readRecipients(token, request.recipients);
  return token.run(call, 'repeatable', async (session) => {
    const transportKey = await openTransport(token, session, request);
    return whilePresent(token.native, session, transportKey, async (unwrappingHandle) => {
      const opened = await openKey(token, session, unwrappingHandle, request);
      const transfers = await whilePresent(token.native, session, opened, (handle) =>
        transferTo(token, session, handle, holders),
      );
      return { transfers };
    });
  });
}

function openTransport(
  token: Token,
  session: SessionHandle,
  { unwrappingKeyId, algorithm, transport, wrapped, key }: Received<'transferKey'>,
): Promise<ObjectHandle> {
  const recoveryKey = token.keys.one(session, unwrappingKeyId);
  if (recoveryKey.label !== recoveryKeyLabel) {
    const message = `key "${recoveryKey.label}": want one labelled "${recoveryKeyLabel}" to transfer keys with`;
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', message);
  }
  const handle = wrappingHandle('unwrap', recoveryKey, algorithm);
  const isTransport = isPlausible(transport, 'aes-256', recoveryKey.algorithm);
  if (!isTransport || !isPlausible(wrapped, key.algorithm, 'aes-256')) throw unwrappingFailed();
  return withBadWrapping(token, unwrapTransportKey(token, session, handle, algorithm, transport));
}

/** A session object without a use of its own. */
function openKey(
  token: Token,
  session: SessionHandle,
  unwrappingHandle: ObjectHandle,
  { key, wrapped }: Received<'transferKey'>,
): Promise<ObjectHandle> {
  const { native, profile } = token;
  const { family } = keyAlgorithms[key.algorithm];
  const limits = {
    isExtractable: true,
    granted: [],
    mechanisms: allowedMechanisms(profile, family, key.usage),
  } as const;
  const template = passingTemplate(profile, isSecret(key.algorithm) ? 'secret' : 'private', family, limits, []);
  const mechanism = wrappingMechanism(profile, 'aes-kwp');
  return withBadWrapping(token, native.unwrapKey(session, mechanism, unwrappingHandle, wrapped, template));
}
