import { CaError } from '../errors.js';
import { isFullyQualified, normalizeDnsName } from './dns-name.js';

/** A dot-atom (RFC 5321 §4.1.2): no quoted strings, no comments, nothing but ASCII. */
const localPart = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;

/**
 * The one spelling of a mailbox (RFC 5280 §4.2.1.6): the local part as it is, since only its host may fold it, the domain fully
 * qualified (RFC 5321 §2.3.5) in lower-case A-labels (RFC 9549 §5). Mailboxes with other characters before the @ would be SmtpUTF8Mailbox (RFC 9598) and are refused.
 * @throws {CaError} ERR_CA_NAME_INVALID
 */
export function normalizeEmailAddress(text: string): string {
  const at = text.lastIndexOf('@');
  const local = text.slice(0, at);
  if (at < 1 || text.length > 254 || local.length > 64 || !localPart.test(local))
    throw new CaError(
      'ERR_CA_NAME_INVALID',
      `e-mail address: want local@domain in ASCII, of at most 64 and 254 characters, got ${JSON.stringify(text.slice(0, 254))}`,
    );
  const domain = normalizeDnsName(text.slice(at + 1));
  if (domain.startsWith('*.') || !isFullyQualified(domain))
    throw new CaError(
      'ERR_CA_NAME_INVALID',
      `e-mail address: want a fully qualified domain without *, got ${JSON.stringify(text)}`,
    );
  return `${local}@${domain}`;
}
