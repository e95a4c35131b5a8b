import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A wrapped data key. One key of a table is active; the index makes two processes agree which. */
@Entity('data_encryption_key')
@Index('data_encryption_key_active', ['tableId'], { unique: true, where: `state = 'active'` })
export class DataKeyEntity {
  /** 32 hexadecimal digits. */
  @PrimaryColumn({ type: 'varchar', length: 32 })
  id: string;

  @Column({ name: 'table_id', type: 'varchar', length: 255 })
  tableId: string;

  @Column({ type: 'varchar', length: 32 })
  algorithm: string;

  /** CKA_ID of the KEK, hexadecimal. */
  @Column({ name: 'kek_version', type: 'varchar', length: 64 })
  kekVersion: string;

  /** base64 */
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
