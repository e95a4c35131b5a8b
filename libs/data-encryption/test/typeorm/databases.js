import { TestMariadb, whyNoMariadb } from '../../../../test/support/mariadb.js';
import { TestPostgres } from '../../../../test/support/postgres.js';
let tested = ['SQLite', 'PostgreSQL'];
/** Lets the suites that are imported from now on go over other databases than those of the gate. */
export function useDatabases(...names) {
    tested = names;
}
/** Of these a suite is run on those that it can be and that `useDatabases` says. */
export function testDatabases(...able) {
    return [sqlite(), postgresql(), mariadb()].filter(({ name }) => tested.includes(name) && (able.length === 0 || able.includes(name)));
}
export function sqlite() {
    return {
        name: 'SQLite',
        start: () => Promise.resolve(),
        options: () => Promise.resolve({ type: 'better-sqlite3', database: ':memory:' }),
        stop: () => Promise.resolve(),
    };
}
function postgresql() {
    let postgres;
    let count = 0;
    return {
        name: 'PostgreSQL',
        start: async () => {
            postgres = await TestPostgres.start();
        },
        options: async () => ({ type: 'postgres', url: await postgres.database(`test_${++count}`), poolSize: 4 }),
        stop: () => postgres.stop(),
    };
}
/** Its text is compared by octets unless a column says otherwise, as primary keys must be and as it is on the other two. */
export function mariadb(type = 'mariadb', collation = 'utf8mb4_bin') {
    let server;
    let count = 0;
    return {
        name: 'MariaDB',
        start: async () => {
            server = await TestMariadb.start();
        },
        options: async () => ({ type, ...(await server.database(`test_${++count}`, collation)), poolSize: 4 }),
        stop: () => server.stop(),
    };
}
/** A suite on MariaDB, where there is a server. */
export const describeMariadb = whyNoMariadb === undefined ? describe : describe.skip;
/** Keeps every statement with its parameters, as a database log would. */
export class RecordingLogger {
    constructor() {
        this.statements = [];
    }
    logQuery(query, parameters) {
        this.statements.push(`${query} ${inspectable(parameters)}`);
    }
    logQueryError(error, query, parameters) {
        this.statements.push(`${String(error)} ${query} ${inspectable(parameters)}`);
    }
    logQuerySlow() { }
    logSchemaBuild() { }
    logMigration() { }
    log() { }
    /** The statements since the last call. */
    take() {
        return this.statements.splice(0);
    }
}
function inspectable(parameters = []) {
    return JSON.stringify(parameters, (_, value) => {
        if (typeof value === 'bigint')
            return value.toString();
        if (value instanceof Uint8Array)
            return Buffer.from(value).toString('latin1');
        return value;
    });
}
//# sourceMappingURL=databases.js.map