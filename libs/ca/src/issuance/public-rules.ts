import { decodeOid, oids } from '../der/oid.js';
import {
  type AttributeName,
  attributeNameOf,
  readDirectoryString,
  readDistinguishedName,
} from '../name/distinguished-name.js';
import { readsAsHtml } from '../name/html-reference.js';
import { isOnPublicHost, isPublicDomain, isReservedAddress } from '../name/reserved-names.js';
import type { KeyUsageBit } from '../profile/key-usage.js';
import { isCutOff } from '../profile/public-names.js';
import {
  maximumPublicValidityDays,
  type PublicKind,
  publicKindOf,
  type PublicPolicy,
  publicPolicyOf,
} from '../profile/public-style.js';
import {
  findExtension,
  keyKindOf,
  milliseconds,
  readKeyUsage,
  readPurposes,
  urisIn,
  writtenNames,
} from './certificate-reading.js';
import type { CertificateRule, CertificateUnderLint } from './certificate-intent.js';
import { rule } from './lint.js';

/**
 * The Baseline Requirements of the CA/Browser Forum for TLS servers, mail and code, as far as octets show them: for a profile that
 * says `publicStyle`. The numbers are those of `public-style.ts`; sections are those for TLS servers where no other document is named.
 */
export const publicRules: readonly CertificateRule[] = [
  publicRule('CABF BR §6.3.2', 'the validity is at most that of its day: for TLS servers 200 days since 2026-03-15, 100 since 2027-03-15, 47 since 2029-03-15; for code 460; for mail 825', ({ view, kind }) => isShortEnough(kind, milliseconds(view.notBefore), milliseconds(view.notAfter))),
  publicRule('CABF BR §7.1.2.7', 'notBefore lies back at most 48 hours, as far as the profile says', ({ intent }) => intent.profile.backdateSeconds <= 48 * 3600),
  publicRule('CABF BR §7.1.3.1', 'the key is of a kind that the Forum has', ({ view, kind }) => kind.keys.some((key) => key === keyKindOf(view))),
  publicRule('CABF BR §7.1.2.7.11', 'the key usage is what the purpose is for, and nonRepudiation goes with digitalSignature', ({ view, kind }) => isKeyUsageOf(readKeyUsage(view), kind)),
  publicRule('CABF BR §7.1.2.7.11', 'an EC key of a server or for code signs', ({ view, kind }) => keyKindOf(view) === 'rsa' || kind.keyUsage.includes('keyAgreement') || readKeyUsage(view).includes('digitalSignature')),
  publicRule('CABF BR §7.1.2.7.10', 'the purpose is there, and besides it what the policy allows', ({ view, kind, policy }) => readPurposes(view).includes(kind.purpose) && readPurposes(view).every((purpose) => purpose === kind.purpose || policy?.otherPurposes.includes(purpose))),
  publicRule('CABF BR §7.1.2.7.12', 'SubjectAltName is there, of DNS names and addresses alone; for mail of mailboxes alone, and not there for code', ({ view, kind }) => namesOf(view).length > 0 === kind.names.length > 0 && namesOf(view).every(({ type }) => kind.names.includes(type))),
  publicRule('CABF BR §7.1.2.7.12', 'DNS names and hosts of mailboxes are fully qualified and not internal, without underscores', ({ view }) => namesOf(view).every(({ type, value }) => type === 'ip' || isPublicDomain(value.slice(value.lastIndexOf('@') + 1)))),
  publicRule('CABF BR §7.1.2.7.12', 'addresses are not reserved', ({ view }) => namesOf(view).every(({ type, value }) => type !== 'ip' || !isReservedAddress(value))),
  publicRule('CABF BR §7.1.6.1', 'one policy says how the subject was validated', ({ policy }) => policy !== undefined),
  publicRule('CABF BR §7.1.2.7.2', 'the subject has what its policy wants, and nothing else', ({ view, policy }) => policy !== undefined && isSubjectOf(policy, textsOf(view).map(({ attribute }) => attribute))),
  publicRule('CABF BR §7.1.4.2', 'the subject holds no character references of HTML', ({ view }) => textsOf(view).every(({ text }) => !readsAsHtml(text))),
  publicRule('CABF EVG §9.2.1', 'an organization whose name opens a parenthesis closes it: none was cut off', ({ view }) => textsOf(view).every(({ attribute, text }) => attribute !== 'organization' || !isCutOff(text))),
  publicRule('CABF BR §7.1.2.7.7', 'authority information is there, with the place of the issuer', ({ view }) => accessMethodsOf(view).includes(oids.caIssuers)),
  publicRule('CABF BR §7.1.2.11.2', 'there is a CRL; for a TLS server an OCSP responder will do', ({ view, kind }) => namesCrl(view) || (!kind.namesCrl && accessMethodsOf(view).includes(oids.ocsp))),
  publicRule('CABF BR §7.1.2.7.7, §7.1.2.7.9, §7.1.2.11.2', 'places are on hosts that the public can name', ({ view }) => placesOf(view).every(isOnPublicHost)),
]; // prettier-ignore

type View = CertificateUnderLint['view'];
interface PublicSubject extends CertificateUnderLint {
  readonly kind: PublicKind;
  /** Undefined: not just one of the Forum's for the purpose. */
  readonly policy: PublicPolicy | undefined;
}

function publicRule(source: string, requires: string, holds: (subject: PublicSubject) => boolean): CertificateRule {
  return rule(source, requires, (subject) => {
    const { view, intent } = subject;
    const kind = publicKindOf(intent.profile.extendedKeyUsage);
    return kind !== undefined && holds({ ...subject, kind, policy: publicPolicyOf(kind, policiesOf(view)) });
  });
}

function isShortEnough(kind: PublicKind, notBefore: number, notAfter: number): boolean {
  return notAfter - notBefore + 1000 <= maximumPublicValidityDays(kind, new Date(notBefore)) * 86_400_000;
}

function isKeyUsageOf(bits: readonly KeyUsageBit[], { keyUsage }: PublicKind): boolean {
  const repudiates = !bits.includes('nonRepudiation') || bits.includes('digitalSignature');
  return repudiates && bits.every((bit) => keyUsage.includes(bit));
}

function namesOf(view: View): ReturnType<typeof writtenNames> {
  const extension = findExtension(view, oids.subjectAltName);
  return extension === undefined ? [] : writtenNames(extension);
}

function policiesOf(view: View): string[] {
  const policies = findExtension(view, oids.certificatePolicies)?.value.children ?? [];
  return policies.map(({ children }) => decodeOid(children[0].content));
}

function textsOf({ subject }: View): { readonly attribute: AttributeName | undefined; readonly text: string }[] {
  const attributes = readDistinguishedName(subject) ?? [];
  return attributes.map(({ type, value }) => ({
    attribute: attributeNameOf(type),
    text: readDirectoryString(value) ?? '',
  }));
}

function isSubjectOf(policy: PublicPolicy, attributes: readonly (AttributeName | undefined)[]): boolean {
  const isKnown = attributes.every((attribute) => attribute !== undefined && policy.subject.includes(attribute));
  return isKnown && policy.subjectWants.every((names) => names.some((name) => attributes.includes(name)));
}

function accessMethodsOf(view: View): string[] {
  const access = findExtension(view, oids.authorityInfoAccess)?.value.children ?? [];
  return access.map(({ children }) => decodeOid(children[0].content));
}

function namesCrl(view: View): boolean {
  const crl = findExtension(view, oids.crlDistributionPoints);
  return crl !== undefined && urisIn(crl.value).length > 0;
}

function placesOf(view: View): string[] {
  const places = [oids.authorityInfoAccess, oids.crlDistributionPoints].map((oid) => findExtension(view, oid)?.value);
  return [...places.flatMap((value) => (value === undefined ? [] : urisIn(value))), ...practiceStatementsOf(view)];
}

function practiceStatementsOf(view: View): string[] {
  const policies = findExtension(view, oids.certificatePolicies)?.value.children ?? [];
  const qualifiers = policies.flatMap(({ children: [, each] }) => each?.children ?? []);
  return qualifiers.map(({ children: [, uri] }) => uri.content.toString('latin1'));
}
