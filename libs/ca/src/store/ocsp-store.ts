/** Hash algorithms of the CertIDs that are answered (RFC 6960 §4.1.1; SHA-256 as in RFC 9654's appendix and CABF). */
export type CertIdHash = 'sha1' | 'sha256';

/** A signed OCSP response kept for whoever asks next. */
export interface StoredOcspResponse {
  /** Key identifier of the issuer in hexadecimal. */
  readonly issuerId: string;
  readonly serial: string;
  readonly hash: CertIdHash;
  /** DER of the OCSPResponse. */
  readonly der: Buffer;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** When a fresh one is signed in its place. */
  readonly refreshAt: Date;
  /** Sequence of the status it speaks of; 0 when there was none. Not known before a change is committed. */
  readonly sequence: number;
}

/** An end entity's certificate for which nobody may have signed a response yet. */
export interface PresignCandidate {
  readonly issuerId: string;
  readonly serial: string;
  readonly profile: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface EnlistQuery {
  /** Certificates reserved later are left to the next time. */
  readonly reservedUntil: Date;
  readonly now: Date;
  /** Certificates that are looked at. */
  readonly limit: number;
}

export type OcspResponseKey = Pick<StoredOcspResponse, 'issuerId' | 'serial' | 'hash'>;

/** What the CA needs of a database for OCSP. */
export interface OcspStore {
  /** One that is enlisted and not signed yet is in force at no time. */
  find(key: OcspResponseKey): Promise<StoredOcspResponse | undefined>;
  /**
   * Keeps responses, in the place of older ones, in one transaction that no status change can pass: a response whose sequence
   * is not the certificate's any more is left out.
   * @returns how many were kept
   */
  save(issuerId: string, responses: readonly StoredOcspResponse[]): Promise<number>;
  /**
   * Takes responses that are due to be refreshed; nobody else gets them before `until`, so replicas share the work and what a
   * killed one took comes back.
   */
  takeDue(issuerId: string, now: Date, until: Date, limit: number): Promise<OcspResponseKey[]>;
  /**
   * Makes the responses of certificates due that have none, in the order in which they were issued, and goes on the next time where
   * it ended. No two callers look at the same one.
   * @returns how many certificates were looked at
   */
  enlist(query: EnlistQuery, isWanted: (candidate: PresignCandidate) => boolean): Promise<number>;
  /** Forgets responses of a certificate, e.g. since it has expired. */
  remove(issuerId: string, serial: string): Promise<void>;
  /** Serial of the responder certificate in use. */
  responder(issuerId: string): Promise<string | undefined>;
  useResponder(issuerId: string, serial: string): Promise<void>;
}
