import { HsmError } from '../../../errors.js';
import type { Answer, Received } from '../../protocol.js';
import type { Call } from '../call.js';
import { makeCheckValue } from './check-value.js';
import { destroyObjects } from './key-destruction.js';
import type { TokenKey } from './key-inspection.js';
import { destroyQuietly } from './key-making.js';
import { readRecipients, transferTo } from './recipients.js';
import type { Token } from './token.js';
import { requireMovable, requireWrappable } from './wrapping-rules.js';

/**
 * Lets an extractable key leave the token once: for each recipient under a one-use AES key, which goes under the recipient's
 * RSA key and is destroyed (SECURITY.md, Replication). The key itself is destroyed with it, whether or not that went well, so
 * that nothing extractable is left.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID | ERR_HSM_MECHANISM_UNSUPPORTED, both before anything was done
 */
export async function exportKey(
  token: Token,
  call: Call,
  { keyId, recipients }: Received<'exportKey'>,
): Promise<Answer<'exportKey'>> {
  const holders = readRecipients(token, recipients);
  let isBegun = false;
  try {
    return await token.run(call, 'once', async (session) => {
      const key = token.keys.one(session, keyId);
      requireExportable(token, key);
      isBegun = true;
      const checkValue = await makeCheckValue(token, session, key);
      const transfers = await transferTo(token, session, key.handle, holders);
      destroyObjects(token, session, keyId);
      return { checkValue, transfers };
    });
  } catch (error) {
    if (isBegun) await destroyQuietly(token, keyId);
    throw error;
  }
}

function requireExportable(token: Token, key: TokenKey): void {
  if (!key.extractable) {
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key "${key.label}": want a key made extractable`);
  }
  requireMovable(key);
  requireWrappable(token, 'aes-kwp', key.algorithm);
}
