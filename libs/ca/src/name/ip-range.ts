import ipaddr from 'ipaddr.js';
import { CaError } from '../errors.js';
import { ipAddress } from './general-name.js';

/** Addresses of one family that agree in the leading bits. */
export class IpRange {
  constructor(
    readonly network: ipaddr.IPv4 | ipaddr.IPv6,
    readonly bits: number,
  ) {}

  /** @param address  as `ipAddress` returns it */
  includes(address: string): boolean {
    const parsed = ipaddr.parse(address);
    return parsed.kind() === this.network.kind() && parsed.match(this.network, this.bits);
  }
}

/** `10.0.0.0/8`, `2001:db8::/32` or one address. @throws {CaError} ERR_CA_NAME_INVALID */
export function parseIpRange(text: string): IpRange {
  const [address, prefix, ...rest] = text.split('/');
  const network = ipaddr.parse(ipAddress(address).value);
  const widest = network.kind() === 'ipv4' ? 32 : 128;
  const bits = prefix === undefined ? widest : Number(prefix);
  if (rest.length > 0 || prefix === '' || !/^\d*$/.test(prefix ?? '') || bits > widest) {
    throw new CaError(
      'ERR_CA_NAME_INVALID',
      `IP range: want an address and a prefix of at most ${widest} bits, got ${JSON.stringify(text)}`,
    );
  }
  return new IpRange(network, bits);
}
