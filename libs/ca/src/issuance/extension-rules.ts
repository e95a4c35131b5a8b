import type { DerNode } from '../der/der-reader.js';
import { contextConstructed, contextPrimitive, tags } from '../der/der-writer.js';
import { decodeOid, oids } from '../der/oid.js';
import { isFullyQualified } from '../name/dns-name.js';
import type { GeneralName } from '../name/general-name.js';
import { keyUsageFor } from '../profile/key-usage.js';
import { areBitsOfPurposes, bitsOfPurpose } from '../profile/profile-rules.js';
import type { Profile } from '../profile/profile.js';
import {
  findExtension,
  isAuthority,
  keyKindOf,
  readKeyUsage,
  readPurposes,
  sameSet,
  urisIn,
  writtenNames,
} from './certificate-reading.js';
import type { CertificateIntent, CertificateRule } from './certificate-intent.js';
import type { CertificateView, ExtensionView } from './certificate-view.js';
import { keyIdentifier } from './key-identifier.js';
import { rule } from './lint.js';

/** The extensions of a TBSCertificate (RFC 5280 §4.2 and what was added since). */
export const extensionRules: readonly CertificateRule[] = [
  rule('RFC 5280 §4.2', 'no extension appears twice', ({ view }) => new Set(view.extensions.map(({ oid }) => oid)).size === view.extensions.length),
  rule('RFC 5280 §4.2', 'every extension is one the profile means', ({ view, intent }) => view.extensions.every(({ oid }) => isMeant(oid, intent))),
  rule('RFC 5280 §4.2', 'the extensions are octet for octet those decided, but for key identifier and names', ({ view, intent }) => hasFixedExtensions(view, intent)),
  rule('X.690 §11.5', 'a DEFAULT is not written out', ({ view }) => view.extensions.every(({ writesDefault }) => !writesDefault)),
  rule('RFC 5280 §4.2', 'criticality is what each section wants', ({ view }) => view.extensions.every((extension) => extension.critical === isCritical(extension.oid, view))),
  rule('RFC 5280 §4.2.1.1', "the authority key identifier is the issuer's, by keyIdentifier alone", ({ view, intent }) => isAuthorityKeyIdentifier(findExtension(view, oids.authorityKeyIdentifier), intent)),
  rule('RFC 5280 §4.2.1.2', 'the subject key identifier is there and derived from the key', ({ view }) => findExtension(view, oids.subjectKeyIdentifier)?.value.content.equals(keyIdentifier(view.subjectPublicKeyInfo)) === true),
  rule('RFC 5280 §4.2.1.3', "the key usage is the profile's, as far as the key can have it, and not empty", ({ view, intent }) => isKeyUsage(view, intent.profile)),
  rule('RFC 5280 §4.2.1.3', 'keyCertSign goes with cA and nothing else', ({ view }) => readKeyUsage(view).includes('keyCertSign') === isAuthority(view)),
  rule('RFC 8813 §3', 'keyEncipherment and dataEncipherment are not for EC and Edwards keys', ({ view }) => keyKindOf(view) === 'rsa' || readKeyUsage(view).every((bit) => bit !== 'keyEncipherment' && bit !== 'dataEncipherment')),
  rule('RFC 8410 §5', 'keyAgreement is for EC keys alone', ({ view }) => keyKindOf(view)?.startsWith('ec-') === true || !readKeyUsage(view).includes('keyAgreement')),
  rule('RFC 5280 §4.2.1.4', "the policies are the profile's, each once, with a practice statement as their only qualifier", ({ view, intent }) => arePolicies(findExtension(view, oids.certificatePolicies)?.value, intent.profile)),
  rule('RFC 5280 §4.2.1.4', 'anyPolicy is not in an end entity', ({ view }) => isAuthority(view) || findExtension(view, oids.certificatePolicies)?.value.children.every(({ children }) => decodeOid(children[0].content) !== oids.anyPolicy) !== false),
  rule('RFC 5280 §4.2.1.6', 'SubjectAltName holds exactly the names allowed, each once', ({ view, intent }) => holdsNames(findExtension(view, oids.subjectAltName), intent.names)),
  rule('RFC 5280 §4.2.1.6', 'subject and SubjectAltName are not both empty', ({ view }) => view.subject.children.length > 0 || findExtension(view, oids.subjectAltName) !== undefined),
  rule('RFC 5280 §4.2.1.6', 'SubjectAltName holds kinds of name that the profile has', ({ view, intent }) => areNamesOf(findExtension(view, oids.subjectAltName), intent.profile)),
  rule('RFC 5280 §4.2.1.6', 'a SPIFFE ID is the only URI', ({ view }) => isOneSpiffeId(findExtension(view, oids.subjectAltName))),
  rule('RFC 5280 §4.2.1.9', "BasicConstraints is there and says what the profile says", ({ view, intent }) => isBasicConstraints(findExtension(view, oids.basicConstraints)?.value, intent.profile)),
  rule('RFC 5280 §4.2.1.10', 'name constraints are for CAs, of permitted and excluded subtrees in this order, neither empty', ({ view }) => isNameConstraints(findExtension(view, oids.nameConstraints), view)),
  rule('RFC 5280 §4.2.1.10', 'a constraint of URIs is a fully qualified name, of a host or with a leading dot of those below', ({ view }) => areUriConstraints(findExtension(view, oids.nameConstraints))),
  rule('RFC 5280 §4.2.1.12', "the extended key usage is the profile's, each purpose once, without anyExtendedKeyUsage", ({ view, intent }) => isExtendedKeyUsage(view, intent.profile)),
  rule('RFC 5280 §4.2.1.12', 'each purpose goes with the key usage', ({ view, intent }) => intent.profile.authority !== undefined || readPurposes(view).every((purpose) => bitsOfPurpose[purpose]?.some((bit) => readKeyUsage(view).includes(bit)) !== false)),
  rule('RFC 5280 §4.2.1.12', 'each bit of the key usage goes with a purpose', ({ view, intent }) => intent.profile.authority !== undefined || areBitsOfPurposes(readKeyUsage(view), readPurposes(view))),
  rule('RFC 5280 §4.2.1.13', 'a CRL distribution point is a full name, without reasons or another issuer', ({ view }) => areDistributionPoints(findExtension(view, oids.crlDistributionPoints)?.value)),
  rule('RFC 5280 §4.2.1.13, §4.2.2.1', 'CRL, OCSP and issuer locations are http URIs', ({ view }) => [oids.crlDistributionPoints, oids.authorityInfoAccess].every((oid) => hasHttpUris(findExtension(view, oid)))),
  rule('RFC 5280 §4.2.2.1', 'authority information is OCSP and caIssuers, each place once, whatever its case', ({ view }) => isAuthorityInfoAccess(findExtension(view, oids.authorityInfoAccess)?.value)),
  rule('CABF BR §7.1.2.8', "an OCSP responder's certificate points nowhere, and has neither names nor policies", ({ view, intent }) => !intent.profile.ocspNoCheck || pointers.every((oid) => findExtension(view, oid) === undefined)),
  rule('RFC 6960 §4.2.2.2.1', 'ocsp-nocheck is NULL, and goes with OCSPSigning', ({ view, intent }) => isNullIf(findExtension(view, oids.ocspNoCheck), intent.profile.ocspNoCheck) && (!intent.profile.ocspNoCheck || readPurposes(view).includes(oids.ocspSigning))),
  rule('RFC 9608 §2', 'noRevAvail is NULL, without CRLs and OCSP beside it, and not in a CA', ({ view, intent }) => isNullIf(findExtension(view, oids.noRevAvail), intent.profile.noRevocation) && (!intent.profile.noRevocation || !pointsToStatus(view))),
  rule('RFC 7633 §4', 'the TLS feature is status_request alone, where the profile has it', ({ view, intent }) => isTlsFeature(findExtension(view, oids.tlsFeature)?.value, intent.profile)),
]; // prettier-ignore

const always: readonly string[] = [
  oids.keyUsage,
  oids.extendedKeyUsage,
  oids.basicConstraints,
  oids.subjectKeyIdentifier,
  oids.authorityKeyIdentifier,
  oids.authorityInfoAccess,
  oids.crlDistributionPoints,
  oids.certificatePolicies,
];

/** What a certificate whose own status is not asked for does without. */
const pointers: readonly string[] = [
  oids.authorityInfoAccess,
  oids.crlDistributionPoints,
  oids.subjectAltName,
  oids.certificatePolicies,
];

function isMeant(oid: string, { profile }: CertificateIntent): boolean {
  if (always.includes(oid)) return true;
  switch (oid) {
    case oids.nameConstraints:
      return profile.authority !== undefined;
    case oids.subjectAltName:
      return profile.authority === undefined;
    case oids.ocspNoCheck:
      return profile.ocspNoCheck;
    case oids.noRevAvail:
      return profile.noRevocation;
    case oids.tlsFeature:
      return profile.mustStaple;
    default:
      return false;
  }
}

function hasFixedExtensions(view: CertificateView, { fixedExtensions }: CertificateIntent): boolean {
  const others = [oids.subjectKeyIdentifier, oids.subjectAltName] as readonly string[];
  const decided = view.extensions.filter(({ oid }) => !others.includes(oid));
  const isThere = (fixed: Buffer): boolean => decided.some(({ raw }) => raw.equals(fixed));
  return decided.length === fixedExtensions.length && fixedExtensions.every(isThere);
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

function isKeyUsage(view: CertificateView, { keyUsage }: Profile): boolean {
  const kind = keyKindOf(view);
  const used = readKeyUsage(view);
  return kind !== undefined && used.length > 0 && sameSet(used, keyUsageFor(keyUsage, kind));
}

function arePolicies(value: DerNode | undefined, { policies }: Profile): boolean {
  if (value === undefined) return policies.length === 0;
  const written = value.children.map(({ children: [policy, qualifiers] }) => {
    const [qualifier, ...more] = qualifiers?.children ?? [];
    const [type, uri] = qualifier?.children ?? [];
    const isPractice = qualifier === undefined || (decodeOid(type.content) === oids.cps && uri.tag === tags.ia5String);
    if (more.length > 0 || !isPractice || qualifiers?.children.length === 0) throw new TypeError('want one qualifier');
    return `${decodeOid(policy.content)} ${uri?.content.toString('latin1') ?? ''}`;
  });
  const wanted = policies.map(({ oid, cps = '' }) => `${oid} ${cps}`);
  return written.length > 0 && new Set(written).size === written.length && sameSet(written, wanted);
}

function holdsNames(extension: ExtensionView | undefined, names: readonly GeneralName[]): boolean {
  if (extension === undefined) return names.length === 0;
  const format = ({ type, value }: GeneralName): string => `${type}:${value}`;
  const written = writtenNames(extension).map(format);
  return written.length > 0 && written.length === new Set(written).size && sameSet(written, names.map(format));
}

function areNamesOf(extension: ExtensionView | undefined, profile: Profile): boolean {
  const kinds: string[] = [...profile.allowedNames, ...profile.addedNames.map(({ type }) => type)];
  const written = extension === undefined ? [] : writtenNames(extension).map(({ type }) => type);
  const isThere = (kind: string): boolean =>
    kind === 'any' ? written.length > 0 : (written as string[]).includes(kind);
  return written.every((kind) => kinds.includes(kind)) && profile.requiredNames.every(isThere);
}

function isOneSpiffeId(extension: ExtensionView | undefined): boolean {
  if (extension === undefined) return true;
  const uris = urisIn(extension.value);
  return uris.length <= 1 || !uris.some((uri) => uri.startsWith('spiffe:'));
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
  if (extension === undefined) return true;
  const lists = extension.value.children;
  const order = lists.map(({ tag }) => [contextConstructed(0), contextConstructed(1)].indexOf(tag));
  const isOrdered = order.every((place, index) => place >= 0 && (index === 0 || order[index - 1] < place));
  const areBases = lists.every(
    ({ children }) => children.length > 0 && children.every((subtree) => subtree.children.length === 1),
  );
  return isAuthority(view) && lists.length > 0 && isOrdered && areBases;
}

function areUriConstraints(extension: ExtensionView | undefined): boolean {
  const bases = extension === undefined ? [] : urisIn(extension.value);
  return bases.every((base) => isFullyQualified(base.replace(/^\./, '')));
}

function isExtendedKeyUsage(view: CertificateView, { extendedKeyUsage }: Profile): boolean {
  const extension = findExtension(view, oids.extendedKeyUsage);
  if (extension === undefined) return extendedKeyUsage.length === 0;
  const purposes = readPurposes(view);
  const isUnique = new Set(purposes).size === purposes.length;
  return (
    purposes.length > 0 &&
    isUnique &&
    !purposes.includes(oids.anyExtendedKeyUsage) &&
    sameSet(purposes, extendedKeyUsage)
  );
}

function areDistributionPoints(value: DerNode | undefined): boolean {
  if (value === undefined) return true;
  // Each is SEQUENCE { [0] { [0] fullName } }.
  const isFullName = ({ children: [name, ...rest] }: DerNode): boolean =>
    rest.length === 0 &&
    name.tag === contextConstructed(0) &&
    name.children.length === 1 &&
    name.children[0].tag === contextConstructed(0) &&
    name.children[0].children.length > 0;
  return value.children.length > 0 && value.children.every(isFullName);
}

function hasHttpUris(extension: ExtensionView | undefined): boolean {
  if (extension === undefined) return true;
  const uris = urisIn(extension.value);
  return uris.length > 0 && uris.every((uri) => /^http:\/\/[\x21-\x7e]+$/.test(uri));
}

function isAuthorityInfoAccess(value: DerNode | undefined): boolean {
  if (value === undefined) return true;
  const methods = value.children.map(({ children: [method] }) => decodeOid(method.content));
  const places = value.children.map(({ children: [, place] }) => place.content.toString('latin1').toLowerCase());
  const isKnown = (method: string): boolean => method === oids.ocsp || method === oids.caIssuers;
  return places.length > 0 && new Set(places).size === places.length && methods.every(isKnown);
}

function isNullIf(extension: ExtensionView | undefined, isMeant: boolean): boolean {
  return extension === undefined ? !isMeant : isMeant && extension.value.tag === tags.null;
}

function pointsToStatus(view: CertificateView): boolean {
  const access = findExtension(view, oids.authorityInfoAccess)?.value.children ?? [];
  const hasOcsp = access.some(({ children }) => decodeOid(children[0].content) === oids.ocsp);
  return hasOcsp || findExtension(view, oids.crlDistributionPoints) !== undefined || isAuthority(view);
}

function isTlsFeature(value: DerNode | undefined, { mustStaple }: Profile): boolean {
  if (value === undefined) return !mustStaple;
  return mustStaple && value.children.length === 1 && value.children[0].content.equals(Buffer.of(5));
}
