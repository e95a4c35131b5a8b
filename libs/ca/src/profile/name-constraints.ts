import { isIP } from 'node:net';
import { contextConstructed, contextPrimitive, type DerWriter } from '../der/der-writer.js';
import type { DerNode } from '../der/der-reader.js';
import { CaError } from '../errors.js';
import ipaddr from 'ipaddr.js';
import { normalizeDnsName } from '../name/dns-name.js';
import { normalizeEmailAddress } from '../name/email-address.js';
import type { GeneralName, NameKind } from '../name/general-name.js';
import { parseIpRange } from '../name/ip-range.js';
import { parseUri } from '../name/uri.js';

/** As an operator writes them; what an entry means: `nameConstraintsSchema`. */
export interface ConfiguredNameConstraints {
  readonly permitted?: ConfiguredSubtrees;
  readonly excluded?: ConfiguredSubtrees;
}
type ConfiguredSubtrees = Partial<Readonly<Record<NameKind, readonly string[]>>>;

interface Subtrees {
  readonly dns: readonly string[];
  readonly email: readonly string[];
  readonly uri: readonly string[];
  /** Network and mask, 4 + 4 or 16 + 16 octets. */
  readonly ip: readonly Buffer[];
}

const ipTag = contextPrimitive(7);
const textTags = { email: contextPrimitive(1), dns: contextPrimitive(2), uri: contextPrimitive(6) } as const;
const textKinds = Object.keys(textTags) as (keyof typeof textTags)[];

/** Name constraints of one CA certificate, and whether a name stays within them (RFC 5280 §4.2.1.10). */
export class NameConstraints {
  private constructor(
    private readonly permitted: Subtrees,
    private readonly excluded: Subtrees,
  ) {}

  /** @throws {CaError} ERR_CA_NAME_INVALID */
  static of({ permitted = {}, excluded = {} }: ConfiguredNameConstraints): NameConstraints {
    return new NameConstraints(encodeSubtrees(permitted), encodeSubtrees(excluded));
  }

  /**
   * Reads the value of a nameConstraints extension. A kind of name the CA cannot check fails closed.
   * @throws {CaError} ERR_CA_ISSUER_UNUSABLE
   */
  static read(value: DerNode): NameConstraints {
    const empty = () => ({ dns: [] as string[], email: [] as string[], uri: [] as string[], ip: [] as Buffer[] });
    const subtrees = { permitted: empty(), excluded: empty() };
    for (const list of value.children) {
      const into = list.tag === contextConstructed(0) ? subtrees.permitted : subtrees.excluded;
      for (const { children } of list.children) {
        const [base, ...bounds] = children;
        if (bounds.length > 0)
          throw new CaError('ERR_CA_ISSUER_UNUSABLE', 'name constraints: want no minimum or maximum');
        const kind = textKinds.find((each) => textTags[each] === base.tag);
        if (kind !== undefined) into[kind].push(foldDomain(base.content.toString('latin1')));
        else if (base.tag === ipTag) into.ip.push(base.content);
        else
          throw new CaError(
            'ERR_CA_ISSUER_UNUSABLE',
            `name constraints: want dNSName, iPAddress, rfc822Name or uniformResourceIdentifier, got [${base.tag & 0x1f}]`,
          );
      }
    }
    return new NameConstraints(subtrees.permitted, subtrees.excluded);
  }

  write(writer: DerWriter): void {
    writer.sequence(() => {
      for (const [number, subtrees] of [this.permitted, this.excluded].entries()) {
        if (Object.values(subtrees).every(({ length }: { length: number }) => length === 0)) continue;
        writer.constructed(contextConstructed(number), () => {
          for (const kind of ['dns', 'email', 'uri'] as const)
            for (const base of subtrees[kind])
              writer.sequence(() => writer.primitive(textTags[kind], Buffer.from(base, 'latin1')));
          for (const base of subtrees.ip) writer.sequence(() => writer.primitive(ipTag, base));
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
    const { type } = name;
    if (type === 'ip') {
      const address = Buffer.from(ipaddr.parse(name.value).toByteArray());
      const within = (range: Buffer): boolean => isInRange(address, range);
      return !this.excluded.ip.some(within) && (this.permitted.ip.length === 0 || this.permitted.ip.some(within));
    }
    const [permitted, excluded] = [this.permitted[type], this.excluded[type]];
    const within = subtreeTests[type];
    if (type === 'dns' && excluded.some((base) => mayMatch(name.value, base))) return false;
    // A URI without a host name cannot be held against constraints, so where there are any it is outside (§4.2.1.10).
    if (type === 'uri' && !hasHostName(name.value)) return permitted.length + excluded.length === 0;
    return (
      // Some exclude all names of a kind by an empty one, which §4.2.1.10 says of host names alone.
      !excluded.some((base) => base === '' || within(name.value, base)) &&
      (permitted.length === 0 || permitted.some((base) => within(name.value, base)))
    );
  }
}

/** Whether a name is in a subtree, for each kind in text. */
const subtreeTests: Readonly<Record<keyof typeof textTags, (name: string, base: string) => boolean>> = {
  dns: isAtOrBelow,
  email: (mailbox, base) =>
    base.includes('@') ? mailbox === base : isHostIn(mailbox.slice(mailbox.lastIndexOf('@') + 1), base),
  uri: (uri, base) => isHostIn(parseUri(uri).host ?? '', base),
};

function encodeSubtrees(configured: ConfiguredSubtrees): Subtrees {
  const ip = (configured.ip ?? []).map((text) => {
    const { network, bits } = parseIpRange(text);
    const address = network.toByteArray();
    const mask = address.map((_, index) => (0xff00 >> Math.min(8, Math.max(0, bits - index * 8))) & 0xff);
    return Buffer.from([...address.map((octet, index) => octet & mask[index]), ...mask]);
  });
  const domain = (text: string): string =>
    text.startsWith('.') ? `.${normalizeDnsName(text.slice(1))}` : normalizeDnsName(text);
  return {
    dns: (configured.dns ?? []).map(normalizeDnsName),
    email: (configured.email ?? []).map((text) => (text.includes('@') ? normalizeEmailAddress(text) : domain(text))),
    uri: (configured.uri ?? []).map(domain),
    ip,
  };
}

/** The domain in lower case; the local part of a mailbox is as it is. */
function foldDomain(base: string): string {
  const at = base.lastIndexOf('@') + 1;
  return base.slice(0, at) + base.slice(at).toLowerCase();
}

function hasHostName(uri: string): boolean {
  const { host } = parseUri(uri);
  return host !== undefined && isIP(host) === 0;
}

/** Others' certificates write a leading dot, which OpenSSL and NSS take as every name below. */
function isAtOrBelow(name: string, base: string): boolean {
  if (base.startsWith('.')) return name.endsWith(base);
  return base === '' || name === base || name.endsWith(`.${base}`);
}

/** With a leading dot every host below, without one that host alone. */
function isHostIn(host: string, base: string): boolean {
  return base.startsWith('.') ? host.endsWith(base) : host === base;
}

/** A requested wildcard may stand for an excluded name one label below its base. */
function mayMatch(name: string, excluded: string): boolean {
  return name.startsWith('*.') && excluded.endsWith(name.slice(1));
}

function isInRange(address: Buffer, range: Buffer): boolean {
  if (range.length !== address.length * 2) return false;
  return address.every((octet, index) => (octet & range[address.length + index]) === range[index]);
}
