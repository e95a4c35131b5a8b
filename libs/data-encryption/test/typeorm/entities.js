var __decorate = (this && this.__decorate) || function (decorators, target, key, desc) {
    var c = arguments.length, r = c < 3 ? target : desc === null ? desc = Object.getOwnPropertyDescriptor(target, key) : desc, d;
    if (typeof Reflect === "object" && typeof Reflect.decorate === "function") r = Reflect.decorate(decorators, target, key, desc);
    else for (var i = decorators.length - 1; i >= 0; i--) if (d = decorators[i]) r = (c < 3 ? d(r) : c > 3 ? d(target, key, r) : d(target, key)) || r;
    return c > 3 && r && Object.defineProperty(target, key, r), r;
};
var __metadata = (this && this.__metadata) || function (k, v) {
    if (typeof Reflect === "object" && typeof Reflect.metadata === "function") return Reflect.metadata(k, v);
};
import 'reflect-metadata';
import { Column, DeleteDateColumn, Entity, ManyToOne, OneToMany, PrimaryColumn, PrimaryGeneratedColumn, TableInheritance, ChildEntity, UpdateDateColumn, VersionColumn, JoinColumn, } from 'typeorm';
import { EncryptedColumn, EncryptedEntity } from '../../src/typeorm/decorators.js';
export class Address {
}
__decorate([
    EncryptedColumn({ nullable: true }),
    __metadata("design:type", Object)
], Address.prototype, "street", void 0);
__decorate([
    Column({ type: 'text', nullable: true }),
    __metadata("design:type", Object)
], Address.prototype, "town", void 0);
let Employer = class Employer {
};
__decorate([
    PrimaryGeneratedColumn('uuid'),
    __metadata("design:type", String)
], Employer.prototype, "id", void 0);
__decorate([
    EncryptedColumn(),
    __metadata("design:type", String)
], Employer.prototype, "title", void 0);
Employer = __decorate([
    Entity()
], Employer);
export { Employer };
/** Every type of value, an embedded class, an eager, a lazy and a plain relation, version, dates and soft delete. */
let Person = class Person {
};
__decorate([
    PrimaryGeneratedColumn('uuid'),
    __metadata("design:type", String)
], Person.prototype, "id", void 0);
__decorate([
    EncryptedColumn(),
    __metadata("design:type", String)
], Person.prototype, "name", void 0);
__decorate([
    EncryptedColumn({ nullable: true, name: 'mail', searchable: { normalize: 'email' } }),
    __metadata("design:type", Object)
], Person.prototype, "email", void 0);
__decorate([
    EncryptedColumn({ type: 'number', nullable: true }),
    __metadata("design:type", Object)
], Person.prototype, "height", void 0);
__decorate([
    EncryptedColumn({ type: 'bigint', nullable: true }),
    __metadata("design:type", Object)
], Person.prototype, "balance", void 0);
__decorate([
    EncryptedColumn({ type: 'boolean', nullable: true }),
    __metadata("design:type", Object)
], Person.prototype, "smoker", void 0);
__decorate([
    EncryptedColumn({ type: 'date', nullable: true }),
    __metadata("design:type", Object)
], Person.prototype, "born", void 0);
__decorate([
    EncryptedColumn({ type: 'json', nullable: true }),
    __metadata("design:type", Object)
], Person.prototype, "history", void 0);
__decorate([
    EncryptedColumn({ type: 'buffer', nullable: true }),
    __metadata("design:type", Object)
], Person.prototype, "photo", void 0);
__decorate([
    Column(() => Address),
    __metadata("design:type", Address)
], Person.prototype, "address", void 0);
__decorate([
    Column({ type: 'text', default: 'nowhere' }),
    __metadata("design:type", String)
], Person.prototype, "city", void 0);
__decorate([
    Column({ type: 'int', default: 0 }),
    __metadata("design:type", Number)
], Person.prototype, "visits", void 0);
__decorate([
    Column({ type: 'text', nullable: true }),
    __metadata("design:type", Object)
], Person.prototype, "comment", void 0);
__decorate([
    VersionColumn(),
    __metadata("design:type", Number)
], Person.prototype, "version", void 0);
__decorate([
    UpdateDateColumn(),
    __metadata("design:type", Date)
], Person.prototype, "updatedAt", void 0);
__decorate([
    DeleteDateColumn(),
    __metadata("design:type", Object)
], Person.prototype, "deletedAt", void 0);
__decorate([
    ManyToOne(() => Employer, { eager: true, nullable: true, cascade: true }),
    __metadata("design:type", Object)
], Person.prototype, "employer", void 0);
__decorate([
    OneToMany(() => Pet, (pet) => pet.owner, { cascade: true }),
    __metadata("design:type", Array)
], Person.prototype, "pets", void 0);
Person = __decorate([
    Entity()
], Person);
export { Person };
/** A key that the database counts up. */
let Pet = class Pet {
};
__decorate([
    PrimaryGeneratedColumn(),
    __metadata("design:type", Number)
], Pet.prototype, "id", void 0);
__decorate([
    EncryptedColumn(),
    __metadata("design:type", String)
], Pet.prototype, "name", void 0);
__decorate([
    Column({ type: 'text', default: 'dog' }),
    __metadata("design:type", String)
], Pet.prototype, "kind", void 0);
__decorate([
    ManyToOne(() => Person, (person) => person.pets, { nullable: true }),
    __metadata("design:type", Object)
], Pet.prototype, "owner", void 0);
Pet = __decorate([
    Entity()
], Pet);
export { Pet };
/** A composite key, half of it that of a relation, and ids of its own. */
let Membership = class Membership {
};
__decorate([
    PrimaryColumn({ type: 'varchar', length: 40 }),
    __metadata("design:type", String)
], Membership.prototype, "club", void 0);
__decorate([
    PrimaryColumn({ type: 'int' }),
    __metadata("design:type", Number)
], Membership.prototype, "petId", void 0);
__decorate([
    ManyToOne(() => Pet, { onDelete: 'CASCADE' }),
    JoinColumn({ name: 'petId' }),
    __metadata("design:type", Object)
], Membership.prototype, "pet", void 0);
__decorate([
    EncryptedColumn({ columnId: 'remark', searchable: true }),
    __metadata("design:type", String)
], Membership.prototype, "note", void 0);
Membership = __decorate([
    Entity(),
    EncryptedEntity({ tableId: 'membership' })
], Membership);
export { Membership };
/** A lazy relation and a key that the application gives. */
let Visit = class Visit {
};
__decorate([
    PrimaryColumn({ type: 'varchar', length: 40 }),
    __metadata("design:type", String)
], Visit.prototype, "code", void 0);
__decorate([
    EncryptedColumn(),
    __metadata("design:type", String)
], Visit.prototype, "reason", void 0);
__decorate([
    EncryptedColumn({ nullable: true, select: false, searchable: true }),
    __metadata("design:type", Object)
], Visit.prototype, "hidden", void 0);
__decorate([
    ManyToOne(() => Person, { lazy: true, nullable: true }),
    __metadata("design:type", Promise)
], Visit.prototype, "person", void 0);
Visit = __decorate([
    Entity()
], Visit);
export { Visit };
let Paper = class Paper {
};
__decorate([
    PrimaryGeneratedColumn('uuid'),
    __metadata("design:type", String)
], Paper.prototype, "id", void 0);
__decorate([
    EncryptedColumn({ nullable: true }),
    __metadata("design:type", Object)
], Paper.prototype, "title", void 0);
Paper = __decorate([
    Entity(),
    TableInheritance({ column: { type: 'varchar', name: 'kind' } })
], Paper);
export { Paper };
let Invoice = class Invoice extends Paper {
};
__decorate([
    EncryptedColumn({ type: 'number', nullable: true, searchable: true }),
    __metadata("design:type", Object)
], Invoice.prototype, "amount", void 0);
Invoice = __decorate([
    ChildEntity()
], Invoice);
export { Invoice };
let Letter = class Letter extends Paper {
};
__decorate([
    EncryptedColumn({ nullable: true }),
    __metadata("design:type", Object)
], Letter.prototype, "body", void 0);
Letter = __decorate([
    ChildEntity()
], Letter);
export { Letter };
export class Contact {
}
__decorate([
    EncryptedColumn({ nullable: true, searchable: { normalize: 'digits' } }),
    __metadata("design:type", Object)
], Contact.prototype, "phone", void 0);
/** Columns of every type that can be searched, one of them unique, one of them of an embedded class. */
let Account = class Account {
};
__decorate([
    PrimaryGeneratedColumn('uuid'),
    __metadata("design:type", String)
], Account.prototype, "id", void 0);
__decorate([
    EncryptedColumn({ searchable: { normalize: 'email', unique: true } }),
    __metadata("design:type", String)
], Account.prototype, "email", void 0);
__decorate([
    EncryptedColumn({ nullable: true, searchable: { normalize: 'nfkc-casefold' } }),
    __metadata("design:type", Object)
], Account.prototype, "name", void 0);
__decorate([
    EncryptedColumn({ type: 'number', nullable: true, searchable: true }),
    __metadata("design:type", Object)
], Account.prototype, "height", void 0);
__decorate([
    EncryptedColumn({ type: 'bigint', nullable: true, searchable: true }),
    __metadata("design:type", Object)
], Account.prototype, "balance", void 0);
__decorate([
    EncryptedColumn({ type: 'date', nullable: true, searchable: true }),
    __metadata("design:type", Object)
], Account.prototype, "born", void 0);
__decorate([
    EncryptedColumn({ type: 'buffer', nullable: true, searchable: true }),
    __metadata("design:type", Object)
], Account.prototype, "token", void 0);
__decorate([
    EncryptedColumn({ nullable: true, padTo: 64 }),
    __metadata("design:type", Object)
], Account.prototype, "note", void 0);
__decorate([
    EncryptedColumn({ type: 'json', nullable: true, padTo: 100 }),
    __metadata("design:type", Object)
], Account.prototype, "history", void 0);
__decorate([
    Column(() => Contact),
    __metadata("design:type", Contact)
], Account.prototype, "contact", void 0);
__decorate([
    Column({ type: 'text', default: 'nowhere' }),
    __metadata("design:type", String)
], Account.prototype, "city", void 0);
__decorate([
    DeleteDateColumn(),
    __metadata("design:type", Object)
], Account.prototype, "deletedAt", void 0);
__decorate([
    OneToMany(() => Payment, (payment) => payment.account, { cascade: true }),
    __metadata("design:type", Array)
], Account.prototype, "payments", void 0);
Account = __decorate([
    Entity(),
    EncryptedEntity({ check: true })
], Account);
export { Account };
let Payment = class Payment {
};
__decorate([
    PrimaryGeneratedColumn(),
    __metadata("design:type", Number)
], Payment.prototype, "id", void 0);
__decorate([
    EncryptedColumn({ searchable: true }),
    __metadata("design:type", String)
], Payment.prototype, "reference", void 0);
__decorate([
    ManyToOne(() => Account, (account) => account.payments, { nullable: true }),
    __metadata("design:type", Object)
], Payment.prototype, "account", void 0);
Payment = __decorate([
    Entity()
], Payment);
export { Payment };
/** Cells that are bound to no row. */
let Subscriber = class Subscriber {
};
__decorate([
    PrimaryGeneratedColumn(),
    __metadata("design:type", Number)
], Subscriber.prototype, "id", void 0);
__decorate([
    EncryptedColumn({ searchable: { normalize: 'email', unique: true } }),
    __metadata("design:type", String)
], Subscriber.prototype, "email", void 0);
__decorate([
    EncryptedColumn({ nullable: true }),
    __metadata("design:type", Object)
], Subscriber.prototype, "name", void 0);
__decorate([
    Column({ type: 'text', default: 'nowhere' }),
    __metadata("design:type", String)
], Subscriber.prototype, "city", void 0);
Subscriber = __decorate([
    Entity(),
    EncryptedEntity({ rowBinding: 'none' })
], Subscriber);
export { Subscriber };
/** Nothing encrypted: TypeORM as it is. */
let Town = class Town {
};
__decorate([
    PrimaryGeneratedColumn(),
    __metadata("design:type", Number)
], Town.prototype, "id", void 0);
__decorate([
    Column({ type: 'text' }),
    __metadata("design:type", String)
], Town.prototype, "name", void 0);
Town = __decorate([
    Entity()
], Town);
export { Town };
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
//# sourceMappingURL=entities.js.map