import type { GeneralName } from '../name/general-name.js';
import type { Profile } from '../profile/profile.js';
import { subjectAltName, subjectKeyIdentifier } from './extensions.js';
import type { Idempotency } from './idempotency.js';
import type { SigningAuthority } from './issuer.js';
import { keyIdentifier } from './key-identifier.js';
import { encodeTbsCertificate, type Validity } from './tbs-certificate.js';

/** One certificate to be, decided in full: who signs it, what it says, who asked. */
export interface CertificateOrder {
  readonly authority: SigningAuthority;
  readonly profile: Profile;
  /** Of the issuer's certificate; absent for a self-signed one. */
  readonly issuerValidity?: Validity;
  /** DER of the Name. */
  readonly subject: Buffer;
  readonly subjectPublicKeyInfo: Buffer;
  readonly names: readonly GeneralName[];
  readonly validity: Validity;
  /** Extensions that are the same for every certificate of this profile and issuer. */
  readonly fixedExtensions: readonly Buffer[];
  /** Extensions that follow from the serial. */
  readonly serialExtensions?: (serial: Buffer) => readonly Buffer[];
  readonly requester: string;
  /** Serial of the certificate it follows. */
  readonly renews?: string;
  readonly idempotency?: Idempotency;
}

/** What an unfinished row is held against: an order whose validity is the row's own. */
export type UnfinishedOrder = Omit<CertificateOrder, 'validity' | 'requester' | 'renews' | 'idempotency'>;

/** DER of a Name without attributes. */
const emptyName = Buffer.of(0x30, 0);

/** DER of the TBSCertificate of an order. */
export function encodeOrder(order: CertificateOrder, serial: Buffer): Buffer {
  return encodeTbsCertificate({
    serial,
    signatureAlgorithm: order.authority.signatureAlgorithm.identifier,
    issuer: order.authority.name,
    validity: order.validity,
    subject: order.subject,
    subjectPublicKeyInfo: order.subjectPublicKeyInfo,
    extensions: [...extensionsOf(order), ...(order.serialExtensions?.(serial) ?? [])],
  });
}

function extensionsOf({ fixedExtensions, subjectPublicKeyInfo, names, subject }: CertificateOrder): Buffer[] {
  const identifier = subjectKeyIdentifier(keyIdentifier(subjectPublicKeyInfo));
  if (names.length === 0) return [...fixedExtensions, identifier];
  return [...fixedExtensions, identifier, subjectAltName(names, subject.equals(emptyName))];
}
