import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { EncryptedColumn } from '@nest-hsm/data-encryption';
import { Column, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';

@Entity('row')
export class EncryptedRow {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @EncryptedColumn()
  city!: string;

  @EncryptedColumn()
  phone!: string;

  @EncryptedColumn()
  street!: string;

  @EncryptedColumn()
  diagnosis!: string;

  @Column({ type: 'int' })
  n!: number;
}

@Entity('row')
export class PlainRow {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column({ type: 'text' })
  city!: string;

  @Column({ type: 'text' })
  phone!: string;

  @Column({ type: 'text' })
  street!: string;

  @Column({ type: 'text' })
  diagnosis!: string;

  @Column({ type: 'int' })
  n!: number;
}

/** The same rows, found by their phone. */
@Entity('row')
export class SearchableRow {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @EncryptedColumn()
  city!: string;

  @EncryptedColumn({ searchable: true })
  phone!: string;

  @EncryptedColumn()
  street!: string;

  @EncryptedColumn()
  diagnosis!: string;

  @Column({ type: 'int' })
  n!: number;
}

@Entity('row')
@Index(['phone'])
export class IndexedRow extends PlainRow {}

/** Four texts of 20, 20, 60 and 100 characters. */
export function randomRow(n: number) {
  const text = (characters: number) => randomBytes(characters / 2).toString('hex');
  return { city: text(20), phone: text(20), street: text(60), diagnosis: text(100), n };
}
