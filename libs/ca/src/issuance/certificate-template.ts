import { issuerLocation, location } from './locations.js';
import type { ParsedCaConfig } from '../config.js';
import { profileNames, tlsProfile } from '../profile/profile.js';
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  basicConstraints,
  crlDistributionPoints,
  extendedKeyUsage,
  keyUsage,
} from './extensions.js';
import type { CertificateOrder } from './issuance.js';
import type { Issuer } from './issuer.js';

/** What is the same for every certificate of a profile and an issuer, encoded once. */
export type CertificateTemplate = Pick<
  CertificateOrder,
  'authority' | 'profile' | 'issuerValidity' | 'fixedExtensions'
>;

/** One template for each profile a requester may name. */
export function certificateTemplates(config: ParsedCaConfig, issuer: Issuer): ReadonlyMap<string, CertificateTemplate> {
  const issuerUrl = issuerLocation(config.publicUrl, issuer.id);
  const crlUrl = location(config.publicUrl, 'crl');
  return new Map(
    profileNames.map((name): [string, CertificateTemplate] => {
      const profile = tlsProfile(name, config.profiles[name].validityDays);
      const fixedExtensions = [
        keyUsage(profile.keyUsage),
        extendedKeyUsage(profile.extendedKeyUsage),
        basicConstraints(undefined),
        authorityKeyIdentifier(issuer.keyIdentifier),
        ...(issuerUrl === undefined ? [] : [authorityInfoAccess(issuerUrl)]),
        ...(crlUrl === undefined ? [] : [crlDistributionPoints(crlUrl)]),
      ];
      return [name, { authority: issuer, profile, issuerValidity: issuer.certificate.validity, fixedExtensions }];
    }),
  );
}
