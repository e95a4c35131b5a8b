import { type DataSourceOptions, type Logger } from 'typeorm';
/** A database to run a suite on; `options` of each call are those of an empty one. */
export interface TestDatabase {
    readonly name: 'MariaDB' | 'PostgreSQL' | 'SQLite';
    start(): Promise<void>;
    options(): Promise<DataSourceOptions>;
    stop(): Promise<void>;
}
/** Lets the suites that are imported from now on go over other databases than those of the gate. */
export declare function useDatabases(...names: TestDatabase['name'][]): void;
/** Of these a suite is run on those that it can be and that `useDatabases` says. */
export declare function testDatabases(...able: TestDatabase['name'][]): readonly TestDatabase[];
export declare function sqlite(): TestDatabase;
/** Its text is compared by octets unless a column says otherwise, as primary keys must be and as it is on the other two. */
export declare function mariadb(type?: 'mariadb' | 'mysql', collation?: string): TestDatabase;
/** A suite on MariaDB, where there is a server. */
export declare const describeMariadb: any;
/** Keeps every statement with its parameters, as a database log would. */
export declare class RecordingLogger implements Logger {
    statements: string[];
    logQuery(query: string, parameters?: unknown[]): void;
    logQueryError(error: string | Error, query: string, parameters?: unknown[]): void;
    logQuerySlow(): void;
    logSchemaBuild(): void;
    logMigration(): void;
    log(): void;
    /** The statements since the last call. */
    take(): string[];
}
//# sourceMappingURL=databases.d.ts.map