import type { DerNode } from '../der/der-reader.js';
import { contextConstructed, contextPrimitive, tags } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import { type ExtensionView, readTime, viewExtensions } from '../issuance/certificate-view.js';
import type { Rule } from '../issuance/lint.js';
import type { CrlContent } from './crl.js';

export interface CrlUnderLint {
  readonly fields: readonly DerNode[];
  readonly extensions: readonly ExtensionView[];
  readonly intent: CrlContent;
}

/** @throws {DerError} @throws {TypeError} when extensions are not of their form */
export function viewCrl(tbs: DerNode, intent: CrlContent): CrlUnderLint {
  const explicit = tbs.children.find(({ tag }) => tag === contextConstructed(0));
  return { fields: tbs.children, extensions: viewExtensions(explicit), intent };
}

type CrlRule = Rule<CrlUnderLint>;
const rule = (source: string, requires: string, holds: CrlRule['holds']): CrlRule => ({ source, requires, holds });

/** RFC 5280 §5 for a CRL without entries. */
export const crlRules: readonly CrlRule[] = [
  rule('RFC 5280 §5.1.2.1', 'the version is v2', ({ fields }) => fields[0].tag === tags.integer && fields[0].content.equals(Buffer.of(1))),
  rule('RFC 5280 §5.1.2.2', "the signature algorithm is the issuer's", ({ fields, intent }) => fields[1].raw.equals(intent.authority.signatureAlgorithm.identifier)),
  rule('RFC 5280 §5.1.2.3', 'the issuer is octet for octet the subject of its certificate', ({ fields, intent }) => fields[2].children.length > 0 && fields[2].raw.equals(intent.authority.name)),
  rule('RFC 5280 §5.1.2.4', 'thisUpdate is a proper time, as meant', ({ fields, intent }) => isTime(fields[3], intent.thisUpdate)),
  rule('RFC 5280 §5.1.2.5', 'nextUpdate is there, a proper time, as meant, after thisUpdate', ({ fields, intent }) => isTime(fields[4], intent.nextUpdate) && intent.nextUpdate > intent.thisUpdate),
  rule('RFC 5280 §5.1.2.6', 'revokedCertificates is absent when nothing is revoked', ({ fields }) => fields.length === 6 && fields[5].tag === contextConstructed(0)),
  rule('RFC 5280 §5.2', 'the extensions are the authority key identifier and the CRL number, not critical', ({ extensions }) => extensions.map(({ oid }) => oid).join() === [oids.authorityKeyIdentifier, oids.crlNumber].join() && extensions.every(({ critical, writesDefault }) => !critical && !writesDefault)),
  rule('RFC 5280 §5.2.1', "the authority key identifier is the issuer's", ({ extensions, intent }) => isKeyIdentifier(extensions[0].value, intent.authority.keyIdentifier)),
  rule('RFC 5280 §5.2.3', 'the CRL number is the reserved one, of at most 20 octets', ({ extensions, intent }) => isNumber(extensions[1].value, intent.number)),
]; // prettier-ignore

function isTime(node: DerNode, meant: Date): boolean {
  return readTime(node)?.getTime() === meant.getTime() && (node.tag === tags.utcTime) === meant.getUTCFullYear() < 2050;
}

function isKeyIdentifier(value: DerNode, keyIdentifier: Buffer): boolean {
  const [identifier, ...rest] = value.children;
  return rest.length === 0 && identifier.tag === contextPrimitive(0) && identifier.content.equals(keyIdentifier);
}

function isNumber({ tag, content }: DerNode, number: number): boolean {
  return tag === tags.integer && content.length <= 20 && BigInt(`0x${content.toString('hex')}`) === BigInt(number);
}
