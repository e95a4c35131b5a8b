import type { Principal } from '../access/principal.js';
import { ApiError } from '../problem/api-error.js';
import { Windows } from './windows.js';

/** How many certificates one requester may ask for in a window of time, one by one or in batches. */
export class CertificateLimit {
  readonly #windows = new Windows();

  constructor(private readonly limit: { readonly certificates: number; readonly seconds: number }) {}

  /** @throws {ApiError} ERR_API_RATE_LIMITED with the seconds to wait */
  take({ requester }: Principal, certificates: number): void {
    const { hits, endsIn } = this.#windows.hit(requester, this.limit.seconds * 1000, certificates);
    if (hits <= this.limit.certificates) return;
    throw new ApiError(
      'ERR_API_RATE_LIMITED',
      `${requester}: want at most ${this.limit.certificates} certificates in ${this.limit.seconds} s`,
      { retryAfterSeconds: Math.ceil(endsIn / 1000) },
    );
  }
}
