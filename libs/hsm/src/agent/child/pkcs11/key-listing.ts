import { setImmediate as nextTurn } from 'node:timers/promises';
import { HsmError } from '../../../errors.js';
import type { KeyId, KeyUsage } from '../../../key/key.js';
import { largestPage, type ObjectPage, type PageRequest } from '../../protocol.js';
import { inspectObject, type TokenKey } from './key-inspection.js';
import type { Native, ObjectHandle, SessionHandle } from './native.js';
import { noId, ObjectIndex, type ObjectsOfId } from './object-index.js';
import { ObjectReader } from './object-reader.js';
import { idBytes, objectClass, objectKinds } from './template.js';
import type { VendorProfile } from './vendor-profile.js';

/** A page ends when it took this long, so that a slow token with thousands of keys is not taken for a hung one. */
const pageMilliseconds = 300;
/** Of one id; whoever wants to know of more looks at the token. */
const maximumReports = 16;

/** Keys in the order of their ids. */
export interface TokenKeyPage {
  readonly keys: readonly TokenKey[];
  /** What the next page comes after; absent on the last. */
  readonly next?: string;
}

/** Whether whoever asks may know of what has that label; the same function for each page of a list. */
export type Visibility = (labelled: { readonly label: string }) => boolean;

/** Between two ids there is nothing to see. */
interface Barren {
  readonly after: string;
  readonly upTo: string;
}

/**
 * All that is on the token, page by page in the order of the ids. Between two pages the index of the first is kept; where
 * another listing took its place, or the agent is a new one, it is made anew and the pages go on after the same id.
 */
export class KeyListing {
  #index: ObjectIndex | undefined;
  /** Where pages without anything to see have got to: their `next` must not name what is hidden. */
  readonly #barren = new WeakMap<Visibility, Barren>();

  constructor(
    private readonly native: Native,
    private readonly profile: VendorProfile,
    private readonly currentGeneration: () => number,
    /** @throws {HsmError} for a key that is unsafe or doubled, which is then left out */
    private readonly key: (session: SessionHandle, id: KeyId, objects: ObjectsOfId) => TokenKey,
  ) {}

  async keys(
    session: SessionHandle,
    usage: KeyUsage | undefined,
    request: PageRequest,
    isVisible: Visibility,
  ): Promise<TokenKeyPage> {
    const { found, next } = await this.#page(session, request, isVisible, (id, objects) => {
      if (id.length !== 2 * idBytes || objects.private.length + objects.secret.length === 0) return [];
      try {
        return [this.key(session, id as KeyId, objects)];
      } catch (error) {
        if (error instanceof HsmError) return [];
        throw error;
      }
    });
    return { keys: found.filter((key) => usage === undefined || key.usage === usage), next };
  }

  /** What each object says of itself, whoever made it. */
  async objects(session: SessionHandle, request: PageRequest, isVisible: Visibility): Promise<ObjectPage> {
    const { found, next } = await this.#page(session, request, isVisible, (id, objects) =>
      objectKinds
        .flatMap((kind) => objects[kind].map((handle) => ({ kind, handle })))
        .slice(0, maximumReports)
        .map(({ kind, handle }) => ({
          id: id === noId ? '' : id,
          ...inspectObject(this.native, session, this.profile, kind, handle),
        })),
    );
    return { objects: found, next };
  }

  /** Of these objects, each once. */
  reports(session: SessionHandle, handles: readonly ObjectHandle[]): ObjectPage {
    const unique = [...new Map(handles.map((handle) => [handle.toString('hex'), handle])).values()];
    const objects = unique.slice(0, maximumReports).flatMap((handle) => {
      const reader = new ObjectReader(this.native, session, handle);
      const ofClass = reader.number('CKA_CLASS');
      const kind = objectKinds.find((each) => objectClass[each] === ofClass);
      const id = reader.read('CKA_ID')?.toString('hex') ?? '';
      return kind ? [{ id, ...inspectObject(this.native, session, this.profile, kind, handle) }] : [];
    });
    return { objects };
  }

  async #page<T extends { readonly label: string }>(
    session: SessionHandle,
    { after, limit = largestPage }: PageRequest,
    isVisible: Visibility,
    read: (id: string, objects: ObjectsOfId) => readonly T[],
  ): Promise<{ found: T[]; next?: string }> {
    const over = performance.now() + pageMilliseconds;
    const found: T[] = [];
    let next = after ?? '';
    // There may be something to see since an earlier list.
    if (after === undefined) this.#barren.delete(isVisible);
    try {
      const index = this.#indexFor(session, after);
      if (!(await index.read(session, over))) return { found, next };
      const begin = this.#begin(isVisible, next);
      let last = begin;
      for (const id of index.idsAfter(begin)) {
        if (last !== begin && (found.length >= limit || performance.now() > over)) {
          this.#barren.set(isVisible, { after: next, upTo: last });
          return { found, next };
        }
        const visible = read(id, index.objects(id)).filter(isVisible);
        found.push(...visible);
        if (visible.length > 0) next = id;
        last = id;
        // Reading has no asynchronous form: let `ping` and other calls in between two keys.
        await nextTurn();
      }
      this.#index = undefined;
      return { found };
    } catch (error) {
      // An object that is gone, a login that was lost: what the index holds is no use any more.
      this.#index = undefined;
      throw error;
    }
  }

  #begin(isVisible: Visibility, after: string): string {
    const barren = this.#barren.get(isVisible);
    return barren?.after === after ? barren.upTo : after;
  }

  #indexFor(session: SessionHandle, after: string | undefined): ObjectIndex {
    const generation = this.currentGeneration();
    if (after !== undefined && this.#index?.generation === generation) return this.#index;
    this.#index = new ObjectIndex(this.native, session, generation);
    return this.#index;
  }
}
