import type { OcspAllowance } from '@nest-hsm/ca';
import { sourceOf } from './source.js';
import { Windows } from './windows.js';

/** What one source may cost by OCSP requests in a window of time: signatures made for it, and certificates that there are not. */
export class OcspLimit {
  readonly #windows = new Windows();

  constructor(private readonly limit: { readonly signatures: number; readonly seconds: number }) {}

  /** @param address  IPv4 or IPv6 */
  of(address: string): OcspAllowance {
    const { signatures, seconds } = this.limit;
    const asker = sourceOf(address);
    const hit = (hits: number): ReturnType<Windows['hit']> => this.#windows.hit(asker, seconds * 1000, hits);
    return {
      asker,
      get isSpent() {
        return hit(0).hits >= signatures;
      },
      get retryAfterSeconds() {
        return Math.ceil(hit(0).endsIn / 1000);
      },
      spend: () => void hit(1),
    };
  }
}
