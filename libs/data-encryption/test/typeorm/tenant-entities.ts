import 'reflect-metadata';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { EncryptedColumn, EncryptedEntity } from '../../src/typeorm/decorators.js';

/** Rows that say whose they are. */
@Entity()
@EncryptedEntity({ keyScope: 'tenant', tenantColumn: 'clinic' })
export class Chart {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @Column({ type: 'text' })
  clinic: string;

  @EncryptedColumn()
  name: string;

  @EncryptedColumn({ nullable: true, searchable: { normalize: 'email', unique: true } })
  email?: string | null;
}

/** Rows whose tenant only the context knows. */
@Entity()
@EncryptedEntity({ keyScope: 'tenant' })
export class Remark {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn({ searchable: true })
  text: string;
}

/** Columns with keys of their own. */
@Entity()
@EncryptedEntity({ keyScope: 'column' })
export class Ledger {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn({ nullable: true })
  debit?: string | null;

  @EncryptedColumn({ nullable: true })
  credit?: string | null;
}

/** Nobody's. */
@Entity()
export class Clinic {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn()
  title: string;
}

export const tenantEntities = [Chart, Remark, Ledger, Clinic];
