import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { CrlRecord } from '../crl-store.js';
import { count, octets, time } from './columns.js';

/** One row per CRL number of an issuer. The primary key is what makes numbers unique. */
@Entity('ca_crl')
export class CrlEntity implements CrlRecord {
  @PrimaryColumn('varchar', { name: 'issuer_id', length: 40 })
  issuerId: string;

  @PrimaryColumn('bigint', { transformer: count })
  number: number;

  @Column('varchar', { length: 16 })
  state: 'signing' | 'issued';

  @Column('text', { nullable: true, transformer: octets })
  tbs?: Buffer;

  @Column('varchar', { name: 'tbs_sha256', length: 64 })
  tbsSha256: string;

  @Column('text', { nullable: true, transformer: octets })
  der?: Buffer;

  @Column('bigint', { name: 'this_update', transformer: time })
  thisUpdate: Date;

  @Column('bigint', { name: 'next_update', transformer: time })
  nextUpdate: Date;
}
