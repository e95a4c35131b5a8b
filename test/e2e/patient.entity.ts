import { EncryptedColumn } from '@nest-hsm/data-encryption';
import { Entity, PrimaryColumn } from 'typeorm';

/** As in `patients-data-source.mjs`, which the command line is given. */
@Entity()
export class Patient {
  @PrimaryColumn({ type: 'int' })
  id: number;

  @EncryptedColumn()
  name: string;

  @EncryptedColumn()
  diagnosis: string;
}
