export type SignedRecordKind = 'certificate' | 'crl' | 'request' | 'transcript' | 'cluster';

/** Something that a CA's key signed, as the database knows it. */
export interface SignedRecord {
  readonly kind: SignedRecordKind;
  /** Serial of a certificate, number of a CRL, SHA-256 of a document. */
  readonly id: string;
  /** SHA-256 in hexadecimal that was committed before the signature. */
  readonly sha256: string;
  /** The signed octets; absent of a CRL that is not kept. */
  readonly octets?: Buffer;
}

/** What reconciliation needs of a database. */
export interface SignedRecordStore {
  /** Everything that was committed to be signed, whoever signed it, in memory that does not grow with it. */
  signedRecords(): AsyncIterable<SignedRecord>;
}
