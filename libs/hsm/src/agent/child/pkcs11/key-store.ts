import { setImmediate as nextTurn } from 'node:timers/promises';
import { HsmError } from '../../../errors.js';
import type { KeyId, KeySelector } from '../../../key/key.js';
import { inspectKey, type KeyObjects, type TokenKey } from './key-inspection.js';
import { type Attribute, ck, type Native, type ObjectHandle, type SessionHandle } from './native.js';
import { idBytes, objectClass, type ObjectKind } from './template.js';
import type { VendorProfile } from './vendor-profile.js';

const maximumRemembered = 10_000;

/**
 * Finds keys and remembers the ones found safe, by id, for as long as their handles are good: a handle from before a
 * login may silently name another object, so the whole memory goes with the generation.
 */
export class KeyStore {
  readonly #remembered = new Map<KeyId, TokenKey>();
  #generation = -1;

  constructor(
    private readonly native: Native,
    private readonly profile: VendorProfile,
    private readonly currentGeneration: () => number,
  ) {}

  /** A key that was found safe and whose handles are still good. */
  remembered(id: KeyId): TokenKey | undefined {
    return this.#memory().get(id);
  }

  /** @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_KEY_AMBIGUOUS | ERR_HSM_KEY_UNSAFE */
  one(session: SessionHandle, id: KeyId): TokenKey {
    return this.remembered(id) ?? this.#load(session, id, this.#objectsOf(session, id));
  }

  /**
   * All keys that match. Asked for by id or label, a key that is unsafe or doubled is an error; in a list of everything it
   * is left out, as objects of other programs are.
   * @throws {HsmError} ERR_HSM_KEY_AMBIGUOUS | ERR_HSM_KEY_UNSAFE
   */
  async list(session: SessionHandle, selector: KeySelector): Promise<TokenKey[]> {
    const isNamed = selector.id !== undefined || selector.label !== undefined;
    const keys: TokenKey[] = [];
    for (const id of this.#ids(session, selector)) {
      try {
        const key = this.#current(session, id);
        if (selector.usage === undefined || key.usage === selector.usage) keys.push(key);
      } catch (error) {
        if (isNamed || !(error instanceof HsmError)) throw error;
      }
      // Finding and reading have no asynchronous form: let `ping` and other calls in between two keys.
      await nextTurn();
    }
    return keys;
  }

  /** Every object, of whatever class, that carries this id. */
  objects(session: SessionHandle, id: KeyId): ObjectHandle[] {
    return this.native.findObjects(session, selectorTemplate({ id }));
  }

  forget(id: KeyId): void {
    this.#remembered.delete(id);
  }

  /** As `one`, but sees when a second object has joined a remembered one. */
  #current(session: SessionHandle, id: KeyId): TokenKey {
    const objects = this.#objectsOf(session, id);
    const remembered = this.remembered(id);
    return remembered?.handle.equals(objects.handle) ? remembered : this.#load(session, id, objects);
  }

  #load(session: SessionHandle, id: KeyId, objects: KeyObjects): TokenKey {
    const key = inspectKey(this.native, session, this.profile, id, objects);
    this.#memory().set(id, key);
    return key;
  }

  #memory(): Map<KeyId, TokenKey> {
    const generation = this.currentGeneration();
    if (generation !== this.#generation || this.#remembered.size >= maximumRemembered) {
      this.#remembered.clear();
      this.#generation = generation;
    }
    return this.#remembered;
  }

  #ids(session: SessionHandle, selector: KeySelector): Set<KeyId> {
    const ids = this.#primaries(session, selector)
      .map((handle) => this.native.attributes(session, handle, [ck.CKA_ID])[0])
      .filter((id) => id.length === idBytes)
      .map((id) => id.toString('hex') as KeyId);
    return new Set(ids);
  }

  #objectsOf(session: SessionHandle, id: KeyId): KeyObjects {
    const primaries = this.#primaries(session, { id });
    if (primaries.length === 0) throw notFound(id);
    const publicHalves = this.#ofKind(session, 'public', { id });
    if (primaries.length > 1 || publicHalves.length > 1) {
      this.forget(id);
      const got = `${primaries.length} and ${publicHalves.length} public halves`;
      throw new HsmError('ERR_HSM_KEY_AMBIGUOUS', `key ${id}: want one on this token, got ${got}`);
    }
    return { handle: primaries[0], publicHandle: publicHalves[0] };
  }

  /** Private halves and secret keys: what a key is about. */
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

function notFound(id: KeyId): HsmError {
  return new HsmError('ERR_HSM_KEY_NOT_FOUND', `key ${id}: want one on this token, got none`);
}
