import type { HsmKey } from '@nest-hsm/hsm';
import { CaError } from '../errors.js';
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  basicConstraints,
  certificatePolicies,
  crlDistributionPoints,
  extendedKeyUsage,
  keyUsage,
  nameConstraints,
} from '../issuance/extensions.js';
import type { CertificateOrder } from '../issuance/certificate-order.js';
import { type Issuer, signingAuthority } from '../issuance/issuer.js';
import { issuerLocation } from '../issuance/locations.js';
import { crlLocation } from '../revocation/crl-location.js';
import { validityOf } from '../issuance/validity.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import { NameConstraints } from '../profile/name-constraints.js';
import { type Profile, rootProfile, subordinateProfile } from '../profile/profile.js';
import { purposesBeyond } from '../profile/purpose.js';
import type { ConfiguredCa } from './configured-ca.js';

/** Who is written as the requester of a CA's own certificates. */
const requester = 'initialize';

/** A root's certificate for itself. */
export function rootOrder({ subject, validityDays }: ConfiguredCa, key: HsmKey, now: Date): CertificateOrder {
  const authority = signingAuthority(key, encodeDistinguishedName(subject));
  const profile = rootProfile(validityDays);
  return {
    authority,
    profile,
    subject: authority.name,
    subjectPublicKeyInfo: authority.subjectPublicKeyInfo,
    names: [],
    validity: validityOf(profile, now),
    // Its own identifier as that of its authority (CABF BR §7.1.2.1.3).
    fixedExtensions: [
      keyUsage(profile.keyUsage),
      basicConstraints(profile.authority),
      authorityKeyIdentifier(authority.keyIdentifier),
    ],
    requester,
  };
}

export interface CertifiedCa {
  readonly name: string;
  /** DER of the Name. */
  readonly subject: Buffer;
  readonly subjectPublicKeyInfo: Buffer;
  readonly profile: Profile;
  readonly nameConstraints?: NameConstraints;
}

/** A certificate for one of our CAs by the one above it. @throws as `certifiedOrder` */
export function ownOrder(ca: ConfiguredCa, key: HsmKey, parent: Issuer, context: OrderContext): CertificateOrder {
  const { name, subject, validityDays, pathLength, nameConstraints: constraints, extendedKeyUsage: purposes } = ca;
  const certified: CertifiedCa = {
    name,
    subject: encodeDistinguishedName(subject),
    subjectPublicKeyInfo: signingAuthority(key, parent.name).subjectPublicKeyInfo,
    profile: subordinateProfile(`${ca.kind}-ca`, validityDays, pathLength, purposes),
    nameConstraints: constraints && NameConstraints.of(constraints),
  };
  return certifiedOrder(certified, parent, context);
}

export interface OrderContext {
  readonly publicUrl?: string;
  readonly now: Date;
}

/**
 * A CA certificate by another CA.
 * @throws {CaError} ERR_CA_CONSTRAINT_VIOLATED when that one allows no such CA below it
 */
export function certifiedOrder(ca: CertifiedCa, parent: Issuer, { publicUrl, now }: OrderContext): CertificateOrder {
  const { profile } = ca;
  const { pathLength, validity } = parent.certificate;
  if (pathLength !== undefined && (pathLength === 0 || (profile.authority?.pathLength ?? Infinity) >= pathLength))
    throw new CaError(
      'ERR_CA_CONSTRAINT_VIOLATED',
      `${ca.name} CA: want a CA above it that allows as many below itself, got pathLen ${pathLength}`,
    );
  const beyond = purposesBeyond(profile.extendedKeyUsage, parent.certificate.purposes);
  if (beyond.length > 0)
    throw new CaError(
      'ERR_CA_CONSTRAINT_VIOLATED',
      `${ca.name} CA: want purposes that the CA above it has, got ${beyond.join(', ')}`,
    );
  const parentUrl = issuerLocation(publicUrl, parent.id);
  return {
    authority: parent,
    profile,
    issuerValidity: validity,
    subject: ca.subject,
    subjectPublicKeyInfo: ca.subjectPublicKeyInfo,
    names: [],
    validity: validityOf(profile, now, validity),
    fixedExtensions: [
      keyUsage(profile.keyUsage),
      basicConstraints(profile.authority),
      ...(profile.extendedKeyUsage.length === 0 ? [] : [extendedKeyUsage(profile.extendedKeyUsage)]),
      authorityKeyIdentifier(parent.keyIdentifier),
      certificatePolicies(profile.policies),
      ...(ca.nameConstraints === undefined ? [] : [nameConstraints(ca.nameConstraints)]),
      ...(parentUrl === undefined ? [] : [authorityInfoAccess({ caIssuers: [parentUrl] })]),
      ...(publicUrl === undefined
        ? []
        : [crlDistributionPoints([crlLocation(publicUrl, { issuerId: parent.id, shard: 0, kind: 'full' })])]),
    ],
    requester,
  };
}
