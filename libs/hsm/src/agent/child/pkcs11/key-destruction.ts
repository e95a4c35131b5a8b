import { HsmError } from '../../../errors.js';
import type { KeyId } from '../../../key/key.js';
import type { Received } from '../../protocol.js';
import type { Call } from '../call.js';
import type { ObjectHandle, SessionHandle } from './native.js';
import { ObjectReader } from './object-reader.js';
import { findTwins, identitiesOf, publicIdentity, type PublicIdentity } from './public-identity.js';
import { idBytes } from './template.js';
import type { Token } from './token.js';

/**
 * Destroys every object of a key: those that carry its id and, for key pairs of the token, those elsewhere on it that hold
 * the same public key. An extractable original is destroyed alone, since its copies on the token are what it was made for. (A
 * secret key's CKA_CHECK_VALUE is three bytes, too few to destroy a second key on.)
 * @param spki  of the key, so that its copies are found when nothing carries its id any more
 * @param permit  asked about the label of each object before the first is destroyed; throws to refuse them all
 * @returns how many
 * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_OUTCOME_UNKNOWN
 */
export async function destroyKey(
  token: Token,
  call: Call,
  { keyId, spki }: Received<'destroyKey'>,
  permit: (label: string) => void,
): Promise<number> {
  const publicKey = spki && publicIdentity(spki);
  return token.run(call, 'once', (session) => {
    const own = token.keys.objects(session, keyId);
    // Copies first: they are found by the key itself, should this be interrupted.
    const all = [...copiesOf(token, session, own, publicKey), ...own];
    if (all.length === 0) throw new HsmError('ERR_HSM_KEY_NOT_FOUND', `key ${keyId}: want one to destroy, got none`);
    for (const object of all) permit(new ObjectReader(token.native, session, object).text('CKA_LABEL'));
    token.keys.forget(keyId);
    for (const object of all) token.native.destroyObject(session, object);
    return all.length;
  });
}

/** Destroys what carries the id. @returns how many objects that were */
export function destroyObjects(token: Token, session: SessionHandle, id: KeyId): number {
  token.keys.forget(id);
  const objects = token.keys.objects(session, id);
  for (const object of objects) token.native.destroyObject(session, object);
  return objects.length;
}

/** Token objects under other ids that hold the same public key, with what shares their id: a private EC half shows no point. */
function copiesOf(
  { native, keys }: Token,
  session: SessionHandle,
  own: readonly ObjectHandle[],
  publicKey: PublicIdentity | undefined,
): ObjectHandle[] {
  const known = own.flatMap((object) => identitiesOf(native, session, object));
  const twins = [...known, ...(publicKey ? [publicKey] : [])].flatMap((each) => findTwins(native, session, each));
  const families = twins.flatMap((twin) => {
    const twinId = new ObjectReader(native, session, twin).read('CKA_ID');
    if (twinId?.length !== idBytes) return [];
    const copyId = twinId.toString('hex') as KeyId;
    keys.forget(copyId);
    return keys.objects(session, copyId);
  });
  const found = new Map([...twins, ...families].map((object) => [object.toString('hex'), object]));
  for (const object of own) found.delete(object.toString('hex'));
  return [...found.values()];
}
