/** A certificate that expires soon. */
export interface ExpiringCertificate {
  readonly serial: string;
  /** Key identifier of the issuer in hexadecimal. */
  readonly issuerId: string;
  readonly profile: string;
  readonly requester: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** How far an issuer's certificates have been looked at for one distance: in the order of their expiry, then of their serial. */
export interface ExpiryPosition {
  readonly notAfter: Date;
  /** Empty: before every one that expires then. */
  readonly serial: string;
}

export interface ExpiryQuery {
  readonly issuerId: string;
  readonly after: ExpiryPosition;
  /** The last expiry that is looked at. */
  readonly until: Date;
  readonly limit: number;
}

/** What the CA needs of a database for notices of expiry. No certificate's row is written for them. */
export interface ExpiryStore {
  /** Issued certificates that are not revoked, in order. What it costs depends on how many it returns, not on how many there are. */
  listExpiring(query: ExpiryQuery): Promise<ExpiringCertificate[]>;
  /** @returns undefined before the first `advance` */
  position(issuerId: string, withinDays: number): Promise<ExpiryPosition | undefined>;
  /** Moves on, if nobody else has meanwhile. @param from  undefined before the first @returns false when somebody has */
  advance(issuerId: string, withinDays: number, from: ExpiryPosition | undefined, to: ExpiryPosition): Promise<boolean>;
}
