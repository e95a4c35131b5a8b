import type { RevocationReason } from '../revocation/revocation-reason.js';
import type { ParsedQuery, Position } from '../search/certificate-query.js';
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

export interface FoundCertificates {
  /** In the order of the query, at most one more than its limit. */
  readonly found: readonly FoundCertificate[];
  /** Where the store has stopped looking, since it looks at so many rows for one page and no more; undefined: there are no more. */
  readonly end?: Position;
}

/** What the CA needs of a database to search certificates. */
export interface CertificateSearchStore {
  /**
   * Issued certificates of these issuers in the order of the query, behind its position. What it costs has a bound, however many rows there
   * are and however few are asked for.
   * @param now  what is expired
   */
  search(query: ParsedQuery, issuerIds: readonly string[], now: Date): Promise<FoundCertificates>;
}
