import { DataSource, type DataSourceOptions, type EntitySubscriberInterface, EventSubscriber } from 'typeorm';
import type { DataEncryptionConfig } from '../../src/config.js';
import { DataEncryption } from '../../src/typeorm/data-encryption.js';
import { RecordingLogger, type TestDatabase } from './databases.js';
import { entities, Person } from './entities.js';
import { SoftwareKek } from '../software-kek.js';

/** An initialized data source with the test entities, the KEK behind it and every statement it has sent. */
export interface EncryptedDatabase {
  readonly dataSource: DataSource;
  readonly encryption: DataEncryption;
  readonly kek: SoftwareKek;
  readonly log: RecordingLogger;
}

export async function encryptedDatabase(
  database: TestDatabase,
  options: Partial<DataSourceOptions> = {},
  config: Partial<DataEncryptionConfig> = {},
): Promise<EncryptedDatabase> {
  const kek = config.hsm instanceof SoftwareKek ? config.hsm : new SoftwareKek();
  const log = new RecordingLogger();
  const dataSource = new DataSource({
    ...(await database.options()),
    entities,
    synchronize: true,
    logging: 'all',
    logger: log,
    ...options,
  } as DataSourceOptions);
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
export function somebody(change: Partial<Person> = {}): Partial<Person> {
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
export async function stored(dataSource: DataSource, table: string): Promise<Record<string, unknown>[]> {
  return dataSource.query(`SELECT * FROM ${dataSource.driver.escape(table)}`);
}

/** Deletes the rows of tables, in their order. */
export async function emptyTables(dataSource: DataSource, tables: readonly string[]): Promise<void> {
  for (const table of tables) await dataSource.query(`DELETE FROM ${dataSource.driver.escape(table)}`);
}

/** Sees what other subscribers see. */
@EventSubscriber()
export class Witness implements EntitySubscriberInterface<Person> {
  static readonly names: string[] = [];
  /** What it changes of an update. */
  static amend: (values: Partial<Person>) => void = () => undefined;

  listenTo() {
    return Person;
  }

  afterLoad(person: Person): void {
    Witness.names.push(`afterLoad ${person.name}`);
  }

  beforeInsert({ entity }: { entity: Person }): void {
    Witness.names.push(`beforeInsert ${entity.name}`);
  }

  afterInsert({ entity }: { entity: Person }): void {
    Witness.names.push(`afterInsert ${entity.name}`);
  }

  beforeUpdate({ entity, databaseEntity }: { entity?: Partial<Person>; databaseEntity?: Person }): void {
    if (entity !== undefined) Witness.amend(entity);
    Witness.names.push(`beforeUpdate ${databaseEntity?.name} to ${entity?.name}`);
  }
}
