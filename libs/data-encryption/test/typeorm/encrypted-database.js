var __decorate = (this && this.__decorate) || function (decorators, target, key, desc) {
    var c = arguments.length, r = c < 3 ? target : desc === null ? desc = Object.getOwnPropertyDescriptor(target, key) : desc, d;
    if (typeof Reflect === "object" && typeof Reflect.decorate === "function") r = Reflect.decorate(decorators, target, key, desc);
    else for (var i = decorators.length - 1; i >= 0; i--) if (d = decorators[i]) r = (c < 3 ? d(r) : c > 3 ? d(target, key, r) : d(target, key)) || r;
    return c > 3 && r && Object.defineProperty(target, key, r), r;
};
var Witness_1;
import { DataSource, EventSubscriber } from 'typeorm';
import { DataEncryption } from '../../src/typeorm/data-encryption.js';
import { RecordingLogger } from './databases.js';
import { entities, Person } from './entities.js';
import { SoftwareKek } from '../software-kek.js';
export async function encryptedDatabase(database, options = {}, config = {}) {
    const kek = config.hsm instanceof SoftwareKek ? config.hsm : new SoftwareKek();
    const log = new RecordingLogger();
    const dataSource = new DataSource({
        ...(await database.options()),
        entities,
        synchronize: true,
        logging: 'all',
        logger: log,
        ...options,
    });
    const encryption = new DataEncryption({
        kekLabel: 'kek',
        createKek: true,
        databaseId: 'test',
        ...config,
        hsm: config.hsm ?? kek,
    });
    encryption.attach(dataSource);
    await dataSource.initialize();
    return { dataSource, encryption, kek, log };
}
/** What must never be in a statement: each value below holds one of these. */
export const secretPattern = /SECRET|424242|987654321|1961-04-12|275248380000/;
/** A person every one of whose encrypted values can be recognised. */
export function somebody(change = {}) {
    return {
        name: 'SECRET Ada',
        email: 'SECRET@example.org',
        height: 424242.125,
        balance: -987654321987654321n,
        smoker: true,
        born: new Date('1961-04-12T06:07:00.000Z'),
        history: { z: ['SECRET', null, { deep: 'SECRET' }], a: 424242 },
        photo: Buffer.from('SECRET bytes'),
        address: { street: 'SECRET street', town: 'Wien' },
        city: 'Wien',
        ...change,
    };
}
/** Every row of a table as the database holds it. */
export async function stored(dataSource, table) {
    return dataSource.query(`SELECT * FROM ${dataSource.driver.escape(table)}`);
}
/** Deletes the rows of tables, in their order. */
export async function emptyTables(dataSource, tables) {
    for (const table of tables)
        await dataSource.query(`DELETE FROM ${dataSource.driver.escape(table)}`);
}
/** Sees what other subscribers see. */
let Witness = class Witness {
    static { Witness_1 = this; }
    static { this.names = []; }
    listenTo() {
        return Person;
    }
    afterLoad(person) {
        Witness_1.names.push(`afterLoad ${person.name}`);
    }
    beforeInsert({ entity }) {
        Witness_1.names.push(`beforeInsert ${entity.name}`);
    }
    afterInsert({ entity }) {
        Witness_1.names.push(`afterInsert ${entity.name}`);
    }
    beforeUpdate({ entity, databaseEntity }) {
        Witness_1.names.push(`beforeUpdate ${databaseEntity?.name} to ${entity?.name}`);
    }
};
Witness = Witness_1 = __decorate([
    EventSubscriber()
], Witness);
export { Witness };
//# sourceMappingURL=encrypted-database.js.map