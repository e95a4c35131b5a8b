import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Fields } from './l7-fields.js';

/** What the upstream is told of the client. */
export interface ForwardedClient {
  /** Of the TCP peer. */
  readonly address: string;
  /** The port that it connected to. */
  readonly localPort: number | undefined;
  /** The request's authority: host, or host and port. */
  readonly authority: string;
  /** Verified by OpenSSL, leaf first; empty: the client presented none. */
  readonly certificateChain: readonly X509Certificate[];
}

/**
 * Whether a field says who the client is, which is ours to say: Forwarded (RFC 7239), X-Forwarded-*, X-Real-IP, Client-Cert and
 * Client-Cert-Chain (RFC 9440). An upstream that turns names into variables (CGI, WSGI) takes `_` for `-`, so we do.
 */
export function isIdentityField(name: string): boolean {
  const canonical = name.replaceAll('_', '-');
  return (
    canonical === 'forwarded' ||
    canonical === 'x-real-ip' ||
    canonical.startsWith('x-forwarded-') ||
    canonical === 'client-cert' ||
    canonical === 'client-cert-chain'
  );
}

/**
 * Writes who the client is. What the peer says of that is removed first, unless it is trusted: then its list goes on with its
 * own address, and it keeps the word on certificates (a proxy's own certificate says nothing about whom it speaks for).
 */
export function writeIdentity(fields: Fields, client: ForwardedClient, isTrusted: boolean): void {
  for (const name of [...fields.keys()]) {
    if (isIdentityField(name) && !(isTrusted && !name.includes('_'))) fields.delete(name);
  }
  const append = (name: string, value: string): void => {
    fields.set(name, [[...(fields.get(name) ?? []), value].join(', ')]);
  };
  const setOnce = (name: string, value: string): void => {
    if (!fields.has(name)) fields.set(name, [value]);
  };
  append('x-forwarded-for', client.address);
  append('forwarded', forwardedElement(client));
  setOnce('x-forwarded-proto', 'https');
  setOnce('x-forwarded-host', client.authority);
  if (client.localPort !== undefined) setOnce('x-forwarded-port', String(client.localPort));
  if (!isTrusted) writeClientCertificate(fields, client.certificateChain);
}

/** RFC 7239 §4 and §6: an IPv6 address, and what is no token, is quoted. */
function forwardedElement({ address, authority }: ForwardedClient): string {
  const node = isIP(address) === 6 ? `"[${address}]"` : address;
  const host = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(authority) ? authority : `"${authority}"`;
  return `for=${node};host=${host};proto=https`;
}

/** Byte sequences of RFC 8941 (RFC 9440 §2.2, §2.3); a root, which is its own issuer, is left out of the chain. */
function writeClientCertificate(fields: Fields, [leaf, ...issuers]: readonly X509Certificate[]): void {
  if (leaf === undefined) return;
  fields.set('client-cert', [byteSequence(leaf)]);
  const chain = issuers.filter((issuer) => !issuer.checkIssued(issuer));
  if (chain.length > 0) fields.set('client-cert-chain', [chain.map(byteSequence).join(', ')]);
}

function byteSequence({ raw }: X509Certificate): string {
  return `:${raw.toString('base64')}:`;
}
