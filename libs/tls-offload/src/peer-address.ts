import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';

/** An IPv4 address that a socket for both families shows as IPv6 (RFC 4291 §2.5.5.2) is IPv4. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && isIPv4(address.slice(7)) ? address.slice(7) : address;
}

/**
 * Whom limits count an address as: itself, or the /64 of an IPv6 address, of which one host may have as many as it likes
 * (RFC 7421).
 */
export function sourceOf(address: string): string {
  const plain = plainAddress(address);
  // Asked of every connection: the whole of an IPv6 address takes a while to recognize.
  if (!plain.includes(':') || !isIPv6(plain)) return plain;
  const [head, tail] = plain.split('%')[0].split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':');
    // An IPv4 address at the end stands for two groups.
    const missing = 8 - groups.length - after.length - (after.at(-1)?.includes('.') === true ? 1 : 0);
    groups.push(...new Array<string>(Math.max(0, missing)).fill('0'), ...after);
  }
  const network = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(':')}::/64`;
}

/** Whether it is an address, or a range of addresses in CIDR notation (RFC 4632, RFC 4291 §2.3). */
export function isAddressRange(range: string): boolean {
  const [address, prefix, ...rest] = range.split('/');
  if (rest.length > 0 || isIP(address) === 0 || address.includes('%')) return false;
  return prefix === undefined || (/^(0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= (isIPv4(address) ? 32 : 128));
}

/** Addresses whose word about others is believed. */
export class TrustedPeers {
  readonly #list = new BlockList();

  /** @param ranges  of which each `isAddressRange` */
  constructor(ranges: readonly string[]) {
    for (const range of ranges) {
      const [address, prefix] = range.split('/');
      const family = isIPv4(address) ? 'ipv4' : 'ipv6';
      if (prefix === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(prefix), family);
    }
  }

  has(address: string): boolean {
    const plain = plainAddress(address);
    return isIP(plain) !== 0 && this.#list.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6');
  }
}
