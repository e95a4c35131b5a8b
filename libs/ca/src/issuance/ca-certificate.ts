import { type KeyObject, X509Certificate } from 'node:crypto';
import { type DerNode, parseDer } from '../der/der-reader.js';
import { tags } from '../der/der-writer.js';
import { decodeOid, oids } from '../der/oid.js';
import { CaError } from '../errors.js';
import { NameConstraints } from '../profile/name-constraints.js';
import { readTime, viewTbsCertificate } from './certificate-view.js';
import type { Validity } from './tbs-certificate.js';

/** A CA certificate of our own, as far as issuing under it must know it. */
export interface CaCertificate {
  readonly der: Buffer;
  /** DER of its subject, which is the issuer of what it signs. */
  readonly subject: Buffer;
  /** DER of its issuer's name. */
  readonly issuer: Buffer;
  readonly publicKey: KeyObject;
  /** Its SubjectKeyIdentifier. */
  readonly keyIdentifier: Buffer;
  readonly validity: Validity;
  /** How many CAs may follow below it; absent: any number (RFC 5280 §4.2.1.9). */
  readonly pathLength?: number;
  readonly nameConstraints?: NameConstraints;
  /** OIDs of what certificates below it are for; absent: anything. */
  readonly purposes?: readonly string[];
}

/** @throws {CaError} ERR_CA_ISSUER_UNUSABLE when the octets are not a CA certificate like ours */
export function readCaCertificate(der: Buffer): CaCertificate {
  try {
    return Object.freeze(read(der));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CaError(
      'ERR_CA_ISSUER_UNUSABLE',
      `stored issuer certificate: want a CA certificate of ours, got ${reason}`,
      { cause: error },
    );
  }
}

function read(der: Buffer): CaCertificate {
  const view = viewTbsCertificate(parseDer(der).children[0]);
  const value = (oid: string): DerNode | undefined => view.extensions.find((extension) => extension.oid === oid)?.value;
  const [cA, pathLength] = value(oids.basicConstraints)?.children ?? [];
  const keyIdentifier = value(oids.subjectKeyIdentifier)?.content;
  const notBefore = readTime(view.notBefore);
  const notAfter = readTime(view.notAfter);
  if (cA?.content[0] !== 0xff || keyIdentifier === undefined || notBefore === undefined || notAfter === undefined)
    throw new TypeError('one without CA rights, a subject key identifier or proper dates');
  const constraints = value(oids.nameConstraints);
  const purposes = value(oids.extendedKeyUsage)?.children.map(({ content }) => decodeOid(content));
  return {
    der,
    subject: view.subject.raw,
    issuer: view.issuer.raw,
    publicKey: new X509Certificate(der).publicKey,
    keyIdentifier,
    validity: { notBefore, notAfter },
    pathLength: pathLength && readPathLength(pathLength),
    nameConstraints: constraints && NameConstraints.read(constraints),
    // anyExtendedKeyUsage is no limit (RFC 5280 §4.2.1.12).
    purposes: purposes?.includes(oids.anyExtendedKeyUsage) === true ? undefined : purposes,
  };
}

/** RFC 5280 §4.2.1.9: INTEGER (0..MAX). */
function readPathLength({ tag, content }: DerNode): number {
  if (tag !== tags.integer || content[0] >= 0x80 || content.length > 4)
    throw new TypeError('a pathLenConstraint from 0 to 2147483647');
  return content.readUIntBE(0, content.length);
}
