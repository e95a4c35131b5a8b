/**
 * Life of a certificate row: `reserved` (its serial is taken, nothing may be signed) → `signing` (its TBS is committed, a
 * signature may exist) → `issued`. Only a reserved row may become `voided`; a signing row is
 * completed, or stays and is revoked.
 */
export type CertificateState = 'reserved' | 'signing' | 'issued' | 'voided';

/** A serial taken before anything is signed, and the ticket it was taken for. */
export interface Reservation {
  /** 32 hexadecimal digits, lower case. */
  readonly serial: string;
  /** Key identifier of the issuer in hexadecimal. */
  readonly issuerId: string;
  readonly profile: string;
  readonly profileVersion: string;
  readonly requester: string;
  /** Key identifier of the subject's key in hexadecimal. */
  readonly subjectKeyId: string;
  /** Set for a CA's own certificate; its row is looked up by the key. */
  readonly isAuthority: boolean;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly reservedAt: Date;
  readonly ticketExpiresAt: Date;
  /** Serial of the certificate it follows. */
  readonly renews?: string;
  /** SHA-256 of requester and idempotency key, in hexadecimal; no two rows have the same, unless one is voided. */
  readonly idempotencyKey?: string;
  /** SHA-256 of what was asked for with that key, in hexadecimal. */
  readonly requestSha256?: string;
}

/** A reservation with what the certificate will be found by (`searchNames`). */
export interface SearchableReservation extends Reservation {
  /** SHA-256 of the SubjectPublicKeyInfo in hexadecimal. */
  readonly spkiSha256: string;
  readonly searchNames: readonly string[];
}

export interface CertificateRecord extends Reservation {
  readonly state: CertificateState;
  /** DER, from `signing` to `issued`; afterwards it is inside the certificate. */
  readonly tbs?: Buffer;
  /** SHA-256 of the TBS in hexadecimal. */
  readonly tbsSha256?: string;
  /** DER, once issued. */
  readonly certificate?: Buffer;
  readonly issuedAt?: Date;
  /** Shows that this CA committed the TBS; absent: it did not, or nothing was signed and nobody waits for it. */
  readonly seal?: string;
}

/**
 * What the CA needs of a database for certificates. What a method but `exclusively` writes is committed, as a whole, when it returns, and
 * on the disk; a reservation is there as soon as whatever is committed after it.
 */
export interface CertificateStore {
  /**
   * Runs work while no other process on this database runs work here. A process that dies gives its turn back.
   * @throws {CaError} ERR_CA_STORE_UNAVAILABLE when the turn does not come within a minute; and what `work` throws
   */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
  /** @returns false when the serial or the idempotency key is taken, or the key was reported as compromised */
  reserve(reservation: SearchableReservation): Promise<boolean>;
  /** Whether a certificate of the key was revoked for keyCompromise. @param spkiSha256  hexadecimal */
  isCompromised(spkiSha256: string): Promise<boolean>;
  /** The row that has an idempotency key and is not voided. */
  findByIdempotencyKey(key: string): Promise<CertificateRecord | undefined>;
  /** Frees the idempotency key of a row. */
  forgetIdempotencyKey(serial: string): Promise<void>;
  /**
   * reserved → signing, if the row is still the ticket's own and the ticket has not expired.
   * @returns false when it is not
   */
  commitTbs(ticket: TicketRedemption): Promise<boolean>;
  /** signing → issued. @returns false when somebody else completed it */
  complete(serial: string, certificate: Buffer, issuedAt: Date): Promise<boolean>;
  /** reserved → voided. */
  void(serial: string): Promise<void>;
  /** reserved → voided for every row whose ticket expired before. @returns how many */
  voidExpired(now: Date): Promise<number>;
  find(serial: string): Promise<CertificateRecord | undefined>;
  /** The newest CA certificate of a key, in any state but voided. */
  findAuthority(subjectKeyId: string): Promise<CertificateRecord | undefined>;
  /** The issued CA certificates of a key, the newest first, at most 16. */
  listAuthority(subjectKeyId: string): Promise<CertificateRecord[]>;
  /** When the last certificate of an issuer expires that was issued or may still be; undefined when there is none. */
  lastExpiry(issuerId: string): Promise<Date | undefined>;
  /**
   * What a key still has: certificates that are issued or may be, have not expired and are not revoked, and how many there are of each
   * sort.
   */
  countOfKey(subjectKeyId: string, now: Date): Promise<CountOfKey[]>;
  /** Serials of those certificates, ascending. */
  listOfKey(subjectKeyId: string, now: Date, limit: number): Promise<string[]>;
  /** Takes the seal off a row in `signing`: nobody waits for it. */
  disown(serial: string): Promise<void>;
  /**
   * An issuer's rows in `signing` that are not revoked and whose ticket expired before, oldest first, at most 200; whatever its ticket
   * when no time is given.
   * @param after  the last one of the page before
   */
  listSigning(
    issuerId: string,
    expiredBefore?: Date,
    after?: Pick<CertificateRecord, 'reservedAt' | 'serial'>,
  ): Promise<CertificateRecord[]>;
}

/** Certificates of one key that are alike to whoever asks whether they may be revoked. */
export interface CountOfKey extends Pick<CertificateRecord, 'issuerId' | 'profile' | 'isAuthority'> {
  readonly certificates: number;
}

export interface TicketRedemption {
  readonly serial: string;
  readonly issuerId: string;
  readonly profileVersion: string;
  readonly requester: string;
  readonly tbs: Buffer;
  readonly tbsSha256: string;
  readonly seal?: string;
  readonly now: Date;
}
