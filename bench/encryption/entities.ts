import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { EncryptedColumn } from '@nest-hsm/data-encryption';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

@Entity('row')
export class EncryptedRow {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @EncryptedColumn()
  a!: string;

  @EncryptedColumn()
  b!: string;

  @EncryptedColumn()
  c!: string;

  @EncryptedColumn()
  d!: string;

  @Column({ type: 'int' })
  n!: number;
}

@Entity('row')
export class PlainRow {
  @PrimaryGeneratedColumn('uuid')
  id!: string;

  @Column({ type: 'text' })
  a!: string;

  @Column({ type: 'text' })
  b!: string;

  @Column({ type: 'text' })
  c!: string;

  @Column({ type: 'text' })
  d!: string;

  @Column({ type: 'int' })
  n!: number;
}

/** Four texts of 20, 20, 60 and 100 characters. */
export function randomRow(n: number) {
  const text = (characters: number) => randomBytes(characters / 2).toString('hex');
  return { a: text(20), b: text(20), c: text(60), d: text(100), n };
}
