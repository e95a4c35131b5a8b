import { createHash } from 'node:crypto';
import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A wrapped data key. One key of each scope's cells and of each index is active; an index of the database makes processes agree which. */
@Entity('data_encryption_key')
@Index('data_encryption_key_tenant', ['tenant', 'tableId'])
@Index('data_encryption_key_one_active', ['activeScope'], { unique: true })
export class DataKeyEntity {
  /** 32 hexadecimal digits. */
  @PrimaryColumn({ type: 'varchar', length: 32 })
  id: string;

  /** `cell` or `index`. */
  @Column({ type: 'varchar', length: 16, default: 'cell' })
  purpose: string;

  @Column({ name: 'table_id', type: 'varchar', length: 255 })
  tableId: string;

  /** Empty: the cells of all columns. */
  @Column({ name: 'column_id', type: 'varchar', length: 255, default: '' })
  columnId: string;

  /** Empty: of no tenant. */
  @Column({ type: 'varchar', length: 255, default: '' })
  tenant: string;

  @Column({ type: 'varchar', length: 32 })
  algorithm: string;

  /** CKA_ID of the KEK, hexadecimal. */
  @Column({ name: 'kek_version', type: 'varchar', length: 64 })
  kekVersion: string;

  /** base64; empty once it is shredded */
  @Column({ type: 'text' })
  wrapped: string;

  /** 32 bytes, hexadecimal. */
  @Column({ type: 'varchar', length: 64 })
  commitment: string;

  @Column({ type: 'varchar', length: 16 })
  state: string;

  /** SHA-256 of the scope, hexadecimal, of an active key; null of the others: not every database has partial indexes. */
  @Column({ name: 'active_scope', type: 'varchar', length: 64, nullable: true })
  activeScope: string | null;

  @Column({ name: 'reserved_messages', type: 'int' })
  reservedMessages: number;

  /** ISO 8601, UTC. */
  @Column({ name: 'created_at', type: 'varchar', length: 32 })
  createdAt: string;
}

/** What `activeScope` is for an active key: the scope itself is longer than the keys of an index may be. */
export function scopeDigest({
  purpose,
  tableId,
  columnId,
  tenant,
}: Pick<DataKeyEntity, 'columnId' | 'purpose' | 'tableId' | 'tenant'>): string {
  return createHash('sha256')
    .update(JSON.stringify([purpose, tableId, columnId, tenant]))
    .digest('hex');
}
