import { CaError } from '../errors.js';
import type { Profile } from '../profile/profile.js';
import { maximumPublicValidityDays, publicKindOf } from '../profile/public-style.js';
import type { Validity } from './tbs-certificate.js';

/** How far CRLs and CA certificates are dated back. */
export const backdateMilliseconds = 60_000;

/**
 * From a little before now for the profile's time, both ends included (RFC 5280 §4.1.2.5), and never outside the issuer's validity.
 * @throws {CaError} ERR_CA_ISSUER_UNUSABLE when the issuer is not valid now
 */
export function validityOf(
  profile: Pick<Profile, 'validitySeconds' | 'backdateSeconds' | 'publicStyle' | 'extendedKeyUsage'>,
  now: Date,
  issuer?: Validity,
): Validity {
  const start = Math.floor(now.getTime() / 1000 - profile.backdateSeconds) * 1000;
  const end = start + validitySecondsFrom(profile, new Date(start)) * 1000 - 1000;
  if (issuer === undefined) return { notBefore: new Date(start), notAfter: new Date(end) };
  if (now < issuer.notBefore || now >= issuer.notAfter) {
    throw new CaError(
      'ERR_CA_ISSUER_UNUSABLE',
      `issuer: want one valid now, got one valid from ${issuer.notBefore.toISOString()} to ${issuer.notAfter.toISOString()}`,
    );
  }
  return {
    notBefore: new Date(Math.max(start, issuer.notBefore.getTime())),
    notAfter: new Date(Math.min(end, issuer.notAfter.getTime())),
  };
}

/** The day the Baseline Requirements shorten what they allow is known, and no reason to stop issuing on it. */
function validitySecondsFrom(
  {
    validitySeconds,
    publicStyle,
    extendedKeyUsage,
  }: Pick<Profile, 'validitySeconds' | 'publicStyle' | 'extendedKeyUsage'>,
  notBefore: Date,
): number {
  const kind = publicStyle ? publicKindOf(extendedKeyUsage) : undefined;
  const days = kind ? maximumPublicValidityDays(kind, notBefore) : Infinity;
  // A day less than what would be too long is what SHOULD be (CABF BR §6.3.2).
  return validitySeconds <= days * 86_400 ? validitySeconds : (days - 1) * 86_400;
}
