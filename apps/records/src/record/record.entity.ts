import { EncryptedColumn, EncryptedEntity } from '@nest-hsm/data-encryption';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** A patient's record: what identifies the patient, and what was found, is ciphertext in the database. */
@Entity('record')
@EncryptedEntity({ tableId: 'record' })
export class RecordEntity {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn()
  name: string;

  @EncryptedColumn({ name: 'national_id', columnId: 'nationalId' })
  nationalId: string;

  /** Any JSON. */
  @EncryptedColumn({ type: 'json', nullable: true })
  diagnosis: unknown;

  /** ISO 8601, UTC; not encrypted. */
  @Column({ name: 'created_at', type: 'varchar', length: 32 })
  createdAt: string;
}
