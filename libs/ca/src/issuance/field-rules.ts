import { type DerNode, parseDer } from '../der/der-reader.js';
import { tags } from '../der/der-writer.js';
import {
  type AttributeName,
  attributeNameOf,
  attributeValueSchemas,
  nameAttributes,
  readDirectoryString,
  readDistinguishedName,
} from '../name/distinguished-name.js';
import { keyKindOf, milliseconds, remembered } from './certificate-reading.js';
import type { CertificateIntent, CertificateRule } from './certificate-intent.js';
import { type CertificateView, readTime } from './certificate-view.js';
import { rule } from './lint.js';
import type { Validity } from './tbs-certificate.js';

/** The fields of a TBSCertificate (RFC 5280 §4.1). */
export const fieldRules: readonly CertificateRule[] = [
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
  rule('RFC 5280 §4.1.2.6', 'the subject of a CA is not empty', ({ view, intent }) => intent.profile.authority === undefined || view.subject.children.length > 0),
  rule('RFC 5280 §4.1.2.6', "the subject is the issuer's if and only if it signs itself", ({ view, intent }) => view.subject.raw.equals(intent.issuerName) === intent.selfSigned),
  rule('RFC 5280 §4.1.2.6', "the subject has attributes of the profile alone", ({ view, intent }) => intent.profile.authority !== undefined || attributesOf(view.subject).every(({ name }) => name !== undefined && intent.profile.subject[name] !== undefined)),
  rule('RFC 5280 §4.1.2.4', 'a name has one attribute in each set, and each attribute once', ({ view, intent }) => isOthersName(intent) || hasEachAttributeOnce(view.subject)),
  rule('RFC 5280 appendix A.1', 'name attributes are non-empty, within bounds, PrintableString for country and serialNumber, IA5String for an e-mail address, else UTF8String', ({ view, intent }) => hasProperAttributes(view.subject, isOthersName(intent))),
  rule('CABF BR §7.1.4.2', 'name attributes stand in their order, the most general first', ({ view, intent }) => isOthersName(intent) || isOrdered(view.subject)),
  rule('RFC 9525 §2', 'a commonName that is a name is also in SubjectAltName', ({ view, intent }) => isCommonNameListed(view.subject, intent)),
  rule('RFC 5280 §4.1.2.6', 'an e-mail address of the subject is also in SubjectAltName', ({ view, intent }) => attributesOf(view.subject).every(({ name, text }) => name !== 'emailAddress' || intent.names.some(({ type, value }) => type === 'email' && value === text))),
  rule('RFC 5280 §4.1.2.7', 'the public key is the requested one', ({ view, intent }) => view.subjectPublicKeyInfo.raw.equals(intent.subjectPublicKeyInfo)),
  rule('RFC 3279 §2.3, RFC 5480 §2, RFC 8410 §4', 'the public key is of a kind and a size that the profile has', ({ view, intent }) => isKeyOf(view, intent)),
  rule('RFC 5280 §4.1.2.8', 'there are no unique identifiers', ({ view }) => view.unexpected.length === 0),
]; // prettier-ignore

function isSerial({ tag, content }: DerNode): boolean {
  return tag === tags.integer && content.length <= 20 && content[0] < 0x80 && content.some((octet) => octet !== 0);
}

function isProperTime(node: DerNode): boolean {
  const at = readTime(node);
  return at !== undefined && (node.tag === tags.utcTime) === at.getUTCFullYear() < 2050;
}

function isWithin(view: CertificateView, issuer: Validity | undefined): boolean {
  if (issuer === undefined) return true;
  return (
    milliseconds(view.notBefore) >= issuer.notBefore.getTime() &&
    milliseconds(view.notAfter) <= issuer.notAfter.getTime()
  );
}

interface WrittenAttribute {
  readonly name: AttributeName | undefined;
  readonly text: string | undefined;
  readonly tag: number;
}

/** @throws {TypeError} when it is no Name */
const attributesOf = remembered((name: DerNode): readonly WrittenAttribute[] => {
  const attributes = readDistinguishedName(name);
  if (attributes === undefined) throw new TypeError('want a Name');
  return attributes.map(({ type, value }) => ({
    name: attributeNameOf(type),
    text: readDirectoryString(value),
    tag: value.tag,
  }));
});

function hasEachAttributeOnce(name: DerNode): boolean {
  const names = attributesOf(name).map((attribute) => attribute.name);
  return name.children.every(({ children }) => children.length === 1) && new Set(names).size === names.length;
}

/** A CA that is cross-signed has the name it has. */
function isOthersName({ profile }: CertificateIntent): boolean {
  return profile.authority !== undefined;
}

function hasProperAttributes(name: DerNode, mayHaveOthers: boolean): boolean {
  return attributesOf(name).every(({ name: attribute, text, tag }) => {
    if (attribute === undefined) return mayHaveOthers;
    if (text === undefined) return false;
    return nameAttributes[attribute].tag === tag && attributeValueSchemas[attribute].safeParse(text).success;
  });
}

function isOrdered(name: DerNode): boolean {
  const order = Object.keys(nameAttributes);
  const places = attributesOf(name).map((attribute) => order.indexOf(attribute.name ?? ''));
  return places.every((place, index) => index === 0 || places[index - 1] < place);
}

function isCommonNameListed(subject: DerNode, { profile, names }: CertificateIntent): boolean {
  if (profile.subject.commonName !== 'name') return true;
  const commonName = attributesOf(subject).find(({ name }) => name === 'commonName')?.text;
  return commonName === undefined || names.some(({ value }) => value === commonName);
}

function isKeyOf(view: CertificateView, { profile }: CertificateIntent): boolean {
  const kind = keyKindOf(view);
  if (kind === undefined || !profile.keys.includes(kind)) return false;
  const [{ children: algorithm }, bits] = view.subjectPublicKeyInfo.children;
  if (kind !== 'rsa') return algorithm.length === (kind === 'ed25519' ? 1 : 2);
  const [modulus] = parseDer(bits.content.subarray(1)).children;
  // The first octet of a modulus of whole octets has its highest bit set, so a zero stands before it.
  const modulusBits = (modulus.content.length - 1) * 8;
  return algorithm[1].tag === tags.null && modulusBits >= profile.minimumRsaBits;
}
