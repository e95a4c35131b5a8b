import 'reflect-metadata';
import {
  Column,
  DeleteDateColumn,
  Entity,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
  TableInheritance,
  ChildEntity,
  UpdateDateColumn,
  VersionColumn,
  JoinColumn,
} from 'typeorm';
import { EncryptedColumn, EncryptedEntity } from '../../src/typeorm/decorators.js';

export class Address {
  @EncryptedColumn({ nullable: true })
  street?: string | null;

  @Column({ type: 'text', nullable: true })
  town?: string | null;
}

@Entity()
export class Employer {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn()
  title: string;
}

/** Every type of value, an embedded class, an eager, a lazy and a plain relation, version, dates and soft delete. */
@Entity()
export class Person {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn()
  name: string;

  @EncryptedColumn({ nullable: true, name: 'mail', searchable: { normalize: 'email' } })
  email?: string | null;

  @EncryptedColumn({ type: 'number', nullable: true })
  height?: number | null;

  @EncryptedColumn({ type: 'bigint', nullable: true })
  balance?: bigint | null;

  @EncryptedColumn({ type: 'boolean', nullable: true })
  smoker?: boolean | null;

  @EncryptedColumn({ type: 'date', nullable: true })
  born?: Date | null;

  @EncryptedColumn({ type: 'json', nullable: true })
  history?: object | null;

  @EncryptedColumn({ type: 'buffer', nullable: true })
  photo?: Buffer | null;

  @Column(() => Address)
  address: Address;

  @Column({ type: 'text', default: 'nowhere' })
  city: string;

  @Column({ type: 'int', default: 0 })
  visits: number;

  @Column({ type: 'text', nullable: true })
  comment?: string | null;

  @VersionColumn()
  version: number;

  @UpdateDateColumn()
  updatedAt: Date;

  @DeleteDateColumn()
  deletedAt?: Date | null;

  @ManyToOne(() => Employer, { eager: true, nullable: true, cascade: true })
  employer?: Relation<Employer> | null;

  @OneToMany(() => Pet, (pet) => pet.owner, { cascade: true })
  pets?: Relation<Pet>[];
}

/** A key that the database counts up. */
@Entity()
export class Pet {
  @PrimaryGeneratedColumn()
  id: number;

  @EncryptedColumn()
  name: string;

  @Column({ type: 'text', default: 'dog' })
  kind: string;

  @ManyToOne(() => Person, (person) => person.pets, { nullable: true })
  owner?: Relation<Person> | null;
}

/** A composite key, half of it that of a relation, and ids of its own. */
@Entity()
@EncryptedEntity({ tableId: 'membership' })
export class Membership {
  @PrimaryColumn({ type: 'varchar', length: 40 })
  club: string;

  @PrimaryColumn({ type: 'int' })
  petId: number;

  @ManyToOne(() => Pet, { onDelete: 'CASCADE' })
  @JoinColumn({ name: 'petId' })
  pet?: Relation<Pet>;

  @EncryptedColumn({ columnId: 'remark', searchable: true })
  note: string;
}

/** A lazy relation and a key that the application gives. */
@Entity()
export class Visit {
  @PrimaryColumn({ type: 'varchar', length: 40 })
  code: string;

  @EncryptedColumn()
  reason: string;

  @EncryptedColumn({ nullable: true, select: false, searchable: true })
  hidden?: string | null;

  @ManyToOne(() => Person, { lazy: true, nullable: true })
  person?: Promise<Person | null>;
}

@Entity()
@TableInheritance({ column: { type: 'varchar', name: 'kind' } })
export class Paper {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn({ nullable: true })
  title?: string | null;
}

@ChildEntity()
export class Invoice extends Paper {
  @EncryptedColumn({ type: 'number', nullable: true, searchable: true })
  amount?: number | null;
}

@ChildEntity()
export class Letter extends Paper {
  @EncryptedColumn({ nullable: true })
  body?: string | null;
}

export class Contact {
  @EncryptedColumn({ nullable: true, searchable: { normalize: 'digits' } })
  phone?: string | null;
}

/** Columns of every type that can be searched, one of them unique, one of them of an embedded class. */
@Entity()
@EncryptedEntity({ check: true })
export class Account {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn({ searchable: { normalize: 'email', unique: true } })
  email: string;

  @EncryptedColumn({ nullable: true, searchable: { normalize: 'nfkc-casefold' } })
  name?: string | null;

  @EncryptedColumn({ type: 'number', nullable: true, searchable: true })
  height?: number | null;

  @EncryptedColumn({ type: 'bigint', nullable: true, searchable: true })
  balance?: bigint | null;

  @EncryptedColumn({ type: 'date', nullable: true, searchable: true })
  born?: Date | null;

  @EncryptedColumn({ type: 'buffer', nullable: true, searchable: true })
  token?: Buffer | null;

  @EncryptedColumn({ nullable: true, padTo: 64 })
  note?: string | null;

  @EncryptedColumn({ type: 'json', nullable: true, padTo: 100 })
  history?: object | null;

  @Column(() => Contact)
  contact: Contact;

  @Column({ type: 'text', default: 'nowhere' })
  city: string;

  @DeleteDateColumn()
  deletedAt?: Date | null;

  @OneToMany(() => Payment, (payment) => payment.account, { cascade: true })
  payments?: Relation<Payment>[];
}

@Entity()
export class Payment {
  @PrimaryGeneratedColumn()
  id: number;

  @EncryptedColumn({ searchable: true })
  reference: string;

  @ManyToOne(() => Account, (account) => account.payments, { nullable: true })
  account?: Relation<Account> | null;
}

/** Cells that are bound to no row. */
@Entity()
@EncryptedEntity({ rowBinding: 'none' })
export class Subscriber {
  @PrimaryGeneratedColumn()
  id: number;

  @EncryptedColumn({ searchable: { normalize: 'email', unique: true } })
  email: string;

  @EncryptedColumn({ nullable: true })
  name?: string | null;

  @Column({ type: 'text', default: 'nowhere' })
  city: string;
}

/** Nothing encrypted: TypeORM as it is. */
@Entity()
export class Town {
  @PrimaryGeneratedColumn()
  id: number;

  @Column({ type: 'text' })
  name: string;
}

export const entities = [
  Employer,
  Person,
  Pet,
  Membership,
  Visit,
  Paper,
  Invoice,
  Letter,
  Account,
  Payment,
  Subscriber,
  Town,
];
