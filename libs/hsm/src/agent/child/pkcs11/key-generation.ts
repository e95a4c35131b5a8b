import { HsmError } from '../../../errors.js';
import { keyAlgorithms } from '../../../algorithm/key-algorithm.js';
import type { NewKey } from '../../protocol.js';
import type { Call } from '../call.js';
import { inspectKey, type TokenKey } from './key-inspection.js';
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
  const work = (session: SessionHandle): Promise<TokenKey> => generateAndInspect(token, session, key);
  return key.extractable ? token.runOnLoginSession(call, work) : token.run(call, 'once', work);
}

async function generateAndInspect(token: Token, session: SessionHandle, key: NewKey): Promise<TokenKey> {
  const { native, keys, profile } = token;
  if (keys.objects(session, key.id).length > 0) {
    throw new HsmError('ERR_HSM_ARGUMENT_INVALID', `key id ${key.id}: want a fresh one, got one in use`);
  }
  const mechanism = generationMechanism(key.algorithm);
  const facts = generationFacts(key.algorithm);
  const { family } = keyAlgorithms[key.algorithm];
  const made =
    family === 'aes' || family === 'hmac'
      ? { handle: await native.generateKey(session, mechanism, template(profile, 'secret', key, facts)) }
      : await native
          .generateKeyPair(
            session,
            mechanism,
            template(profile, 'public', key, facts),
            template(profile, 'private', key, []),
          )
          .then(({ privateKey, publicKey }) => ({ handle: privateKey, publicHandle: publicKey }));
  const publicHandle = 'publicHandle' in made ? made.publicHandle : undefined;
  try {
    return inspectKey(native, session, profile, key, made.handle, publicHandle);
  } catch (error) {
    for (const handle of keys.objects(session, key.id)) native.destroyObject(session, handle);
    throw error;
  }
}
