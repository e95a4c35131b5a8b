import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { GenerationRecord, ImportedCertificate, SignedDocument } from '../authority-store.js';
import { octets, time } from './columns.js';

/** One row per rollover of an issuer: what a rollover costs, however many certificates there are. */
@Entity('ca_generation')
export class GenerationEntity implements GenerationRecord {
  @PrimaryColumn('varchar', { length: 32 })
  name: string;

  @PrimaryColumn('integer')
  generation: number;

  @Column('varchar', { name: 'issuer_id', length: 40 })
  issuerId: string;

  @Column('bigint', { name: 'active_from', transformer: time })
  activeFrom: Date;
}

/** CA certificates made elsewhere. */
@Entity('ca_imported_certificate')
@Index('ca_imported_certificate_key', ['subjectKeyId'])
@Index('ca_imported_certificate_name', ['subjectSha256'])
export class ImportedCertificateEntity implements ImportedCertificate {
  @PrimaryColumn('varchar', { length: 64 })
  sha256: string;

  @Column('varchar', { name: 'subject_key_id', length: 40 })
  subjectKeyId: string;

  @Column('varchar', { name: 'subject_sha256', length: 64 })
  subjectSha256: string;

  @Column('text', { transformer: octets })
  certificate: Buffer;

  @Column('bigint', { name: 'imported_at', transformer: time })
  importedAt: Date;
}

/** What CA keys signed that has no table of its own. */
@Entity('ca_signed_document')
@Index('ca_signed_document_issuer', ['issuerId'])
export class SignedDocumentEntity implements SignedDocument {
  @PrimaryColumn('varchar', { length: 64 })
  sha256: string;

  @Column('varchar', { name: 'issuer_id', length: 40 })
  issuerId: string;

  @Column('varchar', { length: 16 })
  kind: SignedDocument['kind'];

  @Column('text', { transformer: octets })
  octets: Buffer;

  @Column('bigint', { name: 'signed_at', transformer: time })
  signedAt: Date;
}
