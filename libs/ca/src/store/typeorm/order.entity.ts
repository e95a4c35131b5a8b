import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { OrderRecord, OrderState } from '../order-store.js';
import { list, octets, optionalText, time } from './columns.js';

/** One row per request that waits, or waited, for approval. */
@Entity('ca_order')
@Index('ca_order_idempotency', ['idempotencyKey'], { unique: true, where: `"idempotency_key" IS NOT NULL` })
@Index('ca_order_by_state', ['state', 'createdAt', 'id'])
export class OrderEntity implements OrderRecord {
  @PrimaryColumn('varchar', { length: 32 })
  id: string;

  @Column('varchar', { length: 16 })
  state: OrderState;

  @Column('varchar', { length: 64 })
  profile: string;

  @Column('varchar', { name: 'profile_version', length: 64 })
  profileVersion: string;

  @Column('text')
  requester: string;

  @Column('text', { transformer: octets })
  csr: Buffer;

  @Column('text', { transformer: list })
  names: string[];

  @Column('varchar', { name: 'idempotency_key', length: 64, nullable: true, transformer: optionalText })
  idempotencyKey?: string;

  @Column('varchar', { name: 'request_sha256', length: 64, nullable: true, transformer: optionalText })
  requestSha256?: string;

  @Column('bigint', { name: 'created_at', transformer: time })
  createdAt: Date;

  @Column('bigint', { name: 'expires_at', transformer: time })
  expiresAt: Date;

  @Column('text', { name: 'decided_by', nullable: true, transformer: optionalText })
  decidedBy?: string;

  @Column('bigint', { name: 'decided_at', nullable: true, transformer: time })
  decidedAt?: Date;

  @Column('text', { nullable: true, transformer: optionalText })
  reason?: string;

  @Column('varchar', { length: 40, nullable: true, transformer: optionalText })
  serial?: string;

  @Column('varchar', { length: 64, nullable: true, transformer: optionalText })
  seal?: string;
}
