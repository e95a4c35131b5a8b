import { decodeOid, oids } from '../der/oid.js';
import { isReservedAddress, isReservedDomain } from '../name/reserved-names.js';
import { maximumPublicValidityDays, reservedPolicies } from '../profile/public-style.js';
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
 * The Baseline Requirements of the CA/Browser Forum for TLS server certificates, as far as octets show them: for a profile that says
 * `publicStyle`.
 */
export const publicRules: readonly CertificateRule[] = [
  publicRule('CABF BR §6.3.2', 'the validity is at most that of its day: 200 days since 2026-03-15, 100 since 2027-03-15, 47 since 2029-03-15', ({ view }) => isShortEnough(milliseconds(view.notBefore), milliseconds(view.notAfter))),
  publicRule('CABF BR §7.1.2.7', 'notBefore lies back at most 48 hours, as far as the profile says', ({ intent }) => intent.profile.backdateSeconds <= 48 * 3600),
  publicRule('CABF BR §7.1.3.1', 'the key is RSA of whole octets, or EC', ({ view }) => keyKindOf(view) !== 'ed25519' && keyKindOf(view) !== undefined),
  publicRule('CABF BR §7.1.2.7.11', 'an EC key signs', ({ view }) => keyKindOf(view) === 'rsa' || readKeyUsage(view).includes('digitalSignature')),
  publicRule('CABF BR §7.1.2.7.10', 'the purpose is serverAuth, and at most clientAuth besides', ({ view }) => readPurposes(view).includes(oids.serverAuth) && readPurposes(view).every((purpose) => purpose === oids.serverAuth || purpose === oids.clientAuth)),
  publicRule('CABF BR §7.1.2.7.12', 'SubjectAltName is there, of DNS names and addresses alone', ({ view }) => namesOf(view).length > 0 && namesOf(view).every(({ type }) => type === 'dns' || type === 'ip')),
  publicRule('CABF BR §7.1.2.7.12', 'DNS names are fully qualified and not internal, without underscores', ({ view }) => namesOf(view).every(({ type, value }) => type !== 'dns' || isPublicDomain(value))),
  publicRule('CABF BR §7.1.2.7.12', 'addresses are not reserved', ({ view }) => namesOf(view).every(({ type, value }) => type !== 'ip' || !isReservedAddress(value))),
  publicRule('CABF BR §7.1.6.1', 'one policy says how the subject was validated', ({ view }) => policiesOf(view).filter((policy) => Object.values(reservedPolicies).includes(policy)).length === 1),
  publicRule('CABF BR §7.1.2.7.7', 'authority information is there', ({ view }) => findExtension(view, oids.authorityInfoAccess) !== undefined),
  publicRule('CABF BR §7.1.2.11.2', 'there is a CRL or an OCSP responder, unless it is short-lived', ({ view }) => isShortLived(milliseconds(view.notAfter) - milliseconds(view.notBefore)) || pointsToStatus(view)),
]; // prettier-ignore

function publicRule(source: string, requires: string, holds: CertificateRule['holds']): CertificateRule {
  return rule(source, requires, (subject) => !subject.intent.profile.publicStyle || holds(subject));
}

type View = CertificateUnderLint['view'];

function isShortEnough(notBefore: number, notAfter: number): boolean {
  return notAfter - notBefore + 1000 <= maximumPublicValidityDays(new Date(notBefore)) * 86_400_000;
}

/** CABF BR §1.6.1: at most 7 days, for certificates since 2026-03-15. */
function isShortLived(validityMilliseconds: number): boolean {
  return validityMilliseconds + 1000 <= 7 * 86_400_000;
}

function namesOf(view: View): ReturnType<typeof writtenNames> {
  const extension = findExtension(view, oids.subjectAltName);
  return extension === undefined ? [] : writtenNames(extension);
}

function isPublicDomain(name: string): boolean {
  const domain = name.replace(/^\*\./, '');
  return domain.includes('.') && !domain.includes('_') && !isReservedDomain(domain);
}

function policiesOf(view: View): string[] {
  const policies = findExtension(view, oids.certificatePolicies)?.value.children ?? [];
  return policies.map(({ children }) => decodeOid(children[0].content));
}

function pointsToStatus(view: View): boolean {
  const access = findExtension(view, oids.authorityInfoAccess)?.value.children ?? [];
  const hasOcsp = access.some(({ children }) => decodeOid(children[0].content) === oids.ocsp);
  const crl = findExtension(view, oids.crlDistributionPoints);
  return hasOcsp || (crl !== undefined && urisIn(crl.value).length > 0);
}
