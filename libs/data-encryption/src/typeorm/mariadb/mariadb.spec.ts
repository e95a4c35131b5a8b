import { Column, DataSource, type DataSourceOptions, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import type { SoftwareKek } from '../../../test/software-kek.js';
import { describeMariadb, mariadb, type RecordingLogger } from '../../../test/typeorm/databases.js';
import { encryptedDatabase, stored } from '../../../test/typeorm/encrypted-database.js';
import { withDataEncryption } from '../data-encryption.js';
import { EncryptedColumn, EncryptedEntity } from '../decorators.js';
import { DataKeyEntity } from '../store/data-key.entity.js';
import { dataEncryptionMigrations } from '../store/migrations.js';

/** Compared by octets, in a database whose text is not. */
const octets = { collation: 'utf8mb4_bin' } as const;

@Entity()
@EncryptedEntity({ check: true })
class Note {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn({ searchable: true })
  text: string;

  @EncryptedColumn({ nullable: true })
  more?: string | null;
}

@Entity()
class Tag {
  @PrimaryColumn({ type: 'varchar', length: 8, ...octets })
  code: string;

  @Column({ type: 'varchar', unique: true })
  label: string;

  @EncryptedColumn()
  meaning: string;
}

@Entity()
class Item {
  @PrimaryGeneratedColumn()
  id: number;

  @EncryptedColumn()
  name: string;
}

@Entity()
@EncryptedEntity({ keyScope: 'tenant', tenantColumn: 'clinic' })
class Chart {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @Column({ type: 'varchar', ...octets })
  clinic: string;

  @EncryptedColumn()
  name: string;
}

const entities = [Note, Tag, Item, Chart];
const refused = { code: 'ERR_DATA_OPERATION_REFUSED' };

describeMariadb.each(['mariadb', 'mysql'] as const)('MariaDB by the driver %s', (type) => {
  const database = mariadb(type, 'utf8mb4_general_ci');
  /** On MariaDB that of MySQL makes every column anew that may be NULL, whenever it is asked what there is to change. */
  const isWhole = type === 'mariadb';
  /** What does not depend on how statements are written. */
  const itWhole = (name: string, run: () => Promise<void>) => {
    if (isWhole) it(name, run);
  };
  let dataSource: DataSource;
  let log: RecordingLogger;
  let hsm: SoftwareKek;

  beforeAll(async () => {
    await database.start();
    ({ dataSource, log, kek: hsm } = await encryptedDatabase(database, { entities }));
  });
  afterAll(async () => {
    await dataSource.destroy();
    await database.stop();
  });
  afterEach(() => {
    expect(log.take().filter((statement) => statement.includes('SECRET'))).toEqual([]);
  });

  /** Another data source of the same database, or of one that is changed. */
  const options = (changes: Partial<DataSourceOptions> = {}) =>
    ({ ...dataSource.options, entities, synchronize: false, ...changes }) as DataSourceOptions;
  const initialize = (changes: Partial<DataSourceOptions>) => {
    const config = { hsm, kekLabel: 'kek', createKek: true, databaseId: 'test' };
    return withDataEncryption(new DataSource(options(changes)), config).initialize();
  };

  it('makes columns that are compared by octets, and the same once', async () => {
    const columns = await dataSource.query<Record<string, string>[]>(
      'SELECT COLUMN_NAME AS name, DATA_TYPE AS type, COLLATION_NAME AS collation FROM information_schema.COLUMNS ' +
        `WHERE TABLE_SCHEMA = database() AND TABLE_NAME = 'note' AND COLUMN_NAME <> 'id' ORDER BY ORDINAL_POSITION`,
    );
    const collation = 'ascii_bin';
    expect(columns).toEqual([
      { name: 'textBlindIndex', type: 'varchar', collation },
      { name: 'text', type: 'longtext', collation },
      { name: 'more', type: 'longtext', collation },
    ]);
    if (isWhole) expect((await dataSource.driver.createSchemaBuilder().log()).upQueries).toEqual([]);
    await expect(dataSource.query(`INSERT INTO note (id, text) VALUES (uuid(), 'plaintext')`)).rejects.toThrow(/CHK_/);
  });

  itWhole('drops its constraints when they are asked for no more', async () => {
    @Entity('note')
    class Unchecked {
      @PrimaryGeneratedColumn('uuid')
      id: string;

      @EncryptedColumn({ searchable: true })
      text: string;

      @EncryptedColumn({ nullable: true })
      more?: string | null;
    }
    const other = await initialize({ ...(await database.options()), entities, synchronize: true });
    await other.destroy();
    const changed = await initialize({ ...other.options, entities: [Unchecked, Tag, Item, Chart], synchronize: false });
    const { upQueries, downQueries } = await changed.driver.createSchemaBuilder().log();
    const constraint = (query: string) => /(DROP|ADD) CONSTRAINT/.exec(query)?.[1] ?? [];
    expect(upQueries.flatMap(({ query }) => constraint(query))).toEqual(['DROP', 'DROP', 'DROP']);
    expect(downQueries.flatMap(({ query }) => constraint(query))).toEqual(['ADD', 'ADD', 'ADD']);
    await changed.destroy();
  });

  it('saves, finds, updates and deletes long text of every script', async () => {
    const notes = dataSource.getRepository(Note);
    const text = 'SECRET \\ \' " ` 😀 '.repeat(10_000);
    const { id } = await notes.save({ text });
    expect(await notes.findOneByOrFail({ text })).toMatchObject({ id, text });
    expect(await notes.countBy({ text: text.toLowerCase() })).toBe(0);
    expect((await notes.update({ text }, { text: 'SECRET', more: text })).affected).toBe(1);
    expect((await notes.update({ id }, { more: text })).affected).toBe(1);
    expect(await notes.findOneByOrFail({ text: 'SECRET' })).toMatchObject({ more: text });
    expect((await notes.delete({ text: 'SECRET' })).affected).toBe(1);
  });

  it('gives out counted keys that no two rows have, whoever else inserts and rolls back', async () => {
    const items = dataSource.getRepository(Item);
    const cell = ((await items.save({ name: 'SECRET' })) && (await stored(dataSource, 'item'))[0].name) as string;
    await dataSource.query('DELETE FROM item');
    const many = Array.from({ length: 20 }, (_, n) => n);
    await Promise.all([
      ...many.map((n) => items.insert([{ name: `SECRET ${n}` }, { name: 'SECRET beside' }])),
      ...many.slice(10).map((n) => dataSource.transaction((manager) => manager.save(Item, { name: `SECRET ${n}` }))),
      ...many.slice(15).map(() =>
        dataSource
          .transaction(async (manager) => {
            await manager.save(Item, { name: 'SECRET undone' });
            throw new Error('undone');
          })
          .catch(() => undefined),
      ),
    ]);
    expect(await items.find()).toHaveLength(50);
    // As InnoDB counts on after it, so do we after a row that was inserted past us.
    await dataSource.query('INSERT INTO item (name) VALUES (?)', [cell]);
    const rows = await dataSource.query<{ id: number }[]>('SELECT max(id) AS id FROM item');
    const [next, given] = [rows[0].id + 1, rows[0].id + 7];
    await dataSource.query('DELETE FROM item WHERE id = ?', [rows[0].id]);
    expect((await items.save({ name: 'SECRET' })).id).toBe(next);
    const inserted = [{ id: given, name: 'SECRET given' }, { name: 'SECRET counted' }];
    await items.insert(inserted);
    expect(inserted.map(({ id }) => id)).toEqual([given, given + 1]);
    expect(await items.findOneByOrFail({ id: given + 1 })).toMatchObject({ name: 'SECRET counted' });
  });

  it("leaves an insert its own failure, where the application's subquery has two rows", async () => {
    const label = () => `(SELECT 'a' UNION ALL SELECT 'b')`;
    const insert = dataSource.createQueryBuilder().insert().into(Tag).values({ code: 'two', label, meaning: 'SECRET' });
    await expect(insert.execute()).rejects.toMatchObject({ driverError: { code: 'ER_SUBQUERY_NO_1_ROW' } });
  });

  it('an upsert overwrites the row of its key, and fails at one that another unique column finds', async () => {
    const tags = dataSource.getRepository(Tag);
    await tags.save([
      { code: 'a', label: 'one', meaning: 'SECRET 1' },
      { code: 'b', label: 'two', meaning: 'SECRET 2' },
    ]);
    await tags.upsert({ code: 'a', label: 'one', meaning: 'SECRET new' }, ['code']);
    const rows = [
      { code: 'x', label: 'free', meaning: 'SECRET x' },
      { code: 'c', label: 'TWO', meaning: 'SECRET c' },
    ];
    await expect(tags.upsert(rows, ['code'])).rejects.toMatchObject({ ...refused, column: 'Tag.meaning' });
    const keyed = dataSource.createQueryBuilder().insert().into(Tag).values(rows[1]);
    await expect(keyed.orUpdate(['code', 'meaning'], ['code']).execute()).rejects.toMatchObject(refused);
    await expect(keyed.orUpdate(['code'], ['label']).execute()).rejects.toMatchObject(refused);
    const found = await tags.find({ order: { code: 'ASC' } });
    expect(found.map(({ code, meaning }) => [code, meaning])).toEqual([
      ['a', 'SECRET new'],
      ['b', 'SECRET 2'],
    ]);
  });

  it('binds cells to keys as they are stored', async () => {
    const tags = dataSource.getRepository(Tag);
    await expect(tags.insert({ code: 'end ', label: 'l', meaning: 'SECRET' })).rejects.toMatchObject(refused);
    const insert = () => dataSource.createQueryBuilder().insert().into(Tag).orIgnore();
    const long = insert().values({ code: 'much too long', label: 'long', meaning: 'SECRET' });
    await expect(long.execute()).rejects.toThrow(/too long/);
    for (const meaning of ['SECRET kept', 'SECRET ignored'])
      await insert().values({ code: 'k', label: 'kept', meaning }).execute();
    await insert().values({ code: 'l', label: 'KEPT', meaning: 'SECRET ignored' }).execute();
    expect(await tags.findOneByOrFail({ code: 'k' })).toMatchObject({ meaning: 'SECRET kept' });
    expect(await tags.countBy({ code: 'l' })).toBe(0);
    // Found by a key in other characters, updated as what it is.
    await tags.update({ code: 'k ' }, { meaning: 'SECRET other' });
    expect(await tags.findOneByOrFail({ code: 'k' })).toMatchObject({ meaning: 'SECRET other' });
  });

  it('reads by a lock rows of a data key that is younger than the transaction', async () => {
    const other = await encryptedDatabase(database, options({ logging: false }), { hsm, leaseSeconds: 0.2 });
    const notes = dataSource.getRepository(Note);
    const { id } = await notes.save({ text: 'SECRET' });
    await dataSource.transaction(async (manager) => {
      expect(await manager.count(Note)).toBeGreaterThan(0);
      await other.encryption.lifecycle.rotate('Note');
      await other.dataSource.getRepository(Note).update({ id }, { text: 'SECRET younger' });
      expect(await manager.findOneByOrFail(Note, { id })).toMatchObject({ text: 'SECRET' });
      const locked = await manager.findOne(Note, { where: { id }, lock: { mode: 'pessimistic_write' } });
      expect(locked).toMatchObject({ text: 'SECRET younger' });
    });
    await other.dataSource.destroy();
  });

  it.each<[string, Partial<DataSourceOptions>, RegExp]>([
    ['of a connection that is not in utf8mb4', { charset: 'latin1' }, /want connections in utf8mb4 .*, got latin1/],
    ['that counts changed rows', { flags: ['-FOUND_ROWS'] }, /want affected rows to be those found/],
  ])('refuses a data source %s', async (_, changes, message) => {
    await expect(initialize(changes)).rejects.toMatchObject({ code: 'ERR_DATA_CONFIG_INVALID' });
    await expect(initialize(changes)).rejects.toThrow(message);
  });

  it('refuses a server that would change what is stored', async () => {
    const [{ mode }] = await dataSource.query<{ mode: string }[]>('SELECT @@GLOBAL.sql_mode AS mode');
    for (const [change, message] of [
      ['', /want sql_mode with STRICT_TRANS_TABLES/],
      [`${mode},ANSI_QUOTES`, /want sql_mode without ANSI_QUOTES/],
    ] as const) {
      await dataSource.query('SET GLOBAL sql_mode = ?', [change]);
      await expect(initialize({})).rejects.toThrow(message);
      await dataSource.query('SET GLOBAL sql_mode = ?', [mode]);
    }
    await dataSource.query('SET GLOBAL auto_increment_increment = 2');
    await expect(initialize({})).rejects.toThrow(/Item: want keys that one server counts/);
    await dataSource.query('SET GLOBAL auto_increment_increment = 1');
  });

  itWhole('refuses tables whose keys, tenants or cells it could not rely on', async () => {
    const statements = [
      'ALTER TABLE tag MODIFY code varchar(8) COLLATE utf8mb4_general_ci NOT NULL',
      'ALTER TABLE chart MODIFY clinic varchar(255) COLLATE utf8mb4_unicode_ci NOT NULL',
      'ALTER TABLE item MODIFY name text NOT NULL',
      'ALTER TABLE item ENGINE = Aria',
    ];
    const other = await initialize({ ...(await database.options()), synchronize: true });
    for (const statement of statements) await other.query(statement);
    await other.destroy();
    const again = initialize({ ...other.options, synchronize: false });
    const error: unknown = await again.catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ERR_DATA_MAPPING_INVALID' });
    for (const fault of [
      'Tag.code: want a column that is compared by octets, got the collation utf8mb4_general_ci',
      'Chart.clinic: want a column that is compared by octets, got the collation utf8mb4_unicode_ci',
      'Item.name: want longtext of the collation ascii_bin, got text of utf8mb4_general_ci',
      'Item: want a table of the engine InnoDB, got Aria',
    ])
      expect((error as Error).message).toContain(fault);
  });

  itWhole('its migrations go on where one was ended, and make what the entities say', async () => {
    const other = await initialize({ ...(await database.options()), migrations: [...dataEncryptionMigrations] });
    await other.runMigrations();
    await other.query('DELETE FROM migrations');
    await other.query('DROP TABLE data_encryption_process');
    await other.runMigrations();
    const changes = (await other.driver.createSchemaBuilder().log()).upQueries.map(({ query }) => query);
    expect(changes.filter((query) => query.includes('data_encryption'))).toEqual([]);
    await other.synchronize();
    await other.getRepository(Item).save({ name: 'SECRET' });
    expect(await other.getRepository(DataKeyEntity).countBy({ state: 'active', tableId: 'Item' })).toBe(1);
    for (const _ of dataEncryptionMigrations) await other.undoLastMigration();
    expect(await other.query(`SHOW TABLES LIKE 'data_encryption%'`)).toEqual([]);
    await other.destroy();
  });
});
