import type { RevocationReason } from '../revocation/revocation-reason.js';
import type { ParsedQuery } from '../search/certificate-query.js';
import type { CertificateRecord } from './certificate-store.js';

/** An issued certificate that was found. */
export interface FoundCertificate extends Pick<
  CertificateRecord,
  'serial' | 'issuerId' | 'profile' | 'requester' | 'notBefore' | 'notAfter' | 'reservedAt' | 'renews'
> {
  readonly certificate: Buffer;
  readonly issuedAt: Date;
  /** Set when it is revoked or held. */
  readonly revocation?: {
    readonly isHeld: boolean;
    readonly reason: RevocationReason;
    readonly revokedAt: Date;
  };
}

/** What the CA needs of a database to search certificates. */
export interface CertificateSearchStore {
  /**
   * Issued certificates of these issuers in the order of the query, behind its position.
   * @param now  what is expired
   * @returns at most one more than the limit
   */
  search(query: ParsedQuery, issuerIds: readonly string[], now: Date): Promise<FoundCertificate[]>;
}
