import { BlockList, isIP } from 'node:net';

/** TLS terminators that are trusted: what they say of their clients is believed, and of nobody else. */
export class Terminators {
  readonly #addresses = new BlockList();

  /** @param addresses  addresses and ranges in CIDR notation */
  constructor(addresses: readonly string[]) {
    for (const each of addresses) {
      const [address, prefix] = each.split('/');
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      if (prefix === undefined) this.#addresses.addAddress(address, family);
      else this.#addresses.addSubnet(address, Number(prefix), family);
    }
  }

  /** @param address  of a peer; `::ffff:192.0.2.1` is 192.0.2.1 */
  include(address: string): boolean {
    const family = isIP(address);
    return family !== 0 && this.#addresses.check(address, family === 6 ? 'ipv6' : 'ipv4');
  }
}
