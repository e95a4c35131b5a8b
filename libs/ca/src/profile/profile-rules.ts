import { oids } from '../der/oid.js';
import { attributeNames } from '../name/distinguished-name.js';
import { generalName } from '../name/general-name.js';
import { keyUsageFor, type KeyUsageBit } from './key-usage.js';
import { publicFaultsOf } from './public-profile-rules.js';
import type { ProfileContent } from './profile.js';

/** One thing that must hold of a profile with what it inherits. */
interface ProfileRule {
  /** The field a fault is reported at. */
  readonly field: string;
  /** What it wants, with its source. */
  readonly wants: string;
  readonly holds: (profile: ProfileContent) => boolean;
}

/** Bits that go with a purpose (RFC 5280 §4.2.1.12; RFC 6960 §4.2.2.2; RFC 9336 §3.1): one of them must be there. */
export const bitsOfPurpose: Readonly<Record<string, readonly KeyUsageBit[]>> = {
  [oids.serverAuth]: ['digitalSignature', 'keyEncipherment', 'keyAgreement'],
  [oids.clientAuth]: ['digitalSignature', 'keyAgreement'],
  [oids.codeSigning]: ['digitalSignature'],
  [oids.emailProtection]: ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'keyAgreement'],
  [oids.ocspSigning]: ['digitalSignature', 'nonRepudiation'],
  [oids.documentSigning]: ['digitalSignature', 'nonRepudiation'],
};

/**
 * Whether each bit goes with one of the purposes (RFC 5280 §4.2.1.12: a certificate is only for what both extensions allow). A
 * purpose that is not in the table says nothing of bits. documentSigning adds none to the purposes of that section: a key that is for those
 * too is none whose signatures are not repudiated (§4.2.1.3), and whoever knows that section alone finds the bit consistent with nothing.
 */
export function areBitsOfPurposes(bits: readonly KeyUsageBit[], purposes: readonly string[]): boolean {
  const known = purposes.filter((purpose) => Object.hasOwn(bitsOfPurpose, purpose));
  const others = known.filter((purpose) => purpose !== oids.documentSigning);
  const consistent = (others.length > 0 ? others : known).flatMap((purpose) => bitsOfPurpose[purpose]);
  return consistent.length === 0 || bits.every((bit) => consistent.includes(bit));
}

const has = (list: readonly string[], value: string): boolean => list.includes(value);
const isEmpty = (list: readonly unknown[] | undefined): boolean => list?.length === 0;
const isUnique = (list: readonly string[]): boolean => new Set(list).size === list.length;

const rules: readonly ProfileRule[] = [
  { field: 'subjectAltName', wants: 'every required kind of name among the allowed', holds: (p) => p.requiredNames.every((kind) => (kind === 'any' ? p.allowedNames.length > 0 : has(p.allowedNames, kind))) },
  { field: 'subjectAltName', wants: 'added names that can be names', holds: (p) => p.addedNames.every(isNameTemplate) },
  { field: 'subjectAltName', wants: 'added names of attributes that every subject has', holds: (p) => p.addedNames.every(({ value }) => placeholders(value).every((name) => isAlwaysThere(p, name))) },
  { field: 'subject', wants: 'an allowed kind of name for commonName: name', holds: (p) => p.subject.commonName !== 'name' || p.allowedNames.length > 0 },
  { field: 'subject', wants: 'a subject that is never empty, since only it names a CA (RFC 5280 §4.1.2.6)', holds: (p) => p.authority === undefined || attributeNames.some((name) => isAlwaysThere(p, name)) },
  { field: 'subject', wants: 'a name of some kind', holds: (p) => Object.keys(p.subject).length + p.allowedNames.length + p.addedNames.length > 0 },
  { field: 'keyUsage', wants: 'every bit once', holds: (p) => isUnique(p.keyUsage) },
  { field: 'keyUsage', wants: 'a bit that every allowed kind of key can have: keyEncipherment and dataEncipherment are for RSA, keyAgreement for EC (RFC 8813 §3, RFC 8410 §5)', holds: (p) => p.keys.every((kind) => keyUsageFor(p.keyUsage, kind).length > 0) },
  { field: 'keyUsage', wants: 'keyCertSign and cRLSign for a CA and nothing else (RFC 5280 §4.2.1.3, §4.2.1.9)', holds: (p) => p.authority === undefined ? !has(p.keyUsage, 'keyCertSign') && !has(p.keyUsage, 'cRLSign') : has(p.keyUsage, 'keyCertSign') && has(p.keyUsage, 'cRLSign') },
  { field: 'keyUsage', wants: 'digitalSignature alone beside the bits of a CA: its key signs, whatever else it could (CABF BR §7.1.2.10.7)', holds: (p) => p.authority === undefined || p.keyUsage.every((bit) => bit === 'digitalSignature' || bit === 'keyCertSign' || bit === 'cRLSign') },
  { field: 'keyUsage', wants: 'encipherOnly and decipherOnly beside keyAgreement, and not both (RFC 5280 §4.2.1.3, RFC 8813 §3)', holds: (p) => { const only = p.keyUsage.filter((bit) => bit.endsWith('Only')); return only.length === 0 || (only.length === 1 && has(p.keyUsage, 'keyAgreement') && p.keys.every((kind) => kind.startsWith('ec'))); } },
  { field: 'extendedKeyUsage', wants: 'every purpose once', holds: (p) => isUnique(p.extendedKeyUsage) },
  { field: 'extendedKeyUsage', wants: 'neither anyExtendedKeyUsage nor timeStamping, which has rules of its own (RFC 3161 §2.3)', holds: (p) => !has(p.extendedKeyUsage, oids.anyExtendedKeyUsage) && !has(p.extendedKeyUsage, oids.timeStamping) },
  { field: 'extendedKeyUsage', wants: 'a purpose: a certificate without any is for every one', holds: (p) => p.authority !== undefined || p.extendedKeyUsage.length > 0 },
  { field: 'extendedKeyUsage', wants: 'a key usage that goes with each purpose (RFC 5280 §4.2.1.12)', holds: (p) => p.authority !== undefined || p.keys.every((kind) => p.extendedKeyUsage.every((purpose) => bitsOfPurpose[purpose]?.some((bit) => has(keyUsageFor(p.keyUsage, kind), bit)) ?? true)) },
  { field: 'keyUsage', wants: 'bits that go with one of the purposes (RFC 5280 §4.2.1.12), to which documentSigning adds none', holds: (p) => p.authority !== undefined || areBitsOfPurposes(p.keyUsage, p.extendedKeyUsage) },
  { field: 'extendedKeyUsage', wants: 'ocspSigning alone and with ocspNoCheck, never in a CA certificate (RFC 6960 §4.2.2.2)', holds: (p) => has(p.extendedKeyUsage, oids.ocspSigning) ? p.extendedKeyUsage.length === 1 && p.ocspNoCheck && p.authority === undefined : !p.ocspNoCheck },
  { field: 'ocspNoCheck', wants: 'no CRL, OCSP or issuer URLs, names or policies: write [] for each that is inherited (CABF BR §7.1.2.8)', holds: (p) => !p.ocspNoCheck || ([p.ocsp, p.crl, p.caIssuers].every(isEmpty) && p.allowedNames.length + p.addedNames.length + p.policies.length === 0) },
  { field: 'authority', wants: 'no names in SubjectAltName of a CA', holds: (p) => p.authority === undefined || p.allowedNames.length + p.addedNames.length === 0 },
  { field: 'policies', wants: 'every policy once, none of them anyPolicy in an end entity (RFC 5280 §4.2.1.4)', holds: (p) => isUnique(p.policies.map(({ oid }) => oid)) && (p.authority !== undefined || p.policies.every(({ oid }) => oid !== oids.anyPolicy)) },
  { field: 'policies', wants: 'anyPolicy alone, which has every other one in it (CABF BR §7.1.2.10.5)', holds: (p) => p.policies.length < 2 || p.policies.every(({ oid }) => oid !== oids.anyPolicy) },
  { field: 'noRevocation', wants: 'no CRL, no OCSP, no must-staple and no CA: their absence is what it says (RFC 9608 §2, §4)', holds: (p) => !p.noRevocation || ((p.ocsp ?? []).length + (p.crl ?? []).length === 0 && !p.mustStaple && p.authority === undefined) },
  { field: 'ocsp', wants: 'every place of OCSP and issuer once, whatever its case (CABF BR §7.1.2.7.7)', holds: (p) => isUnique([...(p.ocsp ?? []), ...(p.caIssuers ?? [])].map((place) => place.toLowerCase())) },
  { field: 'mustStaple', wants: 'a TLS server (RFC 7633 §4)', holds: (p) => !p.mustStaple || has(p.extendedKeyUsage, oids.serverAuth) },
  { field: 'mustStaple', wants: 'an OCSP responder to staple from', holds: (p) => !p.mustStaple || !isEmpty(p.ocsp) },
  { field: 'validityDays', wants: 'more than the backdating', holds: (p) => p.validitySeconds > p.backdateSeconds },
]; // prettier-ignore

/** What does not hold of a profile. */
export function faultsOf(profile: ProfileContent): { readonly field: string; readonly message: string }[] {
  const own = rules
    .filter(({ holds }) => !holds(profile))
    .map(({ field, wants }) => ({ field, message: `want ${wants}` }));
  return [...own, ...publicFaultsOf(profile).map((message) => ({ field: 'publicStyle', message }))];
}

/** An attribute in a template. */
export const placeholder = /\{(\w*)\}/g;

function placeholders(template: string): string[] {
  return [...template.matchAll(placeholder)].map(([, name]) => name);
}

function isAlwaysThere({ subject }: ProfileContent, name: string): boolean {
  const rule = Object.hasOwn(subject, name) ? subject[name as keyof typeof subject] : undefined;
  return rule === 'required' || typeof rule === 'object';
}

/** With a plain word in place of each attribute it is a name of its kind. */
function isNameTemplate({ type, value }: ProfileContent['addedNames'][number]): boolean {
  try {
    generalName(type, value.replaceAll(placeholder, 'a1'));
    return true;
  } catch {
    return false;
  }
}
