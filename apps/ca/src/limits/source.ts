import { isIP } from 'node:net';

/**
 * What requests are counted by: an IPv4 address, of IPv6 the network, since one host has all addresses of its /64 (RFC 6177).
 * @param address  what a proxy says may be anything, and all that is no address is one source
 */
export function sourceOf(address: string): string {
  const family = isIP(address);
  if (family !== 6) return family === 4 ? address : 'unknown';
  const [head, tail] = address.split('%')[0].split('::');
  const groups = (part = ''): string[] => part.split(':').filter((group) => group !== '');
  const missing = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const written = [...groups(head), ...Array.from({ length: Math.max(0, missing) }, () => '0'), ...groups(tail)];
  const network = written.slice(0, 4).map((group) => parseInt(group, 16).toString(16));
  // An IPv4 client of a socket for both is its last groups.
  return network.every((group) => group === '0') ? address : network.join(':');
}
