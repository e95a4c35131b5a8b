/** A later generation of an issuer: its first is the one the configuration describes and has no row. */
export interface GenerationRecord {
  /** The issuer's name in the configuration. */
  readonly name: string;
  /** From 2. */
  readonly generation: number;
  /** Key identifier of its key in hexadecimal. */
  readonly issuerId: string;
  /** From then on new certificates are this generation's. */
  readonly activeFrom: Date;
}

/** A CA certificate that was made elsewhere: of one of our keys, or of a CA above it. */
export interface ImportedCertificate {
  /** SHA-256 of the certificate in hexadecimal. */
  readonly sha256: string;
  /** Key identifier of its key in hexadecimal. */
  readonly subjectKeyId: string;
  /** SHA-256 of its subject's DER in hexadecimal. */
  readonly subjectSha256: string;
  /** DER. */
  readonly certificate: Buffer;
  readonly importedAt: Date;
}

/** What a CA's key signs besides certificates, CRLs and OCSP responses; kept so that every signature can be accounted for. */
export interface SignedDocument {
  /** SHA-256 of the octets in hexadecimal. */
  readonly sha256: string;
  /** Key identifier of the signer in hexadecimal. */
  readonly issuerId: string;
  readonly kind: 'request' | 'transcript' | 'cluster';
  /** What is signed. */
  readonly octets: Buffer;
  readonly signedAt: Date;
}

/** A CA that relying parties still look for. */
export interface IssuerInUse {
  /** Key identifier of its key in hexadecimal. */
  readonly issuerId: string;
  /** When the last of its end entities' certificates expires. */
  readonly notAfter: Date;
}

/** What the CA needs of a database for its own CAs. What a method writes is one statement, committed when it returns. */
export interface AuthorityStore {
  /** @returns false when the issuer has that generation */
  addGeneration(record: GenerationRecord): Promise<boolean>;
  /** Of all issuers, the oldest first. */
  listGenerations(): Promise<GenerationRecord[]>;
  /** Every CA that has issued to end entities what has not expired. A few statements, however many certificates there are. */
  listIssuersInUse(now: Date): Promise<IssuerInUse[]>;
  /** @returns false when it is there */
  import(certificate: ImportedCertificate): Promise<boolean>;
  /** Imported certificates of a key, or of a name; the newest first, at most 16. */
  listImported(
    of: { readonly subjectKeyId: string } | { readonly subjectSha256: string },
  ): Promise<ImportedCertificate[]>;
  /** Commits what is about to be signed. Again, the same is nothing new. */
  recordDocument(document: SignedDocument): Promise<void>;
  /** Of one signer, the oldest first. */
  listDocuments(issuerId: string): Promise<SignedDocument[]>;
}
