import { domainToASCII, domainToUnicode } from 'node:url';
import { CaError } from '../errors.js';

/**
 * The one spelling of a DNS name that certificates carry and policy compares: lower-case A-labels (RFC 5890 §2.3.2.1, mapped
 * by UTS #46), letters, digits and inner hyphens, labels of 1 to 63 octets, at most 253 octets, no final dot, no address.
 * @param text  A- or U-labels in any case; the leftmost label may be `*`
 * @throws {CaError} ERR_CA_NAME_INVALID
 */
export function normalizeDnsName(text: string): string {
  const refuse = (want: string): never => {
    throw new CaError('ERR_CA_NAME_INVALID', `DNS name: want ${want}, got ${JSON.stringify(text.slice(0, 253))}`);
  };
  if (text.length > 253) refuse('at most 253 characters');
  // domainToASCII reads its input as a URL's host, so what only a URL gives a meaning must not reach it.
  if (!/^(?:\*\.)?(?:[a-z0-9.-]|[^\0-\x7f])+$/iu.test(text)) refuse('letters, digits, hyphens and dots');
  const isWildcard = text.startsWith('*.');
  const ascii = domainToASCII(isWildcard ? text.slice(2) : text).toLowerCase();
  const labels = ascii.split('.');
  if (ascii.length + (isWildcard ? 2 : 0) > 253) refuse('at most 253 octets');
  if (!labels.every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(label)))
    refuse('labels of 1 to 63 letters, digits and inner hyphens');
  if (!labels.every(isValidALabel)) refuse('valid internationalised labels');
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(labels[labels.length - 1])) refuse('a name, not an address');
  return isWildcard ? `*.${ascii}` : ascii;
}

/** As far as a name shows it: it has two labels at least. @param name  as `normalizeDnsName` returns it */
export function isFullyQualified(name: string): boolean {
  return name.includes('.');
}

/** True for an ordinary label, and for an A-label that means the same after a round trip (RFC 5891 §4.4). */
function isValidALabel(label: string): boolean {
  if (!/^..--/.test(label)) return true;
  const unicode = domainToUnicode(label);
  return label.startsWith('xn--') && unicode !== label && domainToASCII(unicode) === label;
}
