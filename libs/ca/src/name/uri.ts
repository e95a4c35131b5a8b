import { isIP } from 'node:net';
import { CaError } from '../errors.js';
import { isFullyQualified, normalizeDnsName } from './dns-name.js';

const maximumUriCharacters = 2048;
/** scheme ":" ["//" authority] path, ["?" query], ["#" fragment], in the characters of RFC 3986 §2. */
const form =
  /^([A-Za-z][A-Za-z0-9+.-]*):(?:\/\/([^/?#]*))?((?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)(\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?(#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?$/;
/** Path of a SPIFFE ID: segments of letters, digits, dots, hyphens and underscores (SPIFFE-ID §2.2). */
const spiffePath = /^(?:\/[A-Za-z0-9._-]+)*$/;

/** A URI of a certificate, split where policy and name constraints look. */
export interface UriParts {
  readonly scheme: string;
  /** Lower-case A-labels or an IPv4 address; absent for a URI without an authority. */
  readonly host?: string;
  /** Path, query and fragment as they were written. */
  readonly rest: string;
}

/**
 * The one spelling of a URI (RFC 5280 §4.2.1.6): absolute, its scheme and host in lower case, its host a fully qualified name
 * in A-labels (RFC 9549 §5.2.6) or an address, the rest as it is. There is no user information and no port, which linters take for
 * a part of the host, and no dot segment, which would reach past a permitted path. A `spiffe` URI is a SPIFFE ID.
 * @throws {CaError} ERR_CA_NAME_INVALID
 */
export function normalizeUri(text: string): string {
  return formatUri(parseUri(text));
}

export function formatUri({ scheme, host, rest }: UriParts): string {
  return `${scheme}:${host === undefined ? '' : `//${host}`}${rest}`;
}

/** @throws {CaError} ERR_CA_NAME_INVALID */
export function parseUri(text: string): UriParts {
  const refuse = (want: string): never => {
    throw new CaError('ERR_CA_NAME_INVALID', `URI: want ${want}, got ${JSON.stringify(text.slice(0, 256))}`);
  };
  if (text.length > maximumUriCharacters) refuse(`at most ${maximumUriCharacters} characters`);
  const match = form.exec(text) ?? refuse('an absolute URI in ASCII');
  const [, written, , path, query = '', fragment = ''] = match;
  const authority = match.at(2);
  const segments = path.replaceAll(/%2e/gi, '.').split('/');
  if (segments.includes('.') || segments.includes('..')) refuse('no dot segments');
  const scheme = written.toLowerCase();
  const rest = path + query + fragment;
  if (authority === undefined) {
    if (path === '' || path.startsWith('/') || scheme === 'spiffe') refuse('a host, or a name after the scheme');
    return { scheme, rest };
  }
  if (authority === '') refuse('a host');
  const host = isIP(authority) === 4 ? authority : normalizeDnsName(authority);
  if (isIP(host) === 0 && (host.startsWith('*.') || !isFullyQualified(host))) refuse('a fully qualified host');
  if (scheme === 'spiffe' && (isIP(host) !== 0 || !spiffePath.test(rest)))
    refuse('a SPIFFE ID, spiffe://trust-domain/path');
  return { scheme, host, rest };
}
