import type { RevocationStore } from '../store/revocation-store.js';
import type { ResponseCache } from './response-cache.js';

/** How long another replica's revocation may go unnoticed. */
const intervalMilliseconds = 1_000;
/** More changes than this at once empty the cache. */
const maximumChanges = 1_000;

/** Takes out of the cache what other replicas changed. Asked before every answer, it looks into the database once a second. */
export class StatusWatch {
  #sequence: number | undefined;
  #lookedAt = -Infinity;
  #looking: Promise<void> | undefined;

  constructor(
    private readonly issuerId: string,
    private readonly revocations: RevocationStore,
    private readonly cache: ResponseCache,
  ) {}

  /** @returns undefined when there is nothing to wait for. The promise rejects when the database does not answer. */
  look(): Promise<void> | undefined {
    if (performance.now() - this.#lookedAt < intervalMilliseconds) return undefined;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
      // A database that is away is asked no more often.
      this.#lookedAt = performance.now();
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const newest = await this.revocations.newestSequence(this.issuerId);
    if (this.#sequence !== undefined && newest !== this.#sequence) {
      const serials = await this.revocations.changedSince(this.issuerId, this.#sequence, maximumChanges);
      if (serials === undefined) this.cache.clear();
      else this.cache.remove(this.issuerId, serials);
    }
    this.#sequence = newest;
  }
}
