import { DataSource, type DataSourceOptions, type EntitySubscriberInterface } from 'typeorm';
import type { DataEncryptionConfig } from '../../src/config.js';
import { DataEncryption } from '../../src/typeorm/data-encryption.js';
import { RecordingLogger, type TestDatabase } from './databases.js';
import { Person } from './entities.js';
import { SoftwareKek } from '../software-kek.js';
/** An initialized data source with the test entities, the KEK behind it and every statement it has sent. */
export interface EncryptedDatabase {
    readonly dataSource: DataSource;
    readonly encryption: DataEncryption;
    readonly kek: SoftwareKek;
    readonly log: RecordingLogger;
}
export declare function encryptedDatabase(database: TestDatabase, options?: Partial<DataSourceOptions>, config?: Partial<DataEncryptionConfig>): Promise<EncryptedDatabase>;
/** What must never be in a statement: each value below holds one of these. */
export declare const secretPattern: RegExp;
/** A person every one of whose encrypted values can be recognised. */
export declare function somebody(change?: Partial<Person>): Partial<Person>;
/** Every row of a table as the database holds it. */
export declare function stored(dataSource: DataSource, table: string): Promise<Record<string, unknown>[]>;
/** Deletes the rows of tables, in their order. */
export declare function emptyTables(dataSource: DataSource, tables: readonly string[]): Promise<void>;
/** Sees what other subscribers see. */
export declare class Witness implements EntitySubscriberInterface<Person> {
    static readonly names: string[];
    listenTo(): typeof Person;
    afterLoad(person: Person): void;
    beforeInsert({ entity }: {
        entity: Person;
    }): void;
    afterInsert({ entity }: {
        entity: Person;
    }): void;
    beforeUpdate({ entity, databaseEntity }: {
        entity?: {
            name?: string;
        };
        databaseEntity?: Person;
    }): void;
}
//# sourceMappingURL=encrypted-database.d.ts.map