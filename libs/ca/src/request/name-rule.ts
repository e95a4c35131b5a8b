import { z } from 'zod';
import { CaError } from '../errors.js';
import { attributeNames } from '../name/distinguished-name.js';
import { normalizeDnsName } from '../name/dns-name.js';
import { normalizeEmailAddress } from '../name/email-address.js';
import type { NameKind } from '../name/general-name.js';
import { parseIpRange } from '../name/ip-range.js';
import { formatUri, parseUri } from '../name/uri.js';
import { accepted } from '../profile/name-constraints-schema.js';

export type NameMatcher = (name: string) => boolean;

const patterns = (kind: NameKind) => z.array(accepted((text) => nameMatcher(kind, text))).optional();

/** Names that may be certified, for whom and under which profiles. */
export const nameRuleSchema = z.strictObject({
  /** Identities as the edge writes them, exactly or with `*` at the end; absent: every requester. */
  requesters: z.array(z.string().min(1).max(512)).optional(),
  /** Absent: every profile but those of CAs and OCSP responders, which must be named. */
  profiles: z.array(z.string().min(1)).optional(),
  /**
   * `api.example.test` is that name alone. `*.example.test` is one or more labels below example.test, not example.test itself.
   * Anywhere else `*` stands for characters of its own label: `web-*.example.test`. A requested wildcard counts its `*` as a label.
   */
  dns: patterns('dns'),
  /** One address, or a range in CIDR notation. */
  ip: patterns('ip'),
  /** A mailbox; `@example.test`: every mailbox of that host; `@*.example.test`: of every host below. */
  email: patterns('email'),
  /** A URI; with `/*` at the end, everything below that path: `spiffe://example.test/ns/prod/*`. */
  uri: patterns('uri'),
  /** Values of subject attributes that the profile takes from the CSR, where `*` stands for any characters. */
  subject: z
    .strictObject(
      Object.fromEntries(attributeNames.map((name) => [name, z.array(z.string().min(1).max(256)).optional()])),
    )
    .optional(),
});
export type NameRule = z.input<typeof nameRuleSchema>;

/**
 * What a pattern of a rule matches, given names in their one spelling.
 * @throws {CaError} ERR_CA_NAME_INVALID
 */
export function nameMatcher(kind: NameKind, pattern: string): NameMatcher {
  return matchers[kind](pattern);
}

const matchers: Readonly<Record<NameKind, (pattern: string) => NameMatcher>> = {
  dns: dnsMatcher,
  ip: (pattern) => {
    const range = parseIpRange(pattern);
    return (address) => range.includes(address);
  },
  email: emailMatcher,
  uri: uriMatcher,
};

function dnsMatcher(pattern: string): NameMatcher {
  const isSuffix = pattern.startsWith('*.');
  if (!pattern.slice(isSuffix ? 2 : 0).includes('*')) {
    const name = normalizeDnsName(pattern);
    return isSuffix ? (text) => text.endsWith(name.slice(1)) : (text) => text === name;
  }
  // With x in place of each * it must be a name.
  normalizeDnsName(pattern.replaceAll('*', 'x'));
  if (!/^[\x21-\x7e]*[^*.]$/.test(pattern) || !/\.[^*]+$/.test(pattern))
    throw new CaError(
      'ERR_CA_NAME_INVALID',
      `DNS pattern: want A-labels, and no * in the last one, got ${JSON.stringify(pattern)}`,
    );
  const labels = pattern.toLowerCase().split('.').map(labelMatcher);
  return (text) => {
    const parts = text.split('.');
    return parts.length === labels.length && labels.every((matches, index) => matches(parts[index]));
  };
}

/** A label where `*` stands for characters; a requested `*` is matched by `*` alone, since it can be any. */
function labelMatcher(pattern: string): NameMatcher {
  if (pattern === '*') return () => true;
  const form = new RegExp(`^${pattern.split('*').join('[a-z0-9-]*')}$`);
  return (label) => form.test(label);
}

function emailMatcher(pattern: string): NameMatcher {
  if (!pattern.startsWith('@')) {
    const mailbox = normalizeEmailAddress(pattern);
    return (address) => address === mailbox;
  }
  const domain = normalizeDnsName(pattern.slice(1));
  const suffix = domain.startsWith('*.') ? domain.slice(1) : `@${domain}`;
  return (address) => address.endsWith(suffix);
}

/** Scheme, host and port are compared as a whole; only a path may be open at its end. */
function uriMatcher(pattern: string): NameMatcher {
  const isPrefix = pattern.endsWith('/*');
  const uri = parseUri(isPrefix ? pattern.slice(0, -2) : pattern);
  if (isPrefix && uri.host === undefined)
    throw new CaError('ERR_CA_NAME_INVALID', `URI pattern: want a host before /*, got ${JSON.stringify(pattern)}`);
  if (/[*]/.test(uri.rest))
    throw new CaError('ERR_CA_NAME_INVALID', `URI pattern: want * at the end alone, got ${JSON.stringify(pattern)}`);
  const name = formatUri(uri);
  return isPrefix ? (text) => text.startsWith(`${name}/`) : (text) => text === name;
}
