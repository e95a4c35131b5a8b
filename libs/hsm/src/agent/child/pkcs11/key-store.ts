import { setImmediate as nextTurn } from 'node:timers/promises';
import { HsmError } from '../../../errors.js';
import type { KeyId, KeySelector } from '../../../key/key.js';
import { largestPage, type ObjectPage, type ObjectsRequest, type PageRequest } from '../../protocol.js';
import { inspectKey, type KeyObjects, type Permit, type TokenKey } from './key-inspection.js';
import { KeyListing, type TokenKeyPage, type Visibility } from './key-listing.js';
import { type Attribute, ck, type Native, type ObjectHandle, type SessionHandle } from './native.js';
import type { ObjectsOfId } from './object-index.js';
import { idBytes, objectClass, type ObjectKind } from './template.js';
import { findTwins, publicIdentity } from './public-identity.js';
import type { VendorProfile } from './vendor-profile.js';

const maximumRemembered = 10_000;

/**
 * Finds keys and remembers the ones found safe, by id, for as long as their handles are good: a handle from before a
 * login may silently name another object, so the whole memory goes with the generation.
 */
export class KeyStore {
  readonly #remembered = new Map<KeyId, TokenKey>();
  #generation = -1;
  readonly #listing: KeyListing;

  constructor(
    private readonly native: Native,
    private readonly profile: VendorProfile,
    private readonly currentGeneration: () => number,
  ) {
    this.#listing = new KeyListing(native, profile, currentGeneration, (session, id, objects) =>
      this.#current(session, id, objects),
    );
  }

  /** A key that was found safe and whose handles are still good. */
  remembered(id: KeyId): TokenKey | undefined {
    return this.#memory().get(id);
  }

  /** @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_KEY_AMBIGUOUS | ERR_HSM_KEY_UNSAFE */
  one(session: SessionHandle, id: KeyId, permit?: Permit): TokenKey {
    return this.remembered(id) ?? this.#load(session, id, this.#oneOf(id, this.#search(session, id)), permit);
  }

  /**
   * The keys that match, in the order of their ids. Asked for by id or label, a key that is unsafe or doubled is an error; in a
   * list of everything it is left out, as objects of other programs are, and what is not visible.
   * @throws {HsmError} ERR_HSM_KEY_AMBIGUOUS | ERR_HSM_KEY_UNSAFE
   */
  page(
    session: SessionHandle,
    selector: KeySelector,
    request: PageRequest,
    isVisible: Visibility,
    permit: Permit,
  ): Promise<TokenKeyPage> {
    const isNamed = selector.id !== undefined || selector.label !== undefined;
    if (isNamed) return this.#named(session, selector, request, permit);
    return this.#listing.keys(session, selector.usage, request, isVisible);
  }

  /** What objects of keys on the token say of themselves, whoever made them; in a list of everything, the visible ones. */
  inspect(
    session: SessionHandle,
    { id, spki, ...request }: ObjectsRequest,
    isVisible: Visibility,
  ): Promise<ObjectPage> {
    if (id === undefined && spki === undefined) return this.#listing.objects(session, request, isVisible);
    const carriers = id === undefined ? [] : this.objects(session, id);
    const twins = spki === undefined ? [] : findTwins(this.native, session, publicIdentity(spki));
    return Promise.resolve(this.#listing.reports(session, [...carriers, ...twins]));
  }

  /** Every object, of whatever class, that carries this id. */
  objects(session: SessionHandle, id: KeyId): ObjectHandle[] {
    return this.native.findObjects(session, selectorTemplate({ id }));
  }

  forget(id: KeyId): void {
    this.#remembered.delete(id);
  }

  async #named(
    session: SessionHandle,
    selector: KeySelector,
    { after = '', limit = largestPage }: PageRequest,
    permit: Permit,
  ): Promise<TokenKeyPage> {
    const ids = [...this.#ids(session, selector)].filter((id) => id > after).sort();
    const keys: TokenKey[] = [];
    for (const id of ids.slice(0, limit)) {
      const objects = this.#search(session, id);
      // One that was destroyed since its id was read is no fault, nor is one in the making beside others of its label.
      if (objects.private.length + objects.secret.length === 0) continue;
      if (ids.length > 1 && objects.private.length > 0 && objects.public.length === 0) continue;
      const key = this.#current(session, id, objects, permit);
      if (selector.usage === undefined || key.usage === selector.usage) keys.push(key);
      // Reading has no asynchronous form: let `ping` and other calls in between two keys.
      await nextTurn();
    }
    return { keys, next: ids.length > limit ? ids[limit - 1] : undefined };
  }

  /** As `one`, but sees when a second object has joined a remembered one. */
  #current(session: SessionHandle, id: KeyId, found: ObjectsOfId, permit?: Permit): TokenKey {
    const objects = this.#oneOf(id, found);
    const remembered = this.remembered(id);
    return remembered?.handle.equals(objects.handle) ? remembered : this.#load(session, id, objects, permit);
  }

  #load(session: SessionHandle, id: KeyId, objects: KeyObjects, permit: Permit | undefined): TokenKey {
    const key = inspectKey(this.native, session, this.profile, id, objects, permit);
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
    const ids = (['private', 'secret'] as const)
      .flatMap((kind) => this.#ofKind(session, kind, selector))
      .map((handle) => this.native.attributes(session, handle, [ck.CKA_ID])[0])
      .filter((id) => id.length === idBytes)
      .map((id) => id.toString('hex') as KeyId);
    return new Set(ids);
  }

  #search(session: SessionHandle, id: KeyId): ObjectsOfId {
    return {
      private: this.#ofKind(session, 'private', { id }),
      public: this.#ofKind(session, 'public', { id }),
      secret: this.#ofKind(session, 'secret', { id }),
    };
  }

  /** @throws {HsmError} ERR_HSM_KEY_NOT_FOUND | ERR_HSM_KEY_AMBIGUOUS */
  #oneOf(id: KeyId, { public: publicHalves, ...primary }: ObjectsOfId): KeyObjects {
    // Private halves and secret keys: what a key is about.
    const primaries = [...primary.private, ...primary.secret];
    if (primaries.length === 0) throw notFound(id);
    if (primaries.length > 1 || publicHalves.length > 1) {
      this.forget(id);
      const got = `${primaries.length} and ${publicHalves.length} public halves`;
      throw new HsmError('ERR_HSM_KEY_AMBIGUOUS', `key ${id}: want one on this token, got ${got}`);
    }
    return { handle: primaries[0], publicHandle: publicHalves[0] };
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
