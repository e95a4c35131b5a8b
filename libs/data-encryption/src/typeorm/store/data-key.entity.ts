import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A wrapped data key. One key of each scope's cells and of each index is active; the database's index makes processes agree which. */
@Entity('data_encryption_key')
@Index('data_encryption_key_tenant', ['tenant', 'tableId'])
@Index('data_encryption_key_active_scope', ['purpose', 'tableId', 'columnId', 'tenant'], {
  unique: true,
  where: `state = 'active'`,
})
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

  @Column({ name: 'reserved_messages', type: 'int' })
  reservedMessages: number;

  /** ISO 8601, UTC. */
  @Column({ name: 'created_at', type: 'varchar', length: 32 })
  createdAt: string;
}
