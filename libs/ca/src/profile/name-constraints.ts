import ipaddr from 'ipaddr.js';
import { contextConstructed, contextPrimitive, type DerWriter } from '../der/der-writer.js';
import type { DerNode } from '../der/der-reader.js';
import { CaError } from '../errors.js';
import { normalizeDnsName } from '../name/dns-name.js';
import type { GeneralName } from '../name/general-name.js';
import { parseIpRange } from '../request/name-policy.js';

/** As an operator writes them: `dns` is a name and everything below it, `ip` a range in CIDR notation. */
export interface ConfiguredNameConstraints {
  readonly permitted: { readonly dns: readonly string[]; readonly ip: readonly string[] };
  readonly excluded: { readonly dns: readonly string[]; readonly ip: readonly string[] };
}

interface Subtrees {
  readonly dns: readonly string[];
  /** Network and mask, 4 + 4 or 16 + 16 octets. */
  readonly ip: readonly Buffer[];
}

const dnsTag = contextPrimitive(2);
const ipTag = contextPrimitive(7);

/** Name constraints of one CA certificate, and whether a name stays within them (RFC 5280 §4.2.1.10). */
export class NameConstraints {
  private constructor(
    private readonly permitted: Subtrees,
    private readonly excluded: Subtrees,
  ) {}

  /** @throws {CaError} ERR_CA_NAME_INVALID */
  static of({ permitted, excluded }: ConfiguredNameConstraints): NameConstraints {
    return new NameConstraints(encodeSubtrees(permitted), encodeSubtrees(excluded));
  }

  /**
   * Reads the value of a nameConstraints extension. A kind of name the CA cannot check fails closed.
   * @throws {CaError} ERR_CA_ISSUER_UNUSABLE
   */
  static read(value: DerNode): NameConstraints {
    const subtrees = { permitted: { dns: [], ip: [] }, excluded: { dns: [], ip: [] } } as Record<
      string,
      { dns: string[]; ip: Buffer[] }
    >;
    for (const list of value.children) {
      const into = list.tag === contextConstructed(0) ? subtrees.permitted : subtrees.excluded;
      for (const { children } of list.children) {
        const [base, ...bounds] = children;
        if (bounds.length > 0)
          throw new CaError('ERR_CA_ISSUER_UNUSABLE', 'name constraints: want no minimum or maximum');
        if (base.tag === dnsTag) into.dns.push(base.content.toString('latin1').toLowerCase());
        else if (base.tag === ipTag) into.ip.push(base.content);
        else
          throw new CaError(
            'ERR_CA_ISSUER_UNUSABLE',
            `name constraints: want dNSName or iPAddress, got [${base.tag & 0x1f}]`,
          );
      }
    }
    return new NameConstraints(subtrees.permitted, subtrees.excluded);
  }

  write(writer: DerWriter): void {
    writer.sequence(() => {
      for (const [number, { dns, ip }] of [this.permitted, this.excluded].entries()) {
        if (dns.length + ip.length === 0) continue;
        writer.constructed(contextConstructed(number), () => {
          for (const base of dns) writer.sequence(() => writer.primitive(dnsTag, Buffer.from(base, 'latin1')));
          for (const base of ip) writer.sequence(() => writer.primitive(ipTag, base));
        });
      }
    });
  }

  /** @throws {CaError} ERR_CA_CONSTRAINT_VIOLATED naming each name outside */
  assertPermits(names: readonly GeneralName[]): void {
    const outside = names.filter((name) => !this.permits(name)).map((name) => name.value);
    if (outside.length > 0)
      throw new CaError(
        'ERR_CA_CONSTRAINT_VIOLATED',
        `names: want names within the issuer's name constraints, got ${outside.join(', ')}`,
      );
  }

  permits(name: GeneralName): boolean {
    if (name.type === 'ip') {
      const address = Buffer.from(ipaddr.parse(name.value).toByteArray());
      const within = (range: Buffer): boolean => isInRange(address, range);
      return !this.excluded.ip.some(within) && (this.permitted.ip.length === 0 || this.permitted.ip.some(within));
    }
    const isExcluded = this.excluded.dns.some((base) => isAtOrBelow(name.value, base) || mayMatch(name.value, base));
    return (
      !isExcluded &&
      (this.permitted.dns.length === 0 || this.permitted.dns.some((base) => isAtOrBelow(name.value, base)))
    );
  }
}

function encodeSubtrees(configured: { readonly dns: readonly string[]; readonly ip: readonly string[] }): Subtrees {
  const ip = configured.ip.map((text) => {
    const [network, bits] = parseIpRange(text);
    const address = network.toByteArray();
    const mask = address.map((_, index) => (0xff00 >> Math.min(8, Math.max(0, bits - index * 8))) & 0xff);
    return Buffer.from([...address.map((octet, index) => octet & mask[index]), ...mask]);
  });
  return { dns: configured.dns.map(normalizeDnsName), ip };
}

function isAtOrBelow(name: string, base: string): boolean {
  return base === '' || name === base || name.endsWith(`.${base}`);
}

/** A requested wildcard may stand for an excluded name one label below its base. */
function mayMatch(name: string, excluded: string): boolean {
  return name.startsWith('*.') && excluded.endsWith(name.slice(1));
}

function isInRange(address: Buffer, range: Buffer): boolean {
  if (range.length !== address.length * 2) return false;
  return address.every((octet, index) => (octet & range[address.length + index]) === range[index]);
}
