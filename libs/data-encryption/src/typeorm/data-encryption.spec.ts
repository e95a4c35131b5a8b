import { rmSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Column, DataSource, type DataSourceOptions, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { SoftwareKek } from '../../test/software-kek.js';
import { maximumMessages } from '../data-key.js';
import { type DataKeyId, headerCharacters, parseHeader } from '../envelope.js';
import { tableScope } from '../key-scope.js';
import { DataEncryption, withDataEncryption } from './data-encryption.js';
import { EncryptedColumn } from './decorators.js';
import { dataEncryptionMigrations } from './store/migrations.js';
import { DataKeyEntity, scopeDigest } from './store/data-key.entity.js';
import { TypeOrmDataKeyStore } from './store/data-key.store.js';
import { ShreddingStore } from './store/shredding.store.js';

@Entity()
class Note {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn({ nullable: true })
  text: string | null;

  @Column({ type: 'int', default: 0 })
  rank: number;
}

const options: DataSourceOptions = { type: 'better-sqlite3', database: ':memory:', entities: [Note] };
const configOf = (hsm: SoftwareKek) => ({ hsm, kekLabel: 'kek', createKek: true, databaseId: 'test' });

describe('the life of an encrypted data source', () => {
  let directory: string;
  let file: DataSourceOptions;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'nest-hsm-data-'));
    file = { ...options, database: join(directory, 'data.sqlite') };
  });

  afterEach(() => rmSync(directory, { recursive: true }));

  it('refuses to write or read where it is not attached, and lets NULL pass', async () => {
    const dataSource = await new DataSource({ ...options, synchronize: true }).initialize();
    await expect(dataSource.manager.insert(Note, { text: 'x' })).rejects.toMatchObject({
      code: 'ERR_DATA_NOT_INSTALLED',
    });
    await expect(dataSource.manager.save(Note, { text: 'x' })).rejects.toMatchObject({
      code: 'ERR_DATA_NOT_INSTALLED',
    });
    await dataSource.query(`INSERT INTO note (id, text, rank) VALUES ('a', 'nhsm', 0), ('b', NULL, 0)`);
    await expect(dataSource.manager.find(Note)).rejects.toMatchObject({ code: 'ERR_DATA_NOT_INSTALLED' });
    expect(await dataSource.manager.findOneBy(Note, { id: 'b' })).toMatchObject({ text: null });
    await dataSource.destroy();
  });

  it('reads after a restart, and after being destroyed and initialized again', async () => {
    const kek = new SoftwareKek();
    const first = await withDataEncryption(new DataSource({ ...file, synchronize: true }), configOf(kek)).initialize();
    await first.manager.insert(Note, { text: 'secret' });
    await first.destroy();
    await expect(first.manager.find(Note)).rejects.toThrow();
    await first.initialize();
    expect(await first.manager.find(Note)).toMatchObject([{ text: 'secret' }]);
    await first.destroy();
    const second = await withDataEncryption(new DataSource(file), configOf(kek)).initialize();
    expect(await second.manager.find(Note)).toMatchObject([{ text: 'secret' }]);
    await second.destroy();
  });

  it('reads rows of several data keys in one result, and none of a key that is not stored', async () => {
    const config = configOf(new SoftwareKek());
    const dataSource = withDataEncryption(new DataSource({ ...file, synchronize: true }), config);
    for (const rank of [1, 2, 3]) {
      await dataSource.initialize();
      await dataSource.manager.insert(Note, [{ rank }, { rank, text: `text ${rank}` }]);
      await dataSource.query(`UPDATE data_encryption_key SET state = 'retired', active_scope = NULL`);
      await dataSource.destroy();
    }
    await dataSource.initialize();
    for (const direction of ['ASC', 'DESC'] as const) {
      const notes = await dataSource.manager.find(Note, { order: { rank: direction, id: 'ASC' } });
      expect(notes.filter(({ text }) => text !== null).map(({ rank, text }) => [rank, text])).toEqual(
        (direction === 'ASC' ? [1, 2, 3] : [3, 2, 1]).map((rank) => [rank, `text ${rank}`]),
      );
    }
    const [{ text }] = await dataSource.query<{ text: string }[]>(
      'SELECT text FROM note WHERE rank = 3 AND text IS NOT NULL',
    );
    await dataSource.query('DELETE FROM data_encryption_key WHERE id = ?', [
      parseHeader(text.slice(0, headerCharacters)),
    ]);
    await dataSource.destroy();
    await dataSource.initialize();
    await expect(dataSource.manager.find(Note, { order: { rank: 'ASC' } })).rejects.toMatchObject({
      code: 'ERR_DATA_DECRYPTION_FAILED',
    });
    expect(await dataSource.manager.findBy(Note, { rank: 1 })).toHaveLength(2);
    await dataSource.destroy();
  });

  it('does not open under another KEK of the same label', async () => {
    const first = await withDataEncryption(
      new DataSource({ ...file, synchronize: true }),
      configOf(new SoftwareKek()),
    ).initialize();
    await first.manager.insert(Note, { text: 'secret' });
    await first.destroy();
    const other = new SoftwareKek();
    other.addKey('kek');
    const second = withDataEncryption(new DataSource(file), configOf(other));
    await expect(second.initialize()).rejects.toMatchObject({ code: 'ERR_DATA_KEY_REJECTED', fault: 'operator' });
    expect(second.isInitialized).toBe(false);
  });

  it('starts with the HSM down, says so, and recovers by itself', async () => {
    const kek = new SoftwareKek();
    kek.down();
    const encryption = new DataEncryption(configOf(kek));
    const dataSource = new DataSource({ ...options, synchronize: true });
    encryption.attach(dataSource);
    expect(encryption.status().state).toBe('closed');
    await dataSource.initialize();
    expect(encryption.status()).toMatchObject({ state: 'unready', unready: [{ tableId: 'Note' }] });
    await expect(dataSource.manager.save(Note, { text: 'x' })).rejects.toMatchObject({
      code: 'ERR_DATA_KEY_UNAVAILABLE',
    });
    // What is not encrypted works meanwhile.
    await dataSource.manager.save(Note, { rank: 1 });
    kek.up();
    while ((await encryption.check()).state !== 'ready') await new Promise((resolve) => setTimeout(resolve, 20));
    await dataSource.manager.save(Note, { text: 'x' });
    expect(await dataSource.manager.count(Note)).toBe(2);
    await dataSource.destroy();
    expect(encryption.status().state).toBe('closed');
  });

  it('gets its keys when migrations make their table, and the migration makes what the entity says', async () => {
    const migrations = [...dataEncryptionMigrations];
    const dataSource = withDataEncryption(new DataSource({ ...options, migrations }), configOf(new SoftwareKek()));
    await dataSource.initialize();
    await dataSource.runMigrations();
    const changes = await dataSource.driver.createSchemaBuilder().log();
    expect(
      changes.upQueries.map(({ query }) => query).filter((query) => query.includes('data_encryption_key')),
    ).toEqual([]);
    await dataSource.query(
      'CREATE TABLE note (id varchar PRIMARY KEY NOT NULL, text text, rank integer NOT NULL DEFAULT 0)',
    );
    await dataSource.manager.save(Note, { text: 'secret' });
    for (const _ of [1, 2]) await dataSource.undoLastMigration();
    await dataSource.runMigrations();
    const activeScope = scopeDigest({ purpose: 'cell', tableId: 'Note', columnId: '', tenant: '' });
    expect(await dataSource.manager.findBy(DataKeyEntity, { state: 'active' })).toMatchObject([{ activeScope }]);
    for (const _ of migrations) await dataSource.undoLastMigration();
    expect(await dataSource.query(`SELECT name FROM sqlite_master WHERE name LIKE 'data_encryption%'`)).toEqual([]);
    await dataSource.destroy();
  });

  it('never keeps a data key that a rollback took away', async () => {
    const dataSource = await withDataEncryption(
      new DataSource({ ...options, synchronize: true }),
      configOf(new SoftwareKek()),
    ).initialize();
    const store = new TypeOrmDataKeyStore(dataSource, new ShreddingStore(dataSource));
    const active = await store.findActive(tableScope('Note'));
    await store.retire(active!.id);
    await dataSource.transaction(async (manager) => {
      await expect(store.add({ ...active!, id: 'ff'.repeat(16) as DataKeyId })).rejects.toMatchObject({
        code: 'ERR_DATA_KEY_UNAVAILABLE',
      });
      expect(await manager.count(DataKeyEntity)).toBe(1);
    });
    await dataSource.destroy();
  });

  it('counts messages in the row, to the limit and through rollbacks', async () => {
    const dataSource = await withDataEncryption(
      new DataSource({ ...options, synchronize: true }),
      configOf(new SoftwareKek()),
    ).initialize();
    const store = new TypeOrmDataKeyStore(dataSource, new ShreddingStore(dataSource));
    const { id, reservedMessages } = (await store.findActive(tableScope('Note')))!;
    expect(reservedMessages).toBe(2 ** 16);
    expect(await store.reserve(id, 1_000, 0)).toBe(2 ** 16 + 1_000);
    expect(await store.reserve(id, 1_000, 10_000_000)).toBe(10_001_000);
    expect(await store.reserve(id, maximumMessages, 0)).toBeUndefined();
    await store.retire(id);
    expect(await store.reserve(id, 1, 0)).toBeUndefined();
    expect(await store.add({ ...(await store.find([id]))[0], id: 'ee'.repeat(16) as typeof id, state: 'active' })).toBe(
      true,
    );
    expect(await store.add({ ...(await store.find([id]))[0], id: 'dd'.repeat(16) as typeof id, state: 'active' })).toBe(
      false,
    );
    await dataSource.destroy();
  });

  it.each([
    [
      'a database it does not know',
      () => Object.create(DataSource.prototype, { options: { value: { type: 'mssql' } } }) as DataSource,
      'want type better-sqlite3, mariadb, mysql or postgres, got mssql',
    ],
    ['another copy of TypeORM', () => ({ options }) as DataSource, 'want one of the TypeORM this library uses'],
    [
      'encryption twice',
      () => withDataEncryption(new DataSource(options), configOf(new SoftwareKek())),
      'want encryption attached once',
    ],
  ])('refuses %s', (_, dataSource, message) => {
    const target = dataSource();
    expect(() => withDataEncryption(target, configOf(new SoftwareKek()))).toThrow(message);
  });

  it('tells all faults of a configuration together', () => {
    const faulty = { hsm: {}, kekLabel: '', leaseMessages: 1 } as unknown as ReturnType<typeof configOf>;
    expect(() => new DataEncryption(faulty)).toThrow(/open Hsm(.|\n)*kekLabel(.|\n)*databaseId(.|\n)*leaseMessages/);
  });
});
