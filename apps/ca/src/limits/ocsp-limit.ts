import type { OcspAllowance } from '@nest-hsm/ca';
import { sourceOf } from './source.js';
import { Windows } from './windows.js';

/** What one source may cost by OCSP requests in a window of time: signatures made for it, and certificates that there are not. */
export class OcspLimit {
  readonly #windows = new Windows();

  constructor(private readonly limit: { readonly signatures: number; readonly seconds: number }) {}

  /** @param address  IPv4 or IPv6 */
  of(address: string): OcspAllowance {
    const hit = (hits: number): number => this.#windows.hit(sourceOf(address), this.limit.seconds * 1000, hits).hits;
    const { signatures } = this.limit;
    return {
      get isSpent() {
        return hit(0) >= signatures;
      },
      spend: () => void hit(1),
    };
  }
}
