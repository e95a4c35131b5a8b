/** A CRL; `signing` has its TBS committed and `der` not yet set. */
export interface CrlRecord {
  /** Key identifier of the issuer in hexadecimal. */
  readonly issuerId: string;
  /** CRL number (RFC 5280 §5.2.3), from 1, each one once. */
  readonly number: number;
  readonly state: 'signing' | 'issued';
  readonly tbs?: Buffer;
  readonly tbsSha256: string;
  readonly der?: Buffer;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
}

export type CommittedCrl = Omit<CrlRecord, 'state' | 'der' | 'tbs'> & { readonly tbs: Buffer };

/** What the CA needs of a database for CRLs. Every method is one statement, committed when it returns. */
export interface CrlStore {
  /** Commits a TBS under its number. @returns false when the number is taken */
  commit(crl: CommittedCrl): Promise<boolean>;
  /** signing → issued. @returns false when somebody else completed it */
  complete(issuerId: string, number: number, der: Buffer): Promise<boolean>;
  /** The highest number in use, issued or not; 0 when there is none. */
  highestNumber(issuerId: string): Promise<number>;
  /** The issued CRL with the highest number. */
  newest(issuerId: string): Promise<CrlRecord | undefined>;
  listSigning(issuerId: string): Promise<CrlRecord[]>;
}
