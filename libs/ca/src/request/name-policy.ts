import ipaddr from 'ipaddr.js';
import { CaError } from '../errors.js';
import { normalizeDnsName } from '../name/dns-name.js';
import { type GeneralName, ipAddress } from '../name/general-name.js';

/**
 * Names that may be certified; everything else is refused.
 * dns: `api.example.test` is that name alone. `*.example.test` is one or more labels below example.test, not example.test
 * itself; a requested wildcard counts its `*` as a label, since all it can match is allowed too.
 * ip: one address, or a range in CIDR notation.
 */
export interface AllowedNames {
  readonly dns: readonly string[];
  readonly ip: readonly string[];
}

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];

/** An allow-list, parsed once. */
export class NamePolicy {
  readonly #exact = new Set<string>();
  readonly #suffixes: string[] = [];
  readonly #ranges: Range[];

  /** @throws {CaError} ERR_CA_NAME_INVALID naming the entry */
  constructor(allowed: AllowedNames) {
    for (const entry of allowed.dns) {
      const name = normalizeDnsName(entry);
      if (name.startsWith('*.')) this.#suffixes.push(name.slice(1));
      else this.#exact.add(name);
    }
    this.#ranges = allowed.ip.map(parseIpRange);
  }

  permits(name: GeneralName): boolean {
    if (name.type === 'dns')
      return this.#exact.has(name.value) || this.#suffixes.some((suffix) => name.value.endsWith(suffix));
    const address = ipaddr.parse(name.value);
    return this.#ranges.some(([network, bits]) => address.kind() === network.kind() && address.match(network, bits));
  }

  /** @throws {CaError} ERR_CA_NAME_NOT_ALLOWED naming each refused name */
  assertPermits(names: readonly GeneralName[]): void {
    const refused = names.filter((name) => !this.permits(name)).map((name) => name.value);
    if (refused.length > 0)
      throw new CaError('ERR_CA_NAME_NOT_ALLOWED', `names: want names of the allow-list, got ${refused.join(', ')}`);
  }
}

/** `10.0.0.0/8`, `2001:db8::/32` or one address. @throws {CaError} ERR_CA_NAME_INVALID */
export function parseIpRange(text: string): Range {
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
  return [network, bits];
}
