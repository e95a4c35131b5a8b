import type { DataSource } from 'typeorm';
import { cellKeys, type DataKeyRecord } from '../data-key.js';
import { DataKeyRing } from '../data-key-ring.js';
import { KeyEncryptionKey } from '../key-encryption-key.js';
import { tableScope } from '../key-scope.js';
import { TypeOrmDataKeyStore } from './store/data-key.store.js';
import { ShreddingStore } from './store/shredding.store.js';
import { testDatabases } from '../../test/typeorm/databases.js';
import {
  emptyTables,
  encryptedDatabase,
  type EncryptedDatabase,
  somebody,
} from '../../test/typeorm/encrypted-database.js';
import { Employer, Membership, Person, Pet, Visit } from '../../test/typeorm/entities.js';

const first = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
const second = 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';

/** What somebody who can write to the database does, by statements past TypeORM's entities. */
const attacks: readonly (readonly [string, (dataSource: DataSource) => Promise<unknown>])[] = [
  [
    'a cell copied to another row',
    (dataSource) => dataSource.query(`UPDATE person SET name = (SELECT name FROM person WHERE id = '${first}')`),
  ],
  [
    'a whole row copied under another key',
    (dataSource) =>
      dataSource.query(
        `UPDATE person SET name = (SELECT name FROM person WHERE id = '${first}'), ` +
          `mail = (SELECT mail FROM person WHERE id = '${first}') WHERE id = '${second}'`,
      ),
  ],
  ['two columns of a row exchanged', (dataSource) => dataSource.query('UPDATE person SET name = mail, mail = name')],
  [
    'a cell of another table',
    (dataSource) => dataSource.query(`UPDATE person SET name = (SELECT title FROM employer WHERE id = '${first}')`),
  ],
  ['plaintext', (dataSource) => dataSource.query(`UPDATE person SET name = 'Mallory'`)],
  ['an empty text', (dataSource) => dataSource.query(`UPDATE person SET name = ''`)],
  ['a header alone', (dataSource) => dataSource.query('UPDATE person SET name = substr(name, 1, 28)')],
  ['a cell cut off', (dataSource) => dataSource.query('UPDATE person SET name = substr(name, 1, length(name) - 4)')],
  ['a cell with more behind it', (dataSource) => dataSource.query(`UPDATE person SET name = concat(name, 'AAAA')`)],
  ['a cell with a blank in it', (dataSource) => dataSource.query(`UPDATE person SET name = concat(name, ' ')`)],
  [
    'another nonce',
    (dataSource) =>
      dataSource.query(`UPDATE person SET name = concat(substr(name, 1, 28), 'AAAAAAAAAAAAAAAA', substr(name, 45))`),
  ],
  [
    'a data key that is not there',
    (dataSource) =>
      dataSource.query(`UPDATE person SET name = concat('nhsmAQEAAAAAAAAAAAAAAAAAAAAA', substr(name, 29))`),
  ],
  ['another format', (dataSource) => dataSource.query(`UPDATE person SET name = concat('nhsmAgE', substr(name, 8))`)],
  [
    'a key that was moved',
    (dataSource) => dataSource.query(`UPDATE person SET id = '${second.replace('b0', 'c0')}' WHERE id = '${second}'`),
  ],
];

describe.each(testDatabases())('attacks on $name', (database) => {
  let opened: EncryptedDatabase;

  beforeAll(async () => {
    await database.start();
    opened = await encryptedDatabase(database);
  });

  afterAll(async () => {
    await opened.dataSource.destroy();
    await database.stop();
  });

  beforeEach(async () => {
    await emptyTables(opened.dataSource, ['membership', 'visit', 'pet', 'person', 'employer']);
    const { manager } = opened.dataSource;
    await manager.insert(Person, somebody({ id: first, name: 'Ada' }));
    await manager.insert(Person, somebody({ id: second, name: 'Eve' }));
    await manager.insert(Employer, { id: first, title: 'Ada' });
    await manager.insert(Employer, { id: second, title: 'Eve' });
  });

  it.each(attacks)('%s is found by every way of reading', async (_, attack) => {
    const { dataSource } = opened;
    await attack(dataSource);
    const people = dataSource.getRepository(Person);
    const reads = [
      () => people.find(),
      () => people.find({ order: { id: 'DESC' } }),
      () => people.createQueryBuilder('p').getRawMany(),
      () => people.createQueryBuilder('p').leftJoinAndSelect('p.pets', 'pet').getMany(),
    ];
    for (const read of reads) {
      await expect(read()).rejects.toMatchObject({
        code: 'ERR_DATA_DECRYPTION_FAILED',
        fault: 'integrity',
        message: expect.stringMatching(/^Person\.(name|email): want a cell written for this row, got another$/),
      });
    }
  });

  it('a row of a counted or composite key copied under another key', async () => {
    const { dataSource } = opened;
    const pets = await dataSource.manager.save(Pet, [{ name: 'Rex' }, { name: 'Tom' }]);
    await dataSource.manager.insert(Membership, [
      { club: 'x', petId: pets[0].id, note: 'one' },
      { club: 'y', petId: pets[0].id, note: 'two' },
    ]);
    await dataSource.query(`UPDATE membership SET note = (SELECT note FROM membership WHERE club = 'x')`);
    await expect(dataSource.manager.find(Membership)).rejects.toMatchObject({ code: 'ERR_DATA_DECRYPTION_FAILED' });
    await dataSource.query('UPDATE pet SET name = (SELECT min(name) FROM pet)');
    await expect(dataSource.manager.find(Pet)).rejects.toMatchObject({ code: 'ERR_DATA_DECRYPTION_FAILED' });
  });

  it('keys whose texts only run together are kept apart', async () => {
    const { dataSource } = opened;
    await dataSource.manager.insert(Visit, [
      { code: 'ab', reason: 'one' },
      { code: 'a', reason: 'two' },
    ]);
    await dataSource.query(`UPDATE visit SET reason = (SELECT reason FROM visit WHERE code = 'ab')`);
    await expect(dataSource.manager.find(Visit)).rejects.toMatchObject({ code: 'ERR_DATA_DECRYPTION_FAILED' });
  });

  it.each([
    ['commitment', `'${'00'.repeat(32)}'`],
    ['kek_version', `'${'00'.repeat(16)}'`],
    ['wrapped', 'substr(wrapped, 1, length(wrapped) - 4)'],
    ['algorithm', `'rot13'`],
    ['table_id', `'Employer'`, 'test'],
    ['column_id', `'name'`],
    ['tenant', `'north'`],
    ['id', 'id', 'another database'],
  ])('a data key whose %s is %s in %s is rejected', async (column, value, databaseId = 'test') => {
    const { dataSource, kek } = opened;
    const store = new TypeOrmDataKeyStore(dataSource, new ShreddingStore(dataSource));
    const { id } = (await store.findActive(tableScope('Person'))) as DataKeyRecord;
    const keys = () => {
      const options = { databaseId, store, kind: cellKeys, maxAgeSeconds: 60, outageSeconds: 60, maxLoadedKeys: 16 };
      return new DataKeyRing({ ...options, kek: new KeyEncryptionKey({ hsm: kek, label: 'kek', create: false }) }).open(
        [id],
      );
    };
    const [{ old }] = await dataSource.query<{ old: string }[]>(
      `SELECT ${column} AS old FROM data_encryption_key WHERE id = '${id}'`,
    );
    await dataSource.query(`UPDATE data_encryption_key SET state = 'retired', ${column} = ${value} WHERE id = '${id}'`);
    await expect(keys()).rejects.toMatchObject({ code: 'ERR_DATA_KEY_REJECTED', fault: 'operator' });
    await dataSource.query(`UPDATE data_encryption_key SET state = 'active', ${column} = '${old}' WHERE id = '${id}'`);
  });
});
