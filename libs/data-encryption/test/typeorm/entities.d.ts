import 'reflect-metadata';
import { type Relation } from 'typeorm';
export declare class Address {
    street?: string | null;
    town?: string | null;
}
export declare class Employer {
    id: string;
    title: string;
}
/** Every type of value, an embedded class, an eager, a lazy and a plain relation, version, dates and soft delete. */
export declare class Person {
    id: string;
    name: string;
    email?: string | null;
    height?: number | null;
    balance?: bigint | null;
    smoker?: boolean | null;
    born?: Date | null;
    history?: object | null;
    photo?: Buffer | null;
    address: Address;
    city: string;
    visits: number;
    comment?: string | null;
    version: number;
    updatedAt: Date;
    deletedAt?: Date | null;
    employer?: Relation<Employer> | null;
    pets?: Relation<Pet>[];
}
/** A key that the database counts up. */
export declare class Pet {
    id: number;
    name: string;
    kind: string;
    owner?: Relation<Person> | null;
}
/** A composite key, half of it that of a relation, and ids of its own. */
export declare class Membership {
    club: string;
    petId: number;
    pet?: Relation<Pet>;
    note: string;
}
/** A lazy relation and a key that the application gives. */
export declare class Visit {
    code: string;
    reason: string;
    hidden?: string | null;
    person?: Promise<Person | null>;
}
export declare class Paper {
    id: string;
    title?: string | null;
}
export declare class Invoice extends Paper {
    amount?: number | null;
}
export declare class Letter extends Paper {
    body?: string | null;
}
export declare class Contact {
    phone?: string | null;
}
/** Columns of every type that can be searched, one of them unique, one of them of an embedded class. */
export declare class Account {
    id: string;
    email: string;
    name?: string | null;
    height?: number | null;
    balance?: bigint | null;
    born?: Date | null;
    token?: Buffer | null;
    note?: string | null;
    history?: object | null;
    contact: Contact;
    city: string;
    deletedAt?: Date | null;
    payments?: Relation<Payment>[];
}
export declare class Payment {
    id: number;
    reference: string;
    account?: Relation<Account> | null;
}
/** Cells that are bound to no row. */
export declare class Subscriber {
    id: number;
    email: string;
    name?: string | null;
    city: string;
}
/** Nothing encrypted: TypeORM as it is. */
export declare class Town {
    id: number;
    name: string;
}
export declare const entities: (typeof Person | typeof Membership | typeof Visit | typeof Paper | typeof Account | typeof Payment | typeof Subscriber | typeof Town)[];
//# sourceMappingURL=entities.d.ts.map