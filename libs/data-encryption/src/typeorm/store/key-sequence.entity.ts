import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * On MariaDB: the last primary key given out for a table whose keys are counted. Its engine knows no transactions, so that nobody waits
 * for the transaction of another to get a key, and none is given out twice after a rollback.
 */
@Entity('data_encryption_key_sequence', { engine: 'Aria' })
export class KeySequenceEntity {
  @PrimaryColumn({ name: 'table_path', type: 'varchar', length: 255 })
  tablePath: string;

  @Column({ name: 'last_key', type: 'bigint' })
  lastKey: string;
}
