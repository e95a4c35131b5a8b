import { type DerNode, parseDer } from '../der/der-reader.js';
import { contextConstructed, tags } from '../der/der-writer.js';
import { decodeOid } from '../der/oid.js';

export interface ExtensionView {
  readonly oid: string;
  readonly critical: boolean;
  /** The DEFAULT was written out, which DER forbids (X.690 §11.5). */
  readonly writesDefault: boolean;
  /** The decoded extnValue. */
  readonly value: DerNode;
  /** DER of the Extension. */
  readonly raw: Buffer;
}

/** A TBSCertificate as its octets say, for checks: nothing is interpreted that a check should see. */
export interface CertificateView {
  /** The value of `[0] version`; absent means v1. */
  readonly version?: DerNode;
  readonly serial: DerNode;
  readonly signatureAlgorithm: DerNode;
  readonly issuer: DerNode;
  readonly notBefore: DerNode;
  readonly notAfter: DerNode;
  readonly subject: DerNode;
  readonly subjectPublicKeyInfo: DerNode;
  readonly extensions: readonly ExtensionView[];
  /** Fields behind the public key other than `[3] extensions`: unique identifiers, or what should not be there. */
  readonly unexpected: readonly DerNode[];
}

/**
 * Splits a TBSCertificate into its fields (RFC 5280 §4.1).
 * @throws {DerError} when it is not DER
 * @throws {TypeError} when a mandatory field is missing or extensions are not of their form
 */
export function viewTbsCertificate(tbs: DerNode): CertificateView {
  const fields = [...tbs.children];
  const version = fields[0]?.tag === contextConstructed(0) ? fields.shift()?.children[0] : undefined;
  const [serial, signatureAlgorithm, issuer, validity, subject, subjectPublicKeyInfo, ...rest] = fields;
  const [notBefore, notAfter] = validity.children;
  if (subjectPublicKeyInfo === undefined || notAfter === undefined || validity.children.length !== 2)
    throw new TypeError('want every field of TBSCertificate');
  const isExtensions = (field: DerNode): boolean => field.tag === contextConstructed(3);
  const extensions = viewExtensions(rest.find(isExtensions));
  const unexpected = rest.filter((field) => !isExtensions(field));
  return {
    version,
    serial,
    signatureAlgorithm,
    issuer,
    notBefore,
    notAfter,
    subject,
    subjectPublicKeyInfo,
    extensions,
    unexpected,
  };
}

/** The Extensions inside an EXPLICIT tag, of a certificate or a CRL. @throws {DerError} @throws {TypeError} */
export function viewExtensions(explicit: DerNode | undefined): ExtensionView[] {
  if (explicit === undefined) return [];
  const [list, ...extra] = explicit.children;
  if (list?.tag !== tags.sequence || extra.length > 0) throw new TypeError('want one SEQUENCE of extensions');
  return list.children.map(({ children, raw }) => {
    const [oid, ...rest] = children;
    const critical = rest.length === 2 ? rest[0] : undefined;
    const value = rest[rest.length - 1];
    if (
      oid.tag !== tags.oid ||
      value.tag !== tags.octetString ||
      (critical && critical.tag !== tags.boolean) ||
      rest.length > 2
    ) {
      throw new TypeError('want extnID, critical and extnValue in an extension');
    }
    return {
      oid: decodeOid(oid.content),
      critical: critical?.content[0] === 0xff,
      writesDefault: critical?.content[0] === 0,
      value: parseDer(value.content),
      raw,
    };
  });
}

/** The time of a UTCTime or GeneralizedTime in the form RFC 5280 §4.1.2.5 wants; undefined for any other form. */
export function readTime({ tag, content }: Pick<DerNode, 'tag' | 'content'>): Date | undefined {
  const yearDigits = tag === tags.utcTime ? 2 : tag === tags.generalizedTime ? 4 : undefined;
  if (yearDigits === undefined || content.length !== yearDigits + 11 || content[yearDigits + 10] !== 0x5a)
    return undefined;
  for (let index = 0; index < yearDigits + 10; index += 1)
    if (content[index] < 0x30 || content[index] > 0x39) return undefined;
  const digits = (from: number): number => (content[from] - 0x30) * 10 + content[from + 1] - 0x30;
  const year = yearDigits === 4 ? digits(0) * 100 + digits(2) : digits(0) + (digits(0) >= 50 ? 1900 : 2000);
  const [month, day] = [digits(yearDigits), digits(yearDigits + 2)];
  const [hour, minute, second] = [digits(yearDigits + 4), digits(yearDigits + 6), digits(yearDigits + 8)];
  const at = new Date(0);
  at.setUTCFullYear(year, month - 1, day);
  at.setUTCHours(hour, minute, second);
  // A day or an hour that does not exist has become another.
  const isReal =
    at.getUTCMonth() === month - 1 &&
    at.getUTCDate() === day &&
    at.getUTCHours() === hour &&
    at.getUTCMinutes() === minute &&
    at.getUTCSeconds() === second;
  return isReal ? at : undefined;
}
