import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/**
 * Domains that are nobody's in the public DNS: special-use names (RFC 6761, RFC 6762 and its appendix G, RFC 7686, RFC 8375, RFC 9476) and those that
 * ICANN has set aside for private use (2024). A list of top-level domains that are delegated changes each month and is not kept here.
 */
const reservedDomains = [
  'alt',
  'arpa',
  'corp',
  'example',
  'home',
  'internal',
  'intranet',
  'invalid',
  'lan',
  'local',
  'localhost',
  'mail',
  'onion',
  'private',
  'test',
];

/** @param name  as `normalizeDnsName` returns it, without `*.` */
function isReservedDomain(name: string): boolean {
  return reservedDomains.includes(name.slice(name.lastIndexOf('.') + 1));
}

/** All of IPv6 that is given out to hosts of the public Internet (IANA IPv6 address space). */
const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

/** An address that is not for the public Internet (IANA special-purpose registries). @param address  as `ipAddress` returns it */
export function isReservedAddress(address: string): boolean {
  const parsed = ipaddr.parse(address);
  return parsed.range() !== 'unicast' || ('parts' in parsed && !parsed.match(globalUnicast));
}

/** Top-level domains are of letters, or internationalised (RFC 1123 §2.1, RFC 3696 §2). */
const topLevel = /\.(?:[a-z]{2,63}|xn--[a-z0-9-]+)$/;

/** A fully qualified name that the public DNS may have. @param name  as `normalizeDnsName` returns it, with or without `*.` */
export function isPublicDomain(name: string): boolean {
  const domain = name.replace(/^\*\./, '');
  return topLevel.test(domain) && !domain.includes('_') && !isReservedDomain(domain);
}

/** Whether a URL names its host, and by a name of the public DNS. */
export function isOnPublicHost(url: string): boolean {
  const hostname = URL.parse(url)?.hostname ?? '';
  return isIP(hostname.replace(/^\[|\]$/g, '')) === 0 && isPublicDomain(hostname);
}
