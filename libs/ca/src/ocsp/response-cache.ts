import type { OcspResponseKey, StoredOcspResponse } from '../store/ocsp-store.js';

/** About 1 KiB each. */
const maximumResponses = 20_000;

/** A stored response with what HTTP says of it. */
export interface CachedResponse extends StoredOcspResponse {
  /** Strong, quotes included. */
  readonly etag: string;
}

/** Responses in memory, the least recently used leaving first. */
export class ResponseCache {
  readonly #responses = new Map<string, CachedResponse>();
  #epoch = 0;

  /** Changes with every removal: what was read before one must not be put in after it. */
  get epoch(): number {
    return this.#epoch;
  }

  get(key: OcspResponseKey): CachedResponse | undefined {
    const name = nameOf(key);
    const response = this.#responses.get(name);
    if (response === undefined) return undefined;
    this.#responses.delete(name);
    this.#responses.set(name, response);
    return response;
  }

  put(response: CachedResponse): void {
    this.#responses.set(nameOf(response), response);
    if (this.#responses.size <= maximumResponses) return;
    const [oldest] = this.#responses.keys();
    this.#responses.delete(oldest);
  }

  remove(issuerId: string, serials: readonly string[]): void {
    this.#epoch += 1;
    for (const serial of serials)
      for (const hash of ['sha1', 'sha256'] as const) this.#responses.delete(nameOf({ issuerId, serial, hash }));
  }

  clear(): void {
    this.#epoch += 1;
    this.#responses.clear();
  }
}

function nameOf({ issuerId, serial, hash }: OcspResponseKey): string {
  return `${issuerId}${serial}${hash}`;
}
