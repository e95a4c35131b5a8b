import { isIP } from 'node:net';
import { CaError } from '../errors.js';
import { normalizeDnsName } from './dns-name.js';

const maximumUriCharacters = 2048;
/** scheme ":" ["//" authority] path, ["?" query], ["#" fragment], in the characters of RFC 3986 §2. */
const form =
  /^([A-Za-z][A-Za-z0-9+.-]*):(?:\/\/([^/?#]*))?((?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)(\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?(#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?$/;
/** host [":" port]; user information has no place in a name. */
const authorityForm = /^(\[[0-9A-Fa-f:.]+\]|[^:@[\]]+)(?::(\d{1,5}))?$/;
/** Path of a SPIFFE ID: segments of letters, digits, dots, hyphens and underscores (SPIFFE-ID §2.2). */
const spiffePath = /^(?:\/[A-Za-z0-9._-]+)*$/;

/** A URI of a certificate, split where policy and name constraints look. */
export interface UriParts {
  readonly scheme: string;
  /** Lower-case A-labels or an address, in [] for IPv6; absent for a URI without an authority. */
  readonly host?: string;
  readonly port?: string;
  /** Path, query and fragment as they were written. */
  readonly rest: string;
}

/**
 * The one spelling of a URI (RFC 5280 §4.2.1.6): absolute, its scheme and host in lower case, its host a fully qualified name
 * in A-labels (RFC 9549 §5.2.6) or an address, the rest as it is; without dot segments, which would reach past a permitted path.
 * A `spiffe` URI is a SPIFFE ID: neither port nor query nor fragment, a path of plain segments.
 * @throws {CaError} ERR_CA_NAME_INVALID
 */
export function normalizeUri(text: string): string {
  return formatUri(parseUri(text));
}

export function formatUri({ scheme, host, port, rest }: UriParts): string {
  return `${scheme}:${host === undefined ? '' : `//${host}`}${port === undefined ? '' : `:${port}`}${rest}`;
}

/** @throws {CaError} ERR_CA_NAME_INVALID */
export function parseUri(text: string): UriParts {
  const refuse = (want: string): never => {
    throw new CaError('ERR_CA_NAME_INVALID', `URI: want ${want}, got ${JSON.stringify(text.slice(0, 256))}`);
  };
  if (text.length > maximumUriCharacters) refuse(`at most ${maximumUriCharacters} characters`);
  const [, scheme = '', authority, path = '', query = '', fragment = ''] =
    form.exec(text) ?? refuse('an absolute URI in ASCII');
  if (authority === undefined && path === '') refuse('more than a scheme');
  if (authority !== undefined && path !== '' && !path.startsWith('/')) refuse('a path that starts with /');
  const segments = path.replaceAll(/%2e/gi, '.').split('/');
  if (segments.includes('.') || segments.includes('..')) refuse('no dot segments');
  const rest = path + query + fragment;
  if (authority === undefined) return { scheme: scheme.toLowerCase(), rest };

  const [, written = '', port] = authorityForm.exec(authority) ?? refuse('a host and no user information');
  if (port !== undefined && Number(port) > 65_535) refuse('a port of at most 65535');
  const parts = { scheme: scheme.toLowerCase(), host: normalizeHost(written, refuse), port, rest };
  if (parts.scheme === 'spiffe' && (port !== undefined || !spiffePath.test(rest) || isIP(parts.host) !== 0))
    refuse('a SPIFFE ID, spiffe://trust-domain/path');
  return parts;
}

function normalizeHost(written: string, refuse: (want: string) => never): string {
  if (written.startsWith('['))
    return isIP(written.slice(1, -1)) === 6 ? written.toLowerCase() : refuse('an IPv6 address in []');
  if (isIP(written) === 4) return written;
  const host = normalizeDnsName(written);
  if (host.startsWith('*.') || !host.includes('.')) refuse('a fully qualified host');
  return host;
}
