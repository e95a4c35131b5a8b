import 'reflect-metadata';
import { dataEncryptionMigrations, EncryptedColumn, withDataEncryption } from '@nest-hsm/data-encryption';
import type { Hsm } from '@nest-hsm/hsm';
import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm';

@Entity()
export class Patient {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column()
  name!: string;

  @EncryptedColumn()
  diagnosis!: string;

  @EncryptedColumn({ type: 'date', nullable: true })
  bornOn!: Date | null;
}

/** A data source whose encrypted columns hold ciphertext, under data keys that only the HSM can open. */
export async function openPatients(hsm: Hsm): Promise<DataSource> {
  const dataSource = new DataSource({
    type: 'postgres',
    url: process.env.DATABASE_URL ?? 'postgres://patients@localhost/patients',
    entities: [Patient],
    migrations: [...dataEncryptionMigrations],
    migrationsRun: true,
    synchronize: true,
  });
  return withDataEncryption(dataSource, {
    hsm,
    kekLabel: 'patients',
    createKek: true,
    databaseId: 'patients',
  }).initialize();
}
