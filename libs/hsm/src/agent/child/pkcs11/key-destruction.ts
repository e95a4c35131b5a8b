import { HsmError } from '../../../errors.js';
import type { KeyId } from '../../../key/key.js';
import type { Call } from '../call.js';
import { destroyObjects } from './key-generation.js';
import type { Token } from './token.js';

/**
 * Destroys every object that carries the id. @returns how many
 * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_OUTCOME_UNKNOWN
 */
export async function destroyKey(token: Token, call: Call, id: KeyId): Promise<number> {
  return token.run(call, 'once', (session) => {
    const count = destroyObjects(token, session, id);
    if (count === 0) throw new HsmError('ERR_HSM_KEY_NOT_FOUND', `key ${id}: want one to destroy, got none`);
    return count;
  });
}
