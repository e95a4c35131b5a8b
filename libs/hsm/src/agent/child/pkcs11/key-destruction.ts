import { HsmError } from '../../../errors.js';
import type { KeyId } from '../../../key/key.js';
import type { Call } from '../call.js';
import { ck, type Native, type ObjectHandle, type SessionHandle } from './native.js';
import { type AttributeName, ObjectReader } from './object-reader.js';
import { idBytes } from './template.js';
import type { Token } from './token.js';

/**
 * Destroys every object of a key: those that carry its id and, for key pairs of the token, those elsewhere on it that hold
 * the same public key. An extractable original is destroyed alone, since its copies on the token are what it was made for. (A
 * secret key's CKA_CHECK_VALUE is three bytes, too few to destroy a second key on.)
 * @param permit  asked about the label of each object before the first is destroyed; throws to refuse them all
 * @returns how many
 * @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_OUTCOME_UNKNOWN
 */
export async function destroyKey(
  token: Token,
  call: Call,
  id: KeyId,
  permit: (label: string) => void,
): Promise<number> {
  return token.run(call, 'once', (session) => {
    const own = token.keys.objects(session, id);
    if (own.length === 0) throw new HsmError('ERR_HSM_KEY_NOT_FOUND', `key ${id}: want one to destroy, got none`);
    const all = [...own, ...copiesOf(token, session, own)];
    for (const object of all) permit(new ObjectReader(token.native, session, object).text('CKA_LABEL'));
    token.keys.forget(id);
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
function copiesOf({ native, keys }: Token, session: SessionHandle, own: readonly ObjectHandle[]): ObjectHandle[] {
  const twins = own.flatMap((object) => sameKey(native, session, object));
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

function sameKey(native: Native, session: SessionHandle, object: ObjectHandle): ObjectHandle[] {
  const reader = new ObjectReader(native, session, object);
  if (!reader.boolean('CKA_TOKEN')) return [];
  return identities.flatMap((name) => {
    const value = reader.read(name);
    return value && value.length > 0 ? native.findObjects(session, [onToken, { type: ck[name], value }]) : [];
  });
}

const onToken = { type: ck.CKA_TOKEN, value: true };

/** An RSA half knows the modulus, a public EC half the point. */
const identities: readonly AttributeName[] = ['CKA_MODULUS', 'CKA_EC_POINT'];
