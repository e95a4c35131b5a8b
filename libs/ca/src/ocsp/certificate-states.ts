import type { CertificateStore } from '../store/certificate-store.js';
import type { RevocationStore } from '../store/revocation-store.js';
import { type CertificateState, stateOf } from './ocsp-signer.js';

/** Longest serial of a certificate: 20 octets (RFC 5280 §4.1.2.2). */
const maximumDigits = 40;

export interface CertificateStatesContext {
  readonly certificates: CertificateStore;
  readonly revocations: RevocationStore;
  readonly now: () => Date;
}

/**
 * What OCSP says of a certificate, from the database.
 * @returns undefined for what the issuer has not issued, and for what has expired
 * @throws {CaError} ERR_CA_STORE_UNAVAILABLE
 */
export async function findCertificateState(
  { certificates, revocations, now }: CertificateStatesContext,
  issuerId: string,
  serial: string,
): Promise<CertificateState | undefined> {
  if (serial.length > maximumDigits) return undefined;
  const row = await certificates.find(serial);
  if (row?.issuerId !== issuerId || row.notAfter < now()) return undefined;
  if (row.state === 'issued') return stateOf(serial, await revocations.find(issuerId, serial));
  // What nobody finished may have been signed all the same.
  const record = row.state === 'signing' ? await revocations.find(issuerId, serial) : undefined;
  return record?.state === 'revoked' ? stateOf(serial, record) : undefined;
}
