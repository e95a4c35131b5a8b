import type { CertificateStanding, RevocationStore } from '../store/revocation-store.js';
import type { CertificateState } from './ocsp-signer.js';

/** Longest serial of a certificate: 20 octets (RFC 5280 §4.1.2.2). */
const maximumDigits = 40;

export interface CertificateStatesContext {
  readonly revocations: RevocationStore;
  readonly now: () => Date;
}

/**
 * What OCSP says of certificates, from the database, all as they are at one moment.
 * @returns of each serial, in their order; undefined for what the issuer has not issued, and for what has expired
 * @throws {CaError} ERR_CA_STORE_UNAVAILABLE
 */
export async function findCertificateStates(
  { revocations, now }: CertificateStatesContext,
  issuerId: string,
  serials: readonly string[],
): Promise<(CertificateState | undefined)[]> {
  const possible = serials.filter(({ length }) => length <= maximumDigits);
  const found = possible.length === 0 ? [] : await revocations.standings(possible);
  return serials.map((serial) => {
    const standing = found.find((each) => each.serial === serial);
    return standing?.issuerId === issuerId ? stateOf(standing, now()) : undefined;
  });
}

function stateOf({ serial, state, notAfter, status }: CertificateStanding, now: Date): CertificateState | undefined {
  if (notAfter < now) return undefined;
  // What nobody finished may have been signed all the same.
  const isKnown = state === 'issued' || (state === 'signing' && status?.state === 'revoked');
  return isKnown ? { serial, status, sequence: status?.sequence ?? 0 } : undefined;
}
