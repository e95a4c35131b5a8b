import { HsmError } from '../../../errors.js';
import type { KeyId, KeySelector } from '../../../key/key.js';
import { inspectKey, type KeyIdentity, readIdentity, type TokenKey } from './key-inspection.js';
import { type Attribute, ck, type Native, type ObjectHandle, type SessionHandle } from './native.js';
import { objectClass, type ObjectKind } from './template.js';
import type { VendorProfile } from './vendor-profile.js';

const maximumCached = 10_000;

/**
 * Finds keys and remembers the ones found safe, by id, for as long as their handles are good: a handle from before a
 * login may silently name another object, so the whole memory goes with the generation.
 */
export class KeyStore {
  readonly #known = new Map<KeyId, TokenKey>();
  #generation = -1;

  constructor(
    private readonly native: Native,
    private readonly profile: VendorProfile,
    private readonly currentGeneration: () => number,
  ) {}

  /** @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_KEY_AMBIGUOUS | ERR_HSM_KEY_UNSAFE */
  one(session: SessionHandle, id: KeyId): TokenKey {
    const known = this.#cache().get(id);
    if (known) return known;
    const handles = this.#primaries(session, { id });
    if (handles.length === 0)
      throw new HsmError('ERR_HSM_KEY_NOT_FOUND', `key ${id}: want one on this token, got none`);
    if (handles.length > 1) {
      throw new HsmError('ERR_HSM_KEY_AMBIGUOUS', `key ${id}: want one on this token, got ${handles.length}`);
    }
    return this.#load(session, handles[0], { id, label: this.#readLabel(session, handles[0]) });
  }

  /**
   * All keys that match. Asked for by id or label, a key that is unsafe is an error; in a list of everything it is left out,
   * as objects of other programs are.
   */
  list(session: SessionHandle, selector: KeySelector): TokenKey[] {
    const isNamed = selector.id !== undefined || selector.label !== undefined;
    return this.#primaries(session, selector).flatMap((handle) => {
      const identity = readIdentity(this.native, session, handle);
      if (!identity) return [];
      try {
        const key = this.#cache().get(identity.id) ?? this.#load(session, handle, identity);
        return selector.usage === undefined || key.usage === selector.usage ? [key] : [];
      } catch (error) {
        const isUnsafe = error instanceof HsmError && error.code === 'ERR_HSM_KEY_UNSAFE';
        if (isUnsafe && !isNamed) return [];
        throw error;
      }
    });
  }

  /** Every object, of whatever class, that carries this id. */
  objects(session: SessionHandle, id: KeyId): ObjectHandle[] {
    return this.native.findObjects(session, selectorTemplate({ id }));
  }

  /** The label of a key that need not be safe, for whoever wants it destroyed. @throws {HsmError} ERR_HSM_KEY_NOT_FOUND */
  labelOf(session: SessionHandle, id: KeyId): string {
    const [object] = this.objects(session, id);
    if (!object) throw new HsmError('ERR_HSM_KEY_NOT_FOUND', `key ${id}: want one on this token, got none`);
    return this.#readLabel(session, object);
  }

  forget(id: KeyId): void {
    this.#known.delete(id);
  }

  #cache(): Map<KeyId, TokenKey> {
    const generation = this.currentGeneration();
    if (generation !== this.#generation || this.#known.size > maximumCached) {
      this.#known.clear();
      this.#generation = generation;
    }
    return this.#known;
  }

  #load(session: SessionHandle, handle: ObjectHandle, identity: KeyIdentity): TokenKey {
    const publicHalves = this.#ofKind(session, 'public', { id: identity.id });
    if (publicHalves.length > 1) {
      throw new HsmError(
        'ERR_HSM_KEY_AMBIGUOUS',
        `key ${identity.id}: want one public half, got ${publicHalves.length}`,
      );
    }
    const key = inspectKey(this.native, session, this.profile, identity, handle, publicHalves[0]);
    this.#cache().set(key.id, key);
    return key;
  }

  #readLabel(session: SessionHandle, handle: ObjectHandle): string {
    return this.native.attributes(session, handle, [ck.CKA_LABEL])[0].toString('utf8');
  }

  #primaries(session: SessionHandle, selector: KeySelector): ObjectHandle[] {
    return [...this.#ofKind(session, 'private', selector), ...this.#ofKind(session, 'secret', selector)];
  }

  #ofKind(session: SessionHandle, kind: ObjectKind, selector: KeySelector): ObjectHandle[] {
    const ofClass = { type: ck.CKA_CLASS, value: objectClass[kind] };
    return this.native.findObjects(session, [ofClass, ...selectorTemplate(selector)]);
  }
}

function selectorTemplate({ id, label }: KeySelector): Attribute[] {
  const attributes: Attribute[] = [];
  if (id !== undefined) attributes.push({ type: ck.CKA_ID, value: Buffer.from(id, 'hex') });
  if (label !== undefined) attributes.push({ type: ck.CKA_LABEL, value: Buffer.from(label, 'utf8') });
  return attributes;
}
