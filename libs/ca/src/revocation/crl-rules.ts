import { derElements, type DerNode, parseDer } from '../der/der-reader.js';
import { contextConstructed, contextPrimitive, tags } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import { type ExtensionView, readTime, viewExtensions } from '../issuance/certificate-view.js';
import { lintDecoded, type Rule } from '../issuance/lint.js';
import type { CrlContent } from './crl.js';
import { type EntriesFound, type EntryFault, inspectEntries } from './crl-inspection.js';

/** What the CRL was meant to say. */
export interface CrlIntent extends CrlContent {
  readonly entries: number;
}

export interface CrlUnderLint {
  /** Without revokedCertificates. */
  readonly fields: readonly DerNode[];
  readonly extensions: readonly ExtensionView[];
  /** Undefined when revokedCertificates is absent. */
  readonly entries: EntriesFound | undefined;
  readonly intent: CrlIntent;
}

/** Checks a TBSCertList before it is signed. @throws {CaError} ERR_CA_LINT_FAILED listing every rule that does not hold */
export async function lintCrl(tbs: Buffer, intent: CrlIntent): Promise<void> {
  await lintDecoded(`CRL ${intent.number}`, () => viewCrl(tbs, intent), crlRules);
}

async function viewCrl(tbs: Buffer, intent: CrlIntent): Promise<CrlUnderLint> {
  const [list, ...behind] = derElements(tbs);
  if (list?.tag !== tags.sequence || behind.length > 0) throw new TypeError('want one SEQUENCE');
  const elements = [...derElements(list.content)];
  // The only SEQUENCE behind the times: everything else is short and decoded in full.
  const revoked = elements.slice(5).find(({ tag }) => tag === tags.sequence);
  const fields = elements.filter((element) => element !== revoked).map(({ raw }) => parseDer(raw));
  const extensions = viewExtensions(fields.find(({ tag }) => tag === contextConstructed(0)));
  return { fields, extensions, entries: revoked && (await inspectEntries(revoked.content)), intent };
}

type CrlRule = Rule<CrlUnderLint>;
const rule = (source: string, requires: string, holds: CrlRule['holds']): CrlRule => ({ source, requires, holds });
const without =
  (fault: EntryFault): CrlRule['holds'] =>
  ({ entries }) =>
    entries?.faults.has(fault) !== true;

/** RFC 5280 §5, with CABF BR §7.2 where it says more. */
const crlRules: readonly CrlRule[] = [
  rule('RFC 5280 §5.1.2.1', 'the version is v2', ({ fields }) => fields[0].tag === tags.integer && fields[0].content.equals(Buffer.of(1))),
  rule('RFC 5280 §5.1.2.2', "the signature algorithm is the issuer's", ({ fields, intent }) => fields[1].raw.equals(intent.authority.signatureAlgorithm.identifier)),
  rule('RFC 5280 §5.1.2.3', 'the issuer is octet for octet the subject of its certificate', ({ fields, intent }) => fields[2].children.length > 0 && fields[2].raw.equals(intent.authority.name)),
  rule('RFC 5280 §5.1.2.4', 'thisUpdate is a proper time, as meant', ({ fields, intent }) => isTime(fields[3], intent.thisUpdate)),
  rule('RFC 5280 §5.1.2.5', 'nextUpdate is there, a proper time, as meant, after thisUpdate', ({ fields, intent }) => isTime(fields[4], intent.nextUpdate) && intent.nextUpdate > intent.thisUpdate),
  rule('CABF BR §7.2', 'nextUpdate is at most a year after thisUpdate', ({ intent }) => intent.nextUpdate.getTime() - intent.thisUpdate.getTime() <= 365 * 86_400_000),
  rule('RFC 5280 §5.1.2', 'there is nothing but revokedCertificates and extensions behind nextUpdate', ({ fields }) => fields.length === 6 && fields[5].tag === contextConstructed(0)),
  rule('RFC 5280 §5.1.2.6', 'revokedCertificates is absent when nothing is revoked, else holds as many entries as meant', ({ entries, intent }) => (entries === undefined ? intent.entries === 0 : entries.count > 0 && entries.count === intent.entries)),
  rule('RFC 5280 §5.1.2.6', 'each entry has a positive serial of at most 20 octets and known extensions that are not critical', without('form')),
  rule('RFC 5280 §5.3', 'no serial is listed twice: they ascend', without('order')),
  rule('RFC 5280 §5.1.2.6', 'revocation dates are UTCTime through 2049 and GeneralizedTime from 2050', without('time')),
  rule('RFC 5280 §5.1.2.4', 'nothing was revoked after thisUpdate', ({ entries, intent }) => entries === undefined || entries.newest <= digitsOf(intent.thisUpdate)),
  rule('RFC 5280 §5.3.1', 'a reason is one of CRLReason, and unspecified is left out', without('reason')),
  rule('RFC 5280 §5.3.1', 'removeFromCRL is in delta CRLs only', ({ entries, intent }) => entries?.faults.has('remove') !== true || intent.baseNumber !== undefined),
  rule('RFC 5280 §5.3.2', 'an invalidity date is a GeneralizedTime in whole seconds', without('invalidity')),
  rule('RFC 5280 §5.2', 'the extensions are those meant, in number, each once', ({ extensions, intent }) => extensions.map(({ oid }) => oid).join() === meantExtensions(intent).join()),
  rule('X.690 §11.5', 'a DEFAULT is not written out', ({ extensions }) => extensions.every(({ writesDefault }) => !writesDefault)),
  rule('RFC 5280 §5.2.4, §5.2.5', 'deltaCRLIndicator and issuingDistributionPoint are critical, nothing else is', ({ extensions }) => extensions.every(({ oid, critical }) => critical === (oid === oids.deltaCRLIndicator || oid === oids.issuingDistributionPoint))),
  rule('RFC 5280 §5.2.1', "the authority key identifier is the issuer's", ({ extensions, intent }) => isKeyIdentifier(extensions[0].value, intent.authority.keyIdentifier)),
  rule('RFC 5280 §5.2.3', 'the CRL number is the reserved one, of at most 20 octets', ({ extensions, intent }) => isNumber(extensions[1].value, intent.number)),
  rule('RFC 5280 §5.2.4', 'a delta starts from an earlier full CRL', ({ extensions, intent: { number, baseNumber } }) => baseNumber === undefined || (baseNumber < number && isNumber(valueOf(extensions, oids.deltaCRLIndicator), baseNumber))),
  rule('RFC 5280 §5.2.5', "a shard's distribution point is every http URI its certificates name", ({ extensions, intent: { distributionPoints } }) => distributionPoints === undefined || isUris(valueOf(extensions, oids.issuingDistributionPoint), distributionPoints)),
  rule('RFC 5280 §5.2.6', 'freshestCRL is an http URI', ({ extensions, intent: { freshest } }) => freshest === undefined || isUris(valueOf(extensions, oids.freshestCRL), [freshest])),
]; // prettier-ignore

function meantExtensions({ baseNumber, distributionPoints, freshest }: CrlIntent): string[] {
  return [
    oids.authorityKeyIdentifier,
    oids.crlNumber,
    ...(baseNumber === undefined ? [] : [oids.deltaCRLIndicator]),
    ...(distributionPoints === undefined ? [] : [oids.issuingDistributionPoint]),
    ...(freshest === undefined || baseNumber !== undefined ? [] : [oids.freshestCRL]),
  ];
}

function valueOf(extensions: readonly ExtensionView[], oid: string): DerNode | undefined {
  return extensions.find((extension) => extension.oid === oid)?.value;
}

function isTime(node: DerNode, meant: Date): boolean {
  return readTime(node)?.getTime() === meant.getTime() && (node.tag === tags.utcTime) === meant.getUTCFullYear() < 2050;
}

function digitsOf(time: Date): string {
  return time.toISOString().slice(0, 19).replace(/[-:T]/g, '');
}

function isKeyIdentifier(value: DerNode, keyIdentifier: Buffer): boolean {
  const [identifier, ...rest] = value.children;
  return rest.length === 0 && identifier.tag === contextPrimitive(0) && identifier.content.equals(keyIdentifier);
}

function isNumber(value: DerNode | undefined, number: number): boolean {
  if (value?.tag !== tags.integer || value.content.length > 20) return false;
  return BigInt(`0x${value.content.toString('hex')}`) === BigInt(number);
}

/** The URIs inside, whatever is around them: at least one. */
function isUris(value: DerNode | undefined, meant: readonly string[]): boolean {
  const found = value === undefined ? [] : leaves(value);
  const texts = found.map(({ content }) => content.toString('latin1'));
  return (
    texts.length > 0 &&
    texts.join(' ') === meant.join(' ') &&
    found.every(({ tag }) => tag === contextPrimitive(6)) &&
    texts.every((text) => /^http:\/\/[\x21-\x7e]+$/.test(text))
  );
}

function leaves(node: DerNode): DerNode[] {
  return node.children.length === 0 ? [node] : node.children.flatMap(leaves);
}
