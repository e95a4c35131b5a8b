import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { CertificateRecord, CertificateState } from '../certificate-store.js';
import { octets, optionalText, time } from './columns.js';

/** One row per serial ever reserved. The primary key is what makes serials unique. */
@Entity('ca_certificate')
@Index('ca_certificate_unfinished', ['state'], { where: `"state" IN ('reserved', 'signing')` })
@Index('ca_certificate_expiry', ['issuerId', 'notAfter'])
@Index('ca_certificate_idempotency', ['idempotencyKey'], {
  unique: true,
  where: `"idempotency_key" IS NOT NULL AND "state" <> 'voided'`,
})
@Index('ca_certificate_authority', ['subjectKeyId'], { where: `"is_authority" = 1` })
@Index('ca_certificate_by_reserved_at', ['reservedAt', 'serial'])
@Index('ca_certificate_by_requester', ['requester', 'reservedAt', 'serial'])
@Index('ca_certificate_by_profile', ['profile', 'reservedAt', 'serial'])
@Index('ca_certificate_by_not_after', ['notAfter', 'serial'])
@Index('ca_certificate_by_key', ['subjectKeyId'])
export class CertificateEntity implements CertificateRecord {
  @PrimaryColumn('varchar', { length: 40 })
  serial: string;

  @Column('varchar', { name: 'issuer_id', length: 40 })
  issuerId: string;

  @Column('varchar', { length: 16 })
  state: CertificateState;

  @Column('varchar', { length: 64 })
  profile: string;

  @Column('varchar', { name: 'profile_version', length: 64 })
  profileVersion: string;

  @Column('text')
  requester: string;

  @Column('varchar', { name: 'subject_key_id', length: 40 })
  subjectKeyId: string;

  /** 0 or 1: the two databases disagree on booleans in the condition of an index. */
  @Column('smallint', {
    name: 'is_authority',
    transformer: { to: (value: boolean) => (value ? 1 : 0), from: (value: number) => value === 1 },
  })
  isAuthority: boolean;

  @Column('bigint', { name: 'not_before', transformer: time })
  notBefore: Date;

  @Column('bigint', { name: 'not_after', transformer: time })
  notAfter: Date;

  @Column('bigint', { name: 'reserved_at', transformer: time })
  reservedAt: Date;

  @Column('bigint', { name: 'ticket_expires_at', transformer: time })
  ticketExpiresAt: Date;

  @Column('varchar', { length: 40, nullable: true, transformer: optionalText })
  renews?: string;

  @Column('varchar', { name: 'idempotency_key', length: 64, nullable: true, transformer: optionalText })
  idempotencyKey?: string;

  @Column('varchar', { name: 'request_sha256', length: 64, nullable: true, transformer: optionalText })
  requestSha256?: string;

  @Column('text', { nullable: true, transformer: octets })
  tbs?: Buffer;

  @Column('varchar', { name: 'tbs_sha256', length: 64, nullable: true, transformer: optionalText })
  tbsSha256?: string;

  @Column('text', { nullable: true, transformer: octets })
  certificate?: Buffer;

  @Column('bigint', { name: 'issued_at', nullable: true, transformer: time })
  issuedAt?: Date;

  @Column('varchar', { length: 64, nullable: true, transformer: optionalText })
  seal?: string;
}
