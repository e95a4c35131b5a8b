import { keyAlgorithms } from '../../../algorithm/key-algorithm.js';
import { HsmError } from '../../../errors.js';
import type { NewKey } from '../../protocol.js';
import type { Call } from '../call.js';
import { inspectKey, type KeyObjects, type TokenKey } from './key-inspection.js';
import { makeKey } from './key-making.js';
import { generationMechanism } from './mechanism.js';
import type { SessionHandle } from './native.js';
import { generationFacts, roleOf, template } from './template.js';
import type { Token } from './token.js';

/**
 * Makes a key under the id its caller chose, and reads back what the token made of it. A key that is not as its template
 * says is destroyed again.
 * @throws {HsmError} ERR_HSM_ARGUMENT_INVALID | ERR_HSM_MECHANISM_UNSUPPORTED | ERR_HSM_KEY_UNSAFE | ERR_HSM_OUTCOME_UNKNOWN
 */
export async function generateKey(token: Token, call: Call, key: NewKey): Promise<TokenKey> {
  roleOf(key);
  if (!token.description.mechanisms.includes(key.algorithm)) {
    throw new HsmError(
      'ERR_HSM_MECHANISM_UNSUPPORTED',
      `token "${token.description.label}" does not make ${key.algorithm}`,
    );
  }
  return token.inTurn(() =>
    makeKey(token, call, key.id, async (session) => {
      // A session object lives as long as the session that made it, so an extractable key is made on the one that stays.
      const made = key.extractable
        ? await token.onLastingSession((lasting) => generateObjects(token, lasting, key))
        : await generateObjects(token, session, key);
      return inspectKey(token.native, session, token.profile, key.id, made);
    }),
  );
}

async function generateObjects({ native, profile }: Token, session: SessionHandle, key: NewKey): Promise<KeyObjects> {
  const mechanism = generationMechanism(key.algorithm);
  const facts = generationFacts(key.algorithm);
  if ('keyBytes' in keyAlgorithms[key.algorithm]) {
    return { handle: await native.generateKey(session, mechanism, template(profile, 'secret', key, facts)) };
  }
  const publicTemplate = template(profile, 'public', key, facts);
  const privateTemplate = template(profile, 'private', key, []);
  const made = await native.generateKeyPair(session, mechanism, publicTemplate, privateTemplate);
  return { handle: made.privateKey, publicHandle: made.publicKey };
}
