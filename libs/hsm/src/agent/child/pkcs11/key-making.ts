import { HsmError } from '../../../errors.js';
import type { KeyId } from '../../../key/key.js';
import { Call } from '../call.js';
import { destroyObjects } from './key-destruction.js';
import type { TokenKey } from './key-inspection.js';
import type { SessionHandle } from './native.js';
import type { Token } from './token.js';

const cleanUpMilliseconds = 5_000;

/**
 * Makes a key under an id that nothing on the token carries yet. When `make` fails half-way, what it made is destroyed, on
 * a session that the failure did not touch.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID | ERR_HSM_OUTCOME_UNKNOWN
 */
export async function makeKey(
  token: Token,
  call: Call,
  id: KeyId,
  make: (session: SessionHandle) => Promise<TokenKey>,
): Promise<TokenKey> {
  let isBegun = false;
  try {
    return await token.run(call, 'once', (session) => {
      if (token.keys.objects(session, id).length > 0) {
        throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key id ${id}: want a fresh one, got one in use`);
      }
      isBegun = true;
      return make(session);
    });
  } catch (error) {
    if (isBegun) await destroyQuietly(token, id);
    throw error;
  }
}

/** After a failure, on a session that it did not touch. */
export async function destroyQuietly(token: Token, id: KeyId): Promise<void> {
  try {
    await token.run(new Call(cleanUpMilliseconds, ''), 'repeatable', (session) => destroyObjects(token, session, id));
  } catch {
    // The token is in trouble; the error that led here says so, and whoever chose the id can look for it.
  }
}
