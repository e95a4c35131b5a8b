import type { DerNode } from '../der/der-reader.js';
import { contextPrimitive, tags } from '../der/der-writer.js';
import { decodeOid, oids } from '../der/oid.js';
import { readDistinguishedName } from '../name/distinguished-name.js';
import { type GeneralName, readGeneralName } from '../name/general-name.js';
import { type KeyUsageBit, keyUsageBits } from '../profile/key-usage.js';
import type { Profile } from '../profile/profile.js';
import { type CertificateView, type ExtensionView, readTime } from './certificate-view.js';
import { keyIdentifier } from './key-identifier.js';
import type { Rule } from './lint.js';
import type { Validity } from './tbs-certificate.js';

/** What the certificate was meant to say, from policy and issuer, not from the encoder. */
export interface CertificateIntent {
  readonly profile: Profile;
  readonly selfSigned: boolean;
  readonly serial: Buffer;
  /** Subject of the issuer's certificate, DER. */
  readonly issuerName: Buffer;
  readonly issuerKeyIdentifier: Buffer;
  /** Of the issuer's certificate; absent for a self-signed one. */
  readonly issuerValidity?: Validity;
  readonly signatureAlgorithm: Buffer;
  /** DER of the Name. */
  readonly subject: Buffer;
  readonly subjectPublicKeyInfo: Buffer;
  /** Names of SubjectAltName, exactly; empty for a CA. */
  readonly names: readonly GeneralName[];
  /** Extensions that profile and issuer fix, DER. */
  readonly fixedExtensions: readonly Buffer[];
}

export interface CertificateUnderLint {
  readonly view: CertificateView;
  readonly intent: CertificateIntent;
}

type CertificateRule = Rule<CertificateUnderLint>;
const rule = (source: string, requires: string, holds: CertificateRule['holds']): CertificateRule => ({
  source,
  requires,
  holds,
});

/** RFC 5280 as far as this CA's certificates touch it, with what the profile and the issuer add. */
export const certificateRules: readonly CertificateRule[] = [
  rule('RFC 5280 §4.1.2.1', 'the version is v3', ({ view }) => view.version?.tag === tags.integer && view.version.content.equals(Buffer.of(2))),
  rule('RFC 5280 §4.1.2.2', 'the serial number is positive and of at most 20 octets', ({ view }) => isSerial(view.serial)),
  rule('CABF BR §7.1', 'the serial number is the reserved one, of at least 64 bits', ({ view, intent }) => intent.serial.length >= 8 && view.serial.content.equals(intent.serial)),
  rule('RFC 5280 §4.1.2.3', "the signature algorithm is the issuer's", ({ view, intent }) => view.signatureAlgorithm.raw.equals(intent.signatureAlgorithm)),
  rule('RFC 5280 §4.1.2.4', 'the issuer is a non-empty name, octet for octet the subject of its certificate', ({ view, intent }) => view.issuer.children.length > 0 && view.issuer.raw.equals(intent.issuerName)),
  rule('RFC 5280 §4.1.2.5', 'dates are UTCTime through 2049 and GeneralizedTime from 2050, in seconds and Z', ({ view }) => isProperTime(view.notBefore) && isProperTime(view.notAfter)),
  rule('RFC 5280 §4.1.2.5', 'notBefore is before notAfter', ({ view }) => milliseconds(view.notBefore) < milliseconds(view.notAfter)),
  rule('CABF BR §6.3.2', "the validity is at most the profile's", ({ view, intent }) => milliseconds(view.notAfter) - milliseconds(view.notBefore) + 1000 <= intent.profile.validitySeconds * 1000),
  rule('RFC 5280 §6.1.3', "the validity lies within the issuer's", ({ view, intent }) => isWithin(view, intent.issuerValidity)),
  rule('RFC 5280 §4.1.2.6', 'the subject is the decided one', ({ view, intent }) => view.subject.raw.equals(intent.subject)),
  rule('RFC 5280 §4.1.2.6', 'the subject of a CA is not empty, of an end entity at most a commonName', ({ view, intent }) => isSubjectOfItsKind(view.subject, intent)),
  rule('RFC 5280 appendix A.1', 'name attributes are non-empty, within bounds, PrintableString for a country, else UTF8String', ({ view }) => [view.issuer, view.subject].every(hasProperAttributes)),
  rule('RFC 9525 §2', 'the commonName is also in SubjectAltName', ({ view, intent }) => isCommonNameListed(view.subject, intent)),
  rule('RFC 5280 §4.1.2.7', 'the public key is the requested one', ({ view, intent }) => view.subjectPublicKeyInfo.raw.equals(intent.subjectPublicKeyInfo)),
  rule('RFC 5280 §4.1.2.8', 'there are no unique identifiers', ({ view }) => view.unexpected.length === 0),
  rule('RFC 5280 §4.2', 'no extension appears twice', ({ view }) => new Set(view.extensions.map(({ oid }) => oid)).size === view.extensions.length),
  rule('RFC 5280 §4.2', 'every extension is one the profile means', ({ view, intent }) => view.extensions.every(({ oid }) => isMeant(oid, intent))),
  rule('RFC 5280 §4.2', 'the extensions of a CA are octet for octet those decided, its name constraints among them', ({ view, intent }) => intent.profile.authority === undefined || hasFixedExtensions(view, intent)),
  rule('X.690 §11.5', 'a DEFAULT is not written out', ({ view }) => view.extensions.every(({ writesDefault }) => !writesDefault)),
  rule('RFC 5280 §4.2', 'criticality is what each section wants', ({ view }) => view.extensions.every((extension) => extension.critical === isCritical(extension.oid, view))),
  rule('RFC 5280 §4.2.1.1', "the authority key identifier is the issuer's, by keyIdentifier alone", ({ view, intent }) => isAuthorityKeyIdentifier(find(view, oids.authorityKeyIdentifier), intent)),
  rule('RFC 5280 §4.2.1.2', 'the subject key identifier is there and derived from the key', ({ view }) => find(view, oids.subjectKeyIdentifier)?.value.content.equals(keyIdentifier(view.subjectPublicKeyInfo)) === true),
  rule('RFC 5280 §4.2.1.3', "the key usage is the profile's", ({ view, intent }) => sameSet(readKeyUsage(view), intent.profile.keyUsage)),
  rule('RFC 5280 §4.2.1.3', 'keyCertSign goes with cA and nothing else', ({ view }) => readKeyUsage(view).includes('keyCertSign') === isAuthority(view)),
  rule('RFC 8813 §3', 'keyEncipherment is not for EC and Edwards keys', ({ view }) => isRsa(view) || !readKeyUsage(view).includes('keyEncipherment')),
  rule('RFC 5280 §4.2.1.6', 'SubjectAltName holds exactly the names allowed, each once', ({ view, intent }) => holdsNames(find(view, oids.subjectAltName), intent.names)),
  rule('RFC 5280 §4.2.1.9', "BasicConstraints is there and says what the profile says", ({ view, intent }) => isBasicConstraints(find(view, oids.basicConstraints)?.value, intent.profile)),
  rule('RFC 5280 §4.2.1.10', 'name constraints are for CAs and not empty', ({ view }) => isNameConstraints(find(view, oids.nameConstraints), view)),
  rule('RFC 5280 §4.2.1.12', "the extended key usage is the profile's, without anyExtendedKeyUsage", ({ view, intent }) => isExtendedKeyUsage(find(view, oids.extendedKeyUsage), intent.profile)),
  rule('RFC 5280 §4.2.1.12', 'a TLS purpose goes with digitalSignature', ({ view, intent }) => intent.profile.extendedKeyUsage.length === 0 || readKeyUsage(view).includes('digitalSignature')),
  rule('RFC 5280 §4.2.1.13, §4.2.2.1', 'CRL and issuer locations are http URIs', ({ view }) => [oids.crlDistributionPoints, oids.authorityInfoAccess].every((oid) => hasHttpUris(find(view, oid)))),
]; // prettier-ignore

function find(view: CertificateView, oid: string): ExtensionView | undefined {
  return view.extensions.find((extension) => extension.oid === oid);
}

function isSerial({ tag, content }: DerNode): boolean {
  return tag === tags.integer && content.length <= 20 && content[0] < 0x80 && content.some((octet) => octet !== 0);
}

function isProperTime(node: DerNode): boolean {
  const at = readTime(node);
  return at !== undefined && (node.tag === tags.utcTime) === at.getUTCFullYear() < 2050;
}

function milliseconds(node: DerNode): number {
  return readTime(node)?.getTime() ?? NaN;
}

function isWithin(view: CertificateView, issuer: Validity | undefined): boolean {
  if (issuer === undefined) return true;
  return (
    milliseconds(view.notBefore) >= issuer.notBefore.getTime() &&
    milliseconds(view.notAfter) <= issuer.notAfter.getTime()
  );
}

function isSubjectOfItsKind(subject: DerNode, { profile, selfSigned, issuerName }: CertificateIntent): boolean {
  const attributes = readDistinguishedName(subject);
  if (attributes === undefined) return false;
  if (profile.authority === undefined)
    return attributes.length === 0 || (attributes.length === 1 && attributes[0].type === oids.commonName);
  return attributes.length > 0 && subject.raw.equals(issuerName) === selfSigned;
}

const attributeBounds: Readonly<Record<string, number>> = {
  [oids.commonName]: 64,
  [oids.organizationName]: 64,
  [oids.organizationalUnitName]: 64,
  [oids.localityName]: 128,
  [oids.stateOrProvinceName]: 128,
  [oids.countryName]: 2,
};

function hasProperAttributes(name: DerNode): boolean {
  const attributes = readDistinguishedName(name);
  return attributes?.every(({ type, value }) => {
    const isProperType = value.tag === (type === oids.countryName ? tags.printableString : tags.utf8String);
    const characters = [...value.content.toString('utf8')].length;
    return isProperType && characters >= 1 && characters <= attributeBounds[type];
  }) === true; // prettier-ignore
}

function isCommonNameListed(subject: DerNode, { profile, names }: CertificateIntent): boolean {
  if (profile.authority !== undefined) return true;
  const commonName = readDistinguishedName(subject)?.at(0)?.value.content.toString('utf8');
  return commonName === undefined || names.some(({ value }) => value === commonName);
}

function isMeant(oid: string, { profile }: CertificateIntent): boolean {
  const always: string[] = [
    oids.keyUsage,
    oids.basicConstraints,
    oids.subjectKeyIdentifier,
    oids.authorityKeyIdentifier,
    oids.authorityInfoAccess,
  ];
  const ofKind: string[] =
    profile.authority === undefined
      ? [oids.subjectAltName, oids.extendedKeyUsage, oids.crlDistributionPoints]
      : [oids.nameConstraints];
  return always.includes(oid) || ofKind.includes(oid);
}

function hasFixedExtensions({ extensions }: CertificateView, { fixedExtensions }: CertificateIntent): boolean {
  const isThere = (fixed: Buffer): boolean => extensions.some(({ raw }) => raw.equals(fixed));
  // The one besides is the subject key identifier.
  return extensions.length === fixedExtensions.length + 1 && fixedExtensions.every(isThere);
}

function isCritical(oid: string, view: CertificateView): boolean {
  if (oid === oids.subjectAltName) return view.subject.children.length === 0;
  return oid === oids.keyUsage || oid === oids.basicConstraints || oid === oids.nameConstraints;
}

function isAuthorityKeyIdentifier(
  extension: ExtensionView | undefined,
  { selfSigned, issuerKeyIdentifier }: CertificateIntent,
): boolean {
  if (extension === undefined) return selfSigned;
  const [identifier, ...rest] = extension.value.children;
  return rest.length === 0 && identifier.tag === contextPrimitive(0) && identifier.content.equals(issuerKeyIdentifier);
}

function readKeyUsage(view: CertificateView): KeyUsageBit[] {
  const value = find(view, oids.keyUsage)?.value;
  if (value?.tag !== tags.bitString) return [];
  const isSet = (bit: number): boolean => ((value.content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0;
  return (Object.keys(keyUsageBits) as KeyUsageBit[]).filter((name) => isSet(keyUsageBits[name]));
}

function isAuthority(view: CertificateView): boolean {
  return find(view, oids.basicConstraints)?.value.children.at(0)?.content[0] === 0xff;
}

function isRsa(view: CertificateView): boolean {
  return decodeOid(view.subjectPublicKeyInfo.children[0].children[0].content) === oids.rsaEncryption;
}

function holdsNames(extension: ExtensionView | undefined, names: readonly GeneralName[]): boolean {
  if (extension === undefined) return names.length === 0;
  const format = ({ type, value }: GeneralName): string => `${type}:${value}`;
  // A DNS name is compared as it is written, not as it would be normalised.
  const written = extension.value.children.map((child) =>
    child.tag === contextPrimitive(2) ? `dns:${child.content.toString('latin1')}` : format(readGeneralName(child)),
  );
  return written.length > 0 && written.length === new Set(written).size && sameSet(written, names.map(format));
}

function isBasicConstraints(value: DerNode | undefined, { authority }: Profile): boolean {
  if (value?.tag !== tags.sequence) return false;
  const [cA, pathLength, ...rest] = value.children;
  if (authority === undefined) return cA === undefined;
  if (rest.length > 0 || cA.tag !== tags.boolean || cA.content[0] !== 0xff) return false;
  return authority.pathLength === undefined
    ? pathLength === undefined
    : pathLength.content.equals(Buffer.of(authority.pathLength));
}

function isNameConstraints(extension: ExtensionView | undefined, view: CertificateView): boolean {
  return extension === undefined || (isAuthority(view) && extension.value.children.length > 0);
}

function isExtendedKeyUsage(extension: ExtensionView | undefined, { extendedKeyUsage }: Profile): boolean {
  if (extension === undefined) return extendedKeyUsage.length === 0;
  const purposes = extension.value.children.map((child) => decodeOid(child.content));
  return purposes.length > 0 && !purposes.includes(oids.anyExtendedKeyUsage) && sameSet(purposes, extendedKeyUsage);
}

function hasHttpUris(extension: ExtensionView | undefined): boolean {
  if (extension === undefined) return true;
  const uris = leaves(extension.value).filter(({ tag }) => tag === contextPrimitive(6));
  return uris.length > 0 && uris.every(({ content }) => /^http:\/\/[\x21-\x7e]+$/.test(content.toString('latin1')));
}

function leaves(node: DerNode): DerNode[] {
  return node.children.length === 0 ? [node] : node.children.flatMap(leaves);
}

function sameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((each) => right.includes(each));
}
