import { CaError } from '../errors.js';
import type { Profile } from '../profile/profile.js';
import type { Validity } from './tbs-certificate.js';

/** How far notBefore lies back, for relying parties whose clocks are late. */
export const backdateMilliseconds = 60_000;

/**
 * From a minute ago for the profile's days, both ends included (RFC 5280 §4.1.2.5), and never outside the issuer's validity.
 * @throws {CaError} ERR_CA_ISSUER_UNUSABLE when the issuer is not valid now
 */
export function validityOf(profile: Pick<Profile, 'validityDays'>, now: Date, issuer?: Validity): Validity {
  const start = Math.floor((now.getTime() - backdateMilliseconds) / 1000) * 1000;
  const end = start + profile.validityDays * 86_400_000 - 1000;
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
