import type { RevocationReason } from '../revocation/revocation-reason.js';
import type { CertificateState } from './certificate-store.js';
import type { StoredOcspResponse } from './ocsp-store.js';

/** `held` may still become `released` or `revoked`; `revoked` is final. */
export type RevocationState = 'revoked' | 'held' | 'released';

/** What was decided about one certificate. */
export interface StatusChange {
  /** Key identifier of the issuer in hexadecimal. */
  readonly issuerId: string;
  /** Hexadecimal, lower case. */
  readonly serial: string;
  readonly state: RevocationState;
  readonly reason: RevocationReason;
  /** Whole seconds. */
  readonly revokedAt: Date;
  /** Since when the key is suspected (RFC 5280 §5.3.2); whole seconds. */
  readonly invalidityDate?: Date;
  /** The shard the certificate names; 0 when it names the complete CRL. */
  readonly shard: number;
  /** When the certificate expires: afterwards its entry leaves the CRLs. */
  readonly notAfter: Date;
  readonly requester: string;
  /** SHA-256 of the certificate's SubjectPublicKeyInfo in hexadecimal, when its key is reported as compromised: never certified again. */
  readonly compromisedKey?: string;
}

export interface RevocationRecord extends StatusChange {
  /** Position among all changes of the issuer, from 1: what a delta CRL counts by. */
  readonly sequence: number;
}

/** What is known of a certificate: its row, and what was decided about it last. */
export interface CertificateStanding {
  readonly serial: string;
  readonly issuerId: string;
  readonly state: CertificateState;
  readonly notAfter: Date;
  readonly status: Pick<RevocationRecord, 'state' | 'reason' | 'revokedAt' | 'sequence'> | undefined;
}

/** What a status change is held against, inside its transaction. @returns undefined when nothing changes. @throws {CaError} when it may not */
export type StatusDecision = (current: RevocationRecord | undefined) => StatusChange | undefined;

export interface EntryQuery {
  readonly issuerId: string;
  /** Of this shard alone; absent: of every one. */
  readonly shard?: number;
  /** Only changes after this one, the released among them; absent: everything that is revoked or held. */
  readonly since?: number;
  /** Certificates that expired before are left out. */
  readonly notAfterFrom: Date;
}

/** What the CA needs of a database for the status of certificates. */
export interface RevocationStore {
  /**
   * One transaction: the decision, the next sequence of the issuer, and the new pre-signed OCSP responses in the place of all
   * that the certificate had. Changes of one issuer take turns, so whoever sees a sequence sees every change before it. It
   * costs the same however many certificates there are.
   * @returns the row as it now is; as it was when the decision is that nothing changes
   */
  change(
    issuerId: string,
    serial: string,
    decide: StatusDecision,
    responses: (change: StatusChange) => readonly StoredOcspResponse[],
  ): Promise<RevocationRecord | undefined>;
  find(issuerId: string, serial: string): Promise<RevocationRecord | undefined>;
  /**
   * The certificates that have one of these serials, all as they are at one moment.
   * @param serials  1 to 16
   */
  standings(serials: readonly string[]): Promise<CertificateStanding[]>;
  /** The newest sequence of an issuer, or of one of its shards; 0 when nothing was ever revoked. */
  newestSequence(issuerId: string, shard?: number): Promise<number>;
  /** Serials whose status changed after a sequence; undefined when there are more than the limit. */
  changedSince(issuerId: string, sequence: number, limit: number): Promise<string[] | undefined>;
  /** Entries by ascending serial, a page at a time, so that the memory it takes does not grow with their number. */
  entries(query: EntryQuery): AsyncIterable<Iterable<StoredCrlEntry>>;
}

/** What a CRL says of one certificate. */
export type CrlEntry = Pick<RevocationRecord, 'serial' | 'state' | 'reason' | 'revokedAt' | 'invalidityDate'>;

/** The same as its row has it: dates may be none, and the reason one that RFC 5280 does not know (undefined). */
export type StoredCrlEntry = Omit<CrlEntry, 'reason'> & { readonly reason: CrlEntry['reason'] | undefined };
