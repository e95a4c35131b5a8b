import { derElements, DerError } from '../der/der-reader.js';
import { digestOf } from '../issuance/signing.js';
import type { CrlRecord, CrlScope, CrlStore } from '../store/crl-store.js';

/** A CRL in force. */
export interface PublishedCrl extends CrlRecord {
  readonly der: Buffer;
}

/** The newest CRL of a scope in the database, whoever made it. */
export class StoredCrl {
  #current: PublishedCrl | undefined;

  constructor(
    private readonly crls: CrlStore,
    readonly scope: CrlScope,
  ) {}

  /** The newest one known here; undefined before the first `adopt`. */
  get current(): PublishedCrl | undefined {
    return this.#current;
  }

  /** Takes over what was published since. @throws {CaError} ERR_CA_STORE_UNAVAILABLE */
  async adopt(): Promise<void> {
    const newest = await this.crls.newest(this.scope);
    if (newest === undefined || newest.number <= (this.#current?.number ?? 0)) return;
    const der = await this.crls.der(newest);
    // Gone, in part or whole: a still newer one took its place in between, and is taken over the next time.
    if (der !== undefined && tbsDigestOf(der) === newest.tbsSha256) this.replace({ ...newest, der });
  }

  /** By one that was published here. */
  replace(crl: PublishedCrl): void {
    this.#current = Object.freeze(crl);
  }
}

/** SHA-256 of the TBS inside a CRL; undefined when it is not whole. */
function tbsDigestOf(der: Buffer): string | undefined {
  try {
    const [list] = derElements(der);
    const [tbs] = derElements(list.content);
    return digestOf(tbs.raw);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}
