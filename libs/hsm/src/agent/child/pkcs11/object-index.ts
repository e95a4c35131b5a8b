import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Attribute, ck, type Native, type ObjectHandle, type SessionHandle } from './native.js';
import { ObjectReader } from './object-reader.js';
import { objectClass, type ObjectKind, objectKinds } from './template.js';

/** A CKA_ID that is longer is cut to this: no program makes such, and somebody may. */
const maximumIdBytes = 64;

/** What objects without a CKA_ID are indexed by: after `''` and before every hexadecimal digit. */
export const noId = '-';

/** The handles of one CKA_ID. */
export type ObjectsOfId = Readonly<Record<ObjectKind, readonly ObjectHandle[]>>;

/**
 * The keys on a token by their CKA_ID (lower-case hexadecimal), read little by little: the ids of thousands take longer than a
 * call may, since reading has no asynchronous form and each is a round trip. Handles are good for one login only.
 */
export class ObjectIndex {
  readonly #byId = new Map<string, Record<ObjectKind, ObjectHandle[]>>();
  readonly #unread: { readonly kind: ObjectKind; readonly handle: ObjectHandle }[];
  #ids: readonly string[] | undefined;

  constructor(
    private readonly native: Native,
    session: SessionHandle,
    readonly generation: number,
  ) {
    this.#unread = objectKinds.flatMap((kind) => {
      const ofKind: Attribute[] = [{ type: ck.CKA_CLASS, value: objectClass[kind] }];
      return native.findObjects(session, ofKind).map((handle) => ({ kind, handle }));
    });
  }

  /** Goes on reading. @returns whether all is read; when not, ask again */
  async read(session: SessionHandle, until: number): Promise<boolean> {
    for (let read = 0; ; read++) {
      const next = this.#unread.pop();
      if (next === undefined) break;
      this.#add(session, next.kind, next.handle);
      if (performance.now() > until) return false;
      // Lets `ping` and other calls in between.
      if (read % 16 === 15) await nextTurn();
    }
    this.#ids ??= [...this.#byId.keys()].sort();
    return true;
  }

  /** The ids that come after one, in their order. */
  idsAfter(after: string): readonly string[] {
    const ids = this.#ids ?? [];
    return ids.slice(firstAfter(ids, after));
  }

  objects(id: string): ObjectsOfId {
    return this.#byId.get(id) ?? { private: [], public: [], secret: [] };
  }

  #add(session: SessionHandle, kind: ObjectKind, handle: ObjectHandle): void {
    // Absent when the object was destroyed since it was found.
    const value = new ObjectReader(this.native, session, handle).read('CKA_ID');
    if (value === undefined) return;
    const id = value.toString('hex', 0, maximumIdBytes) || noId;
    const known = this.#byId.get(id) ?? { private: [], public: [], secret: [] };
    known[kind].push(handle);
    this.#byId.set(id, known);
  }
}

function firstAfter(ids: readonly string[], after: string): number {
  const index = ids.findIndex((id) => id > after);
  return index < 0 ? ids.length : index;
}
