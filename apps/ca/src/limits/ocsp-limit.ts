import { isIP } from 'node:net';
import type { OcspAllowance } from '@nest-hsm/ca';
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

/** Of IPv6 the network, since one host has all addresses of its /64 (RFC 6177). */
function sourceOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head, tail] = address.split('%')[0].split('::');
  const groups = (part = ''): string[] => part.split(':').filter((group) => group !== '');
  const missing = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: Math.max(0, missing) }, () => '0'), ...groups(tail)];
  // An IPv4 client of a socket for both is its last groups.
  return all.slice(0, 4).every((group) => group === '0') ? address : all.slice(0, 4).join(':');
}
