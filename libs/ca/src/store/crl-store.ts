/** What a CRL covers: every certificate of the issuer (shard 0) or those that name the shard; everything, or what changed. */
export interface CrlScope {
  /** Key identifier of the issuer in hexadecimal. */
  readonly issuerId: string;
  /** 0: the complete CRL; from 1: the shard that the certificate names. */
  readonly shard: number;
  readonly kind: 'full' | 'delta';
}

/** A CRL that was signed and published. */
export interface CrlRecord extends CrlScope {
  /** CRL number (RFC 5280 §5.2.3): one ascending sequence for all CRLs of the issuer, each one once. */
  readonly number: number;
  /** Of a delta: number of the full CRL it starts from. */
  readonly baseNumber?: number;
  /** Every status change up to this sequence is in it. */
  readonly through: number;
  readonly entries: number;
  /** SHA-256 of the TBS in hexadecimal. */
  readonly tbsSha256: string;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

export interface CrlClaim extends CrlScope {
  readonly now: Date;
  /** How long a claim counts: what is older, or of a clock that was wrong further ahead, was left behind by a process that died. */
  readonly claimMilliseconds: number;
}

/** What the CA needs of a database for CRLs. */
export interface CrlStore {
  /**
   * Takes the next number for a CRL of a scope. Its row counts as `building` until the digest is committed.
   * @returns undefined when somebody else is making a CRL of this scope
   */
  claim(claim: CrlClaim): Promise<number | undefined>;
  /** building → signing: from here on a signature with this digest may exist. @returns false when the claim is gone */
  commit(crl: CrlRecord): Promise<boolean>;
  /** signing → issued, with the DER; CRLs before the last one of this scope lose their DER, and their row a year after they lapsed. */
  complete(crl: CrlRecord, der: Buffer): Promise<void>;
  /** building → nothing: the CRL is not made after all. */
  abandon(issuerId: string, number: number): Promise<void>;
  /** The issued CRL of a scope with the highest number. */
  newest(scope: CrlScope): Promise<CrlRecord | undefined>;
  /** The oldest full CRL of a shard that is still in force: what a delta starts from, so that it fits whoever has a newer one. */
  oldestInForce(issuerId: string, shard: number, now: Date): Promise<CrlRecord | undefined>;
  /** Every shard that ever had a CRL. */
  shards(issuerId: string): Promise<number[]>;
  /** Keeps a public URL that certificates of the issuer will name for its shards. */
  addLocation(issuerId: string, publicUrl: string): Promise<void>;
  /** Every public URL that was ever kept for the issuer, in an order that is always the same. */
  locations(issuerId: string): Promise<string[]>;
  /** Its DER; undefined when a newer one has taken its place meanwhile. */
  der(crl: Pick<CrlRecord, 'issuerId' | 'number'>): Promise<Buffer | undefined>;
}
