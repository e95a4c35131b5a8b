import 'reflect-metadata';
import {
  Column,
  Entity,
  Equal,
  In,
  IsNull,
  JoinColumn,
  ManyToOne,
  Not,
  PrimaryGeneratedColumn,
  type Relation,
  type Repository,
} from 'typeorm';
import { testDatabases } from '../../test/typeorm/databases.js';
import {
  emptyTables,
  encryptedDatabase,
  type EncryptedDatabase,
  stored,
} from '../../test/typeorm/encrypted-database.js';
import { EncryptedColumn, EncryptedEntity } from './decorators.js';
import { enc } from './search-condition.js';

class Contact {
  @EncryptedColumn({ nullable: 'encrypted', padTo: 32 })
  phone?: string | null;
}

/** Null of every type, searchable or not. */
@Entity()
@EncryptedEntity({ check: true })
class Guest {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn({ nullable: 'encrypted', padTo: 32, name: 'mail', searchable: { normalize: 'email', unique: true } })
  email?: string | null;

  @EncryptedColumn({ type: 'number', nullable: 'encrypted', searchable: true })
  height?: number | null;

  @EncryptedColumn({ type: 'bigint', nullable: 'encrypted' })
  balance?: bigint | null;

  @EncryptedColumn({ type: 'boolean', nullable: 'encrypted' })
  smoker?: boolean | null;

  @EncryptedColumn({ type: 'date', nullable: 'encrypted' })
  born?: Date | null;

  @EncryptedColumn({ type: 'json', nullable: 'encrypted', padTo: 32 })
  history?: object | null;

  @EncryptedColumn({ type: 'buffer', nullable: 'encrypted', padTo: 32 })
  photo?: Buffer | null;

  @Column(() => Contact)
  contact: Contact;

  @Column({ type: 'text', default: 'nowhere' })
  city: string;

  @ManyToOne(() => Guest, { nullable: true })
  @JoinColumn()
  host?: Relation<Guest> | null;
}

/** Cells that are bound to no row. */
@Entity()
@EncryptedEntity({ rowBinding: 'none', keyScope: 'column' })
class Card {
  @PrimaryGeneratedColumn()
  id: number;

  @EncryptedColumn({ nullable: 'encrypted', padTo: 32 })
  holder?: string | null;

  @EncryptedColumn({ type: 'number', nullable: 'encrypted' })
  limit?: number | null;
}

const cellColumns = ['mail', 'height', 'balance', 'smoker', 'born', 'history', 'photo', 'contactPhone'];
const indexColumns = ['mail_blind_index', 'heightBlindIndex'];

const nobody = {
  ...{ email: null, height: null, balance: null, smoker: null, born: null, history: null, photo: null },
  contact: { phone: null },
};
const ada = {
  ...{
    email: 'ada@example.org',
    height: 170.5,
    balance: -1n,
    smoker: false,
    born: new Date(0),
    history: { a: [null] },
  },
  ...{ photo: Buffer.from('photo'), contact: { phone: '' } },
};
const values = ({ email, height, balance, smoker, born, history, photo, contact }: Guest) => {
  return { email, height, balance, smoker, born, history, photo, contact };
};

describe.each(testDatabases())('null that is encrypted, on $name', (database) => {
  let opened: EncryptedDatabase;
  let guests: Repository<Guest>;

  const open = () => encryptedDatabase(database, { entities: [Guest, Card] }, { leaseSeconds: 0.2 });

  beforeAll(async () => {
    await database.start();
    opened = await open();
    guests = opened.dataSource.getRepository(Guest);
  });
  beforeEach(() => emptyTables(opened.dataSource, ['guest', 'card']));
  afterAll(async () => {
    await opened.dataSource.destroy();
    await database.stop();
  });

  const rows = async () => stored(opened.dataSource, 'guest');
  const one = async (id: string) => values(await guests.findOneByOrFail({ id }));

  it('is a cell of every type, as long as that of a value', async () => {
    const saved = await guests.save([guests.create({ ...nobody, city: 'a' }), guests.create({ ...ada, city: 'b' })]);
    expect(await one(saved[0].id)).toEqual(nobody);
    expect(await one(saved[1].id)).toEqual(ada);
    const [missing, present] = (await rows()).sort((left, right) => (String(left.city) < String(right.city) ? -1 : 1));
    for (const column of [...cellColumns, ...indexColumns]) {
      expect([column, String(missing[column]).length]).toEqual([column, String(present[column]).length]);
      expect(missing[column]).not.toBe(null);
    }
  });

  it('is what a property without a value becomes, and columns that an insert does not name', async () => {
    const saved = await guests.save(guests.create({ city: 'Wien' }));
    expect(values(saved)).toEqual(nobody);
    expect(await one(saved.id)).toEqual(nobody);
    const { identifiers } = await guests
      .createQueryBuilder()
      .insert()
      .into(Guest, ['city', 'email'])
      .values({ city: 'Graz', email: 'bob@example.org', height: 1 })
      .execute();
    expect(await one(String(identifiers[0].id))).toEqual({ ...nobody, email: 'bob@example.org' });
    expect(await guests.countBy({ email: 'bob@example.org' })).toBe(1);
  });

  it('is set by every kind of update, and is no change where it is already', async () => {
    const { id } = await guests.save(guests.create({ ...ada, city: 'Wien' }));
    await guests.update(id, { email: null, contact: { phone: null } });
    expect(await one(id)).toEqual({ ...ada, email: null, contact: { phone: null } });
    await guests.update({ city: 'Wien' }, { height: null, smoker: null });
    await guests.createQueryBuilder().update().set({ born: null, photo: null }).where({ city: 'Wien' }).execute();
    const { balance, history } = ada;
    expect(await one(id)).toEqual({ ...nobody, balance, history });
    const upserted: Partial<Guest> = { id, balance: null };
    await guests.upsert(upserted, ['id']);
    expect(await one(id)).toEqual({ ...nobody, history });
    expect(upserted.history).toBeUndefined();
    await guests.upsert({ id, history: null }, ['id']);
    expect(await one(id)).toEqual(nobody);

    const loaded = await guests.findOneByOrFail({ id });
    opened.log.take();
    await guests.save(loaded);
    expect(opened.log.take().join('\n')).not.toMatch(/UPDATE/);
    loaded.email = 'ada@example.org';
    await guests.save(loaded);
    expect(await one(id)).toEqual({ ...nobody, email: 'ada@example.org' });
    loaded.email = null;
    await guests.save(loaded);
    expect(await guests.countBy({ email: 'ada@example.org' })).toBe(0);
  });

  it('is not the null of a row that a join did not find', async () => {
    const host = await guests.save(guests.create({ city: 'host' }));
    await guests.save(guests.create({ city: 'guest', host }));
    const found = await guests.find({ relations: { host: true }, order: { city: 'DESC' } });
    expect(found.map((each) => each.host?.city)).toEqual([undefined, 'host']);
    expect(values(found[1].host as Guest)).toEqual(nobody);
  });

  it('is found by no search, and unique only against values', async () => {
    await guests.save([{}, {}, ada].map((each) => guests.create(each)));
    const count = (email: Parameters<typeof Equal>[0]) => guests.countBy({ email: Equal(email as string) });
    expect(await count('ada@example.org')).toBe(1);
    expect(await count(null)).toBe(0);
    expect(await guests.countBy({ email: In(['ada@example.org', 'x']), height: 170.5 })).toBe(1);
    expect(await guests.createQueryBuilder('g').where(enc.eq('g.email', 'Ada@example.org')).getCount()).toBe(1);
    const either = guests.createQueryBuilder('g').where("(g.email = :e OR g.city = 'x') AND g.city IS NOT NULL");
    expect(await either.setParameter('e', 'ada@example.org').getCount()).toBe(1);
    await expect(guests.insert({ email: 'ADA@example.org' })).rejects.toThrow(/unique|duplicate/i);
  });

  const refused: readonly (readonly [string, (repository: Repository<Guest>) => Promise<unknown>])[] = [
    ['IsNull()', (each) => each.findBy({ email: IsNull() })],
    ['Not(IsNull()) of a column that cannot be searched', (each) => each.countBy({ smoker: Not(IsNull()) })],
    ['Not()', (each) => each.findBy({ email: Not('x') })],
    ['Not(In())', (each) => each.findBy({ email: Not(In(['x'])) })],
    ['IS NULL as text', (each) => each.createQueryBuilder('g').where('g.height IS NOT NULL').getMany()],
    ['!=', (each) => each.createQueryBuilder('g').where('g.email != :e', { e: 'x' }).getMany()],
    ['NOT before it', (each) => each.createQueryBuilder('g').where('NOT g.email = :e', { e: 'x' }).getMany()],
    [
      'NOT before a group',
      (each) => each.createQueryBuilder('g').where("NOT (g.city = 'x' OR (g.email = :e))", { e: 'x' }).getMany(),
    ],
    ['IS FALSE', (each) => each.createQueryBuilder('g').where('((g.email = :e)) IS FALSE', { e: 'x' }).getMany()],
    [
      'the condition of a join',
      (each) => each.createQueryBuilder('g').leftJoin(Guest, 'h', 'h.smoker IS NULL').getMany(),
    ],
    ['an expression', (each) => each.createQueryBuilder('g').select('g.smoker IS NULL', 'x').getRawMany()],
    ['the condition of an update', (each) => each.update({ smoker: IsNull() }, { city: 'x' })],
    ['the condition of a delete', (each) => each.delete({ email: IsNull() })],
  ];
  it.each(refused)('refuses %s', async (_, run) => {
    await guests.save(guests.create({}));
    await expect(run(guests)).rejects.toMatchObject({ code: 'ERR_DATA_OPERATION_REFUSED' });
  });

  it('is decrypted in rows of query(), and refused where it is NULL', async () => {
    const { id } = await guests.save(guests.create({}));
    const [row] = await opened.encryption.decryptRaw(Guest, await rows());
    expect(row).toMatchObject({ id, mail: null, height: null, contactPhone: null });
    const taken = (await rows()).map((each) => ({ ...each, height: null }));
    await expect(opened.encryption.decryptRaw(Guest, taken)).rejects.toMatchObject({
      code: 'ERR_DATA_DECRYPTION_FAILED',
      column: 'Guest.height',
    });
  });

  it('is NOT NULL in the database; where somebody has got round that, it is detected', async () => {
    const { dataSource, encryption } = await open();
    const guests = dataSource.getRepository(Guest);
    const { id } = await guests.save(guests.create(ada));
    const erase = `UPDATE guest SET mail = NULL WHERE id = '${id}'`;
    await expect(dataSource.query(erase)).rejects.toThrow(/null/i);
    await dataSource.query('CREATE TABLE loose AS SELECT * FROM guest');
    await dataSource.query('DROP TABLE guest');
    await dataSource.query('ALTER TABLE loose RENAME TO guest');
    if (database.name === 'MariaDB') await dataSource.query('ALTER TABLE guest MODIFY mail longtext');
    await dataSource.query(erase);
    const failure = { code: 'ERR_DATA_DECRYPTION_FAILED', column: 'Guest.email' };
    await expect(guests.find()).rejects.toMatchObject(failure);
    await expect(guests.findOne({ where: { id }, select: { id: true, email: true } })).rejects.toMatchObject(failure);
    expect(await encryption.lifecycle.verify('Guest')).toMatchObject({ failed: 1, failedKeys: [[id]] });
    // It is not made the cell of null, which would hide what happened.
    await encryption.lifecycle.rotate('Guest');
    expect(await encryption.lifecycle.reencrypt('Guest')).toMatchObject({ failed: 1, replaced: 0 });
    await dataSource.destroy();
  });

  it('goes to another data key as values do', async () => {
    const { lifecycle } = opened.encryption;
    await guests.save([guests.create({}), guests.create(ada)]);
    const before = (await rows()).map((row) => row.mail_blind_index).sort();
    await lifecycle.rotate('Guest');
    expect(await lifecycle.reencrypt('Guest')).toMatchObject({ replaced: 16, failed: 0 });
    expect((await rows()).map((row) => row.mail_blind_index).sort()).toEqual(before);
    const verification = await lifecycle.verify('Guest');
    expect(verification).toMatchObject({ sound: 16, failed: 0, misindexed: 0 });
    expect([...verification.keys.values()]).toEqual([16]);
    expect((await guests.find()).map(({ email }) => email).sort()).toEqual(['ada@example.org', null].sort());
  });

  it('gets the index that a row lacks', async () => {
    const { lifecycle } = opened.encryption;
    await guests.save([guests.create({}), guests.create(ada)]);
    await opened.dataSource.query('UPDATE guest SET mail_blind_index = NULL');
    expect(await lifecycle.verify('Guest')).toMatchObject({ misindexed: 2 });
    expect(await lifecycle.reencrypt('Guest')).toMatchObject({ replaced: 16 });
    expect(await lifecycle.verify('Guest')).toMatchObject({ misindexed: 0 });
    expect(await guests.countBy({ email: 'ada@example.org' })).toBe(1);
  });

  it('needs neither a row to be bound to nor a key for the table', async () => {
    const cards = opened.dataSource.getRepository(Card);
    await cards.save([{}, { holder: 'Ada', limit: null }].map((each) => cards.create(each)));
    await cards.updateAll({ limit: null });
    const found = (await cards.find()).map(({ holder, limit }) => [holder, limit]);
    expect(found.sort()).toEqual([
      [null, null],
      ['Ada', null],
    ]);
  });
});
