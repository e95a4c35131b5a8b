import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import 'reflect-metadata';
import {
  Column,
  type DataSource,
  type DataSourceOptions,
  Entity,
  PrimaryGeneratedColumn,
  type Repository,
} from 'typeorm';
import { type TestDatabase, testDatabases } from '../../../test/typeorm/databases.js';
import { type EncryptedDatabase, encryptedDatabase, stored } from '../../../test/typeorm/encrypted-database.js';
import { DataEncryption } from '../data-encryption.js';
import { EncryptedColumn } from '../decorators.js';
import type { PlaintextPhase } from '../plaintext-column.js';

/** The properties of every version of the application's entity. */
interface Visitor {
  id: string;
  email: string | null;
  born: Date | null;
  visits: number;
}

class Card {
  number: string | null;
}

class PlainCard extends Card {
  @Column({ type: 'text', nullable: true })
  override number: string | null;
}

@Entity('visitor')
class PlainVisitor implements Visitor {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @Column({ type: 'varchar', nullable: true, unique: true })
  email: string | null;

  @Column({ type: Date, nullable: true })
  born: Date | null;

  @Column({ type: 'int', default: 0 })
  visits: number;

  @Column(() => PlainCard)
  card: Card;
}

/** The application as it is deployed in one phase. */
function visitorOf(phase?: PlaintextPhase) {
  const beside = <T extends object>(plaintext: T) => (phase === undefined ? undefined : { ...plaintext, phase });
  class MovingCard extends Card {
    @EncryptedColumn({
      name: 'number_cell',
      nullable: true,
      plaintext: beside({ name: 'number', type: 'text', nullable: true } as const),
    })
    override number: string | null;
  }

  @Entity('visitor')
  class Visitor implements Visitor {
    @PrimaryGeneratedColumn('uuid')
    id: string;

    @EncryptedColumn({
      name: 'email_cell',
      nullable: true,
      searchable: { normalize: 'email', unique: true },
      plaintext: beside({ name: 'email', type: 'varchar', nullable: true, unique: true } as const),
    })
    email: string | null;

    @EncryptedColumn({
      type: 'date',
      name: 'born_cell',
      nullable: true,
      plaintext: beside({ name: 'born', type: Date, nullable: true } as const),
    })
    born: Date | null;

    @Column({ type: 'int', default: 0 })
    visits: number;

    @Column(() => MovingCard)
    card: Card;
  }
  return Visitor;
}

/** A column of values that may be missing, which is to show no more. */
function guestOf(phase: PlaintextPhase | 'encrypted') {
  const plaintext =
    phase === 'encrypted' ? undefined : ({ phase, name: 'phone', type: 'text', nullable: true } as const);

  @Entity('guest')
  class Guest {
    @PrimaryGeneratedColumn('uuid')
    id: string;

    @EncryptedColumn({ name: 'phone_cell', nullable: 'encrypted', padTo: 32, searchable: true, plaintext })
    phone: string | null;
  }
  return Guest;
}

const born = new Date('1961-04-12T06:07:00.000Z');

describe.each(testDatabases())('a column of plaintext that is encrypted while it is used, on $name', (database) => {
  let options: DataSourceOptions;
  let kek: EncryptedDatabase['kek'] | undefined;
  let open: DataSource[];

  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-backfill-'));

  beforeAll(() => database.start());
  beforeEach(async () => {
    [options, kek, open] = [await shared(database, directory), undefined, []];
  });
  afterEach(async () => {
    for (const dataSource of open) if (dataSource.isInitialized) await dataSource.destroy();
  });
  afterAll(async () => {
    await database.stop();
    rmSync(directory, { recursive: true });
  });

  /** A deployment of the application, on the one database of the test. */
  async function deploy<T extends object>(entity: new () => T, changes: Partial<DataSourceOptions> = {}) {
    const opened = await encryptedDatabase(
      database,
      { ...options, entities: [entity], synchronize: true, ...changes } as Partial<DataSourceOptions>,
      { leaseSeconds: 0.2, ...(kek === undefined ? {} : { hsm: kek }) },
    );
    kek ??= opened.kek;
    open.push(opened.dataSource);
    const { dataSource, log, encryption } = opened;
    return { dataSource, log, lifecycle: encryption.lifecycle, visitors: dataSource.getRepository(entity) };
  }

  const rowOf = async (dataSource: DataSource, id: string) =>
    (await stored(dataSource, 'visitor')).find((row) => row.id === id) as Record<string, unknown>;

  it('goes from plaintext to cells, and every version reads what the one before it wrote', async () => {
    const plain = await deploy(PlainVisitor);
    const old = await plain.visitors.save([
      { email: 'ada@example.org', born, card: { number: '1' } },
      { email: 'bob@example.org', born: null, card: { number: null } },
    ]);

    const dual = await deploy(visitorOf('dual-write'));
    // Read as plaintext, with everything the database can do with it.
    expect(await dual.visitors.find({ order: { email: 'ASC' } })).toMatchObject([
      { email: 'ada@example.org', born },
      {},
    ]);
    const [carol] = await dual.visitors.save([{ email: 'carol@example.org', born, card: { number: '3' } }]);
    await dual.visitors.update({ email: 'bob@example.org' }, { email: 'BOB@example.org' });
    const cells = await stored(dual.dataSource, 'visitor');
    expect(cells.find(({ id }) => id === old[0].id)).toMatchObject({ email_cell: null, cardNumber_cell: null });
    expect(cells.find(({ id }) => id === old[1].id)).toMatchObject({
      email: 'BOB@example.org',
      email_cell: expect.stringMatching(/^nhsm/),
      email_cell_blind_index: expect.any(String),
      born_cell: null,
    });
    expect(cells.find(({ id }) => id === carol.id)).toMatchObject({
      email_cell: expect.stringMatching(/^nhsm/),
      born_cell: expect.stringMatching(/^nhsm/),
      cardNumber_cell: expect.stringMatching(/^nhsm/),
    });

    expect(await dual.lifecycle.plan()).toMatchObject([
      {
        phase: 'dual-write',
        plaintextColumn: 'email',
        cellColumn: 'email_cell',
        both: 2,
        plaintextOnly: 1,
        cellOnly: 0,
      },
      { both: 1, plaintextOnly: 1 },
      { both: 1, plaintextOnly: 1 },
    ]);
    await expect(deploy(visitorOf('switched'))).rejects.toMatchObject({ code: 'ERR_DATA_BACKFILL_INCOMPLETE' });
    expect(await dual.lifecycle.verify('Visitor')).toMatchObject({ differing: 1, differingKeys: [[old[0].id]] });
    dual.log.take();
    expect(await dual.lifecycle.backfill('Visitor')).toMatchObject({ changed: 1, failed: 0 });
    expect(dual.log.take().join('\n')).not.toMatch(/UPDATE ["`]visitor["`] SET ["`]email["`]/);
    expect(await dual.lifecycle.backfill('Visitor')).toMatchObject({ changed: 0, failed: 0 });
    expect(await dual.lifecycle.verify('Visitor')).toMatchObject({ sound: 7, failed: 0, misindexed: 0, differing: 0 });

    const switched = await deploy(visitorOf('switched'));
    expect(await switched.visitors.findOneByOrFail({ email: 'ADA@example.org' })).toMatchObject({
      born,
      card: { number: '1' },
    });
    await switched.visitors.update({ id: carol.id }, { email: 'carla@example.org', born: null });
    // An older version still runs.
    expect(await dual.visitors.findOneByOrFail({ email: 'carla@example.org' })).toMatchObject({
      id: carol.id,
      born: null,
    });
    const [dora] = await switched.visitors.save([{ email: 'dora@example.org', born, card: { number: '4' } }]);
    expect(await dual.visitors.findOneByOrFail({ id: dora.id })).toMatchObject({ email: 'dora@example.org', born });
    expect(await switched.lifecycle.verify('Visitor')).toMatchObject({ failed: 0, differing: 0 });

    const contract = await deploy(visitorOf('contract'));
    await contract.visitors.update({ id: carol.id }, { email: 'carol@example.org' });
    expect(await rowOf(contract.dataSource, carol.id)).toMatchObject({ email: null });
    expect(await contract.lifecycle.contract('Visitor')).toMatchObject({ changed: 4, failed: 0 });
    const left = await stored(contract.dataSource, 'visitor');
    expect(left.flatMap((row) => [row.email, row.born, row.cardNumber])).toEqual(Array(12).fill(null));

    const done = await deploy(visitorOf());
    expect(await done.lifecycle.plan()).toEqual([]);
    expect(Object.keys(await rowOf(done.dataSource, carol.id)).sort()).toEqual(
      ['born_cell', 'email_cell', 'email_cell_blind_index', 'id', 'cardNumber_cell', 'visits'].sort(),
    );
    const found = await done.visitors.findOneByOrFail({ email: 'Carol@example.org' });
    expect(Object.keys(found).sort()).toEqual(['born', 'card', 'email', 'id', 'visits']);
  });

  it('gives every row a cell where null is encrypted, and finds its way back', async () => {
    const cellOf = async ({ dataSource }: { dataSource: DataSource }, id: string) =>
      (await stored(dataSource, 'guest')).find((row) => row.id === id)?.phone_cell;
    const dual = await deploy(guestOf('dual-write'));
    const [ada, bob] = await dual.visitors.save([{ phone: '1' }, { phone: null }]);
    expect(await cellOf(dual, bob.id)).toMatch(/^nhsm/);
    // As an older version does.
    await dual.dataSource.query('UPDATE guest SET phone_cell = NULL');
    expect(await dual.lifecycle.plan()).toMatchObject([{ plaintextOnly: 1, withoutCell: 2 }]);
    const unfilled = await stored(dual.dataSource, 'guest');
    expect(await DataEncryption.of(dual.dataSource)?.decryptRaw('Guest', unfilled)).toMatchObject([
      { phone_cell: null },
      { phone_cell: null },
    ]);
    expect(await dual.lifecycle.verify('Guest')).toMatchObject({ failed: 0, differing: 2 });
    expect(await dual.lifecycle.backfill('Guest')).toMatchObject({ changed: 2, failed: 0 });
    expect(await dual.lifecycle.plan()).toMatchObject([{ withoutCell: 0 }]);
    expect(await dual.lifecycle.verify('Guest')).toMatchObject({ sound: 2, misindexed: 0, differing: 0 });
    // What was written and then lost its plaintext is not taken for null.
    await dual.dataSource.query(`UPDATE guest SET phone = NULL WHERE id = '${ada.id}'`);
    expect(await dual.lifecycle.backfill('Guest')).toMatchObject({ changed: 0, failed: 1, failedKeys: [[ada.id]] });
    await dual.visitors.update(ada.id, { phone: '1' });
    await dual.dataSource.query(`UPDATE guest SET phone_cell = NULL WHERE id = '${bob.id}'`);
    const early = deploy(guestOf('switched'), { synchronize: false });
    await expect(early).rejects.toMatchObject({ code: 'ERR_DATA_BACKFILL_INCOMPLETE' });
    await dual.lifecycle.backfill('Guest');

    const switched = await deploy(guestOf('switched'));
    await expect(switched.dataSource.query('UPDATE guest SET phone_cell = NULL')).rejects.toThrow(/null/i);
    await switched.visitors.save([
      { id: ada.id, phone: null },
      { id: bob.id, phone: '2' },
    ]);
    expect(await dual.visitors.findOneByOrFail({ id: ada.id })).toMatchObject({ phone: null });
    expect(await switched.lifecycle.backfill('Guest')).toMatchObject({ changed: 0, failed: 0 });

    const contract = await deploy(guestOf('contract'));
    expect(await contract.lifecycle.contract('Guest')).toMatchObject({ changed: 1, failed: 0 });
    const done = await deploy(guestOf('encrypted'));
    expect((await done.visitors.find()).map(({ phone }) => phone).sort()).toEqual(['2', null]);

    const back = await deploy(guestOf('switched'));
    expect(await back.lifecycle.backfill('Guest')).toMatchObject({ changed: 1, failed: 0 });
    const plain = await deploy(guestOf('dual-write'));
    expect(await plain.visitors.findOneByOrFail({ phone: '2' })).toMatchObject({ id: bob.id });
  });

  it('goes back to plaintext', async () => {
    const encrypted = await deploy(visitorOf());
    const [ada] = await encrypted.visitors.save([{ email: 'ada@example.org', born, card: { number: '1' } }]);
    const switched = await deploy(visitorOf('switched'));
    expect(await rowOf(switched.dataSource, ada.id)).toMatchObject({ email: null, born: null, cardNumber: null });
    expect(await switched.lifecycle.backfill('Visitor')).toMatchObject({ changed: 3, failed: 0 });
    expect(await switched.lifecycle.verify('Visitor')).toMatchObject({ differing: 0 });
    const dual = await deploy(visitorOf('dual-write'));
    expect(await dual.visitors.findOneByOrFail({ email: 'ada@example.org' })).toMatchObject({
      born,
      card: { number: '1' },
    });
    const plain = await deploy(PlainVisitor);
    expect(await plain.visitors.find()).toEqual([
      { id: ada.id, email: 'ada@example.org', born, visits: 0, card: { number: '1' } },
    ]);
  });

  it('loses no write of an application that goes on, nor one of its older version', async () => {
    const plain = await deploy(PlainVisitor);
    const ids = (
      await plain.visitors.save(
        Array.from({ length: 450 }, (_, index) => ({ email: `${index}@example.org`, card: {} })),
      )
    ).map(({ id }) => id);
    const dual = await deploy(visitorOf('dual-write'));
    let isOver = false;
    let writes = 0;
    const writer = async (visitors: Repository<Visitor>) => {
      for (; !isOver; writes++)
        await visitors.update(
          { id: ids[(writes * 7) % ids.length] },
          { email: `w${writes}@example.org`, visits: writes },
        );
    };
    const writing = Promise.all([writer(dual.visitors), writer(plain.visitors)]);
    await dual.lifecycle.backfill('Visitor');
    await dual.lifecycle.backfill('Visitor');
    isOver = true;
    await writing;
    expect(writes).toBeGreaterThan(1);
    await dual.lifecycle.backfill('Visitor');
    expect(await dual.lifecycle.verify('Visitor')).toMatchObject({
      rows: 450,
      sound: 450,
      failed: 0,
      misindexed: 0,
      differing: 0,
    });
    const texts = (await stored(dual.dataSource, 'visitor')).map(({ email }) => email);
    const switched = await deploy(visitorOf('switched'));
    expect((await switched.visitors.find()).map(({ email }) => email).sort()).toEqual(texts.sort());
  });

  it('never replaces a value by nothing, and says which rows it left', async () => {
    const dual = await deploy(visitorOf('dual-write'));
    const [ada, bob] = await dual.visitors.save([
      { email: 'ada@example.org', card: {} },
      { email: 'bob@example.org', card: {} },
    ]);
    const { dataSource } = dual;
    // As an older version does.
    await dataSource.query(`UPDATE visitor SET email = NULL WHERE id = '${ada.id}'`);
    expect(await dual.lifecycle.backfill('Visitor')).toMatchObject({ changed: 0, failed: 1, failedKeys: [[ada.id]] });
    await dual.visitors.update({ id: ada.id }, { email: null });
    expect(await dual.lifecycle.backfill('Visitor')).toMatchObject({ changed: 0, failed: 0 });
    const switched = await deploy(visitorOf('switched'));
    await dataSource.query(`UPDATE visitor SET email_cell = NULL WHERE id = '${bob.id}'`);
    expect(await switched.lifecycle.backfill('Visitor')).toMatchObject({
      changed: 0,
      failed: 1,
      failedKeys: [[bob.id]],
    });
    await expect(deploy(visitorOf('contract'))).rejects.toMatchObject({ code: 'ERR_DATA_BACKFILL_INCOMPLETE' });
    expect(await rowOf(dataSource, bob.id)).toMatchObject({ email: 'bob@example.org' });
  });

  it('erases no plaintext that has another cell', async () => {
    const contract = await deploy(visitorOf('contract'));
    const [ada] = await contract.visitors.save([{ email: 'ada@example.org', card: {} }]);
    await contract.dataSource.query(`UPDATE visitor SET email = 'other@example.org' WHERE id = '${ada.id}'`);
    expect(await contract.lifecycle.contract('Visitor')).toMatchObject({
      changed: 0,
      failed: 1,
      failedKeys: [[ada.id]],
    });
    expect(await rowOf(contract.dataSource, ada.id)).toMatchObject({ email: 'other@example.org' });
  });

  it('refuses what would leave a value without its cell', async () => {
    const { visitors } = await deploy(visitorOf('dual-write'));
    const refused = { code: 'ERR_DATA_OPERATION_REFUSED' };
    await visitors.insert({ email: 'ada@example.org' });
    await expect(visitors.update({ visits: 0 }, { email: () => "'x'" })).rejects.toMatchObject(refused);
    await expect(visitors.update({ visits: 0 }, { emailCell: 'x' } as object)).rejects.toMatchObject(refused);
    await expect(visitors.upsert({ email: 'ada@example.org', born }, ['email'])).rejects.toMatchObject(refused);
  });

  it('upserts both by the primary key', async () => {
    const { visitors, dataSource, lifecycle } = await deploy(visitorOf('dual-write'));
    const [ada] = await visitors.save([{ email: 'ada@example.org', card: {} }]);
    await visitors.upsert({ id: ada.id, email: 'eve@example.org', born }, ['id']);
    expect(await rowOf(dataSource, ada.id)).toMatchObject({ email: 'eve@example.org' });
    expect(await lifecycle.verify('Visitor')).toMatchObject({ sound: 2, misindexed: 0, differing: 0 });
    const switched = await deploy(visitorOf('switched'));
    await switched.visitors.upsert({ id: ada.id, email: 'mia@example.org' }, ['id']);
    expect(await switched.lifecycle.verify('Visitor')).toMatchObject({ sound: 2, misindexed: 0, differing: 0 });
  });

  it('names the rows that the database refuses, and does the others', async () => {
    const plain = await deploy(PlainVisitor);
    const emails = ['ada@example.org', 'ADA@example.org', 'bob@example.org'];
    await plain.visitors.save(emails.map((email) => ({ email, card: {} })));
    const { lifecycle } = await deploy(visitorOf('dual-write'));
    // Equal to one another where they are normalized, and unique.
    expect(await lifecycle.backfill('Visitor')).toMatchObject({ changed: 2, failed: 1 });
  });

  it('erases no more than the cell has', async () => {
    const contract = await deploy(visitorOf('contract'));
    const [ada] = await contract.visitors.save([{ born, card: {} }]);
    if (database.name === 'MariaDB') await contract.dataSource.query('ALTER TABLE visitor MODIFY born datetime(6)');
    await contract.dataSource.query(`UPDATE visitor SET born = '1961-04-12 06:07:00.000123' WHERE id = '${ada.id}'`);
    expect(await contract.lifecycle.contract('Visitor')).toMatchObject({ changed: 0, failed: 1 });
  });
});

/** One database for all data sources of a test; SQLite's are in a file then. */
async function shared(database: TestDatabase, directory: string): Promise<DataSourceOptions> {
  if (database.name !== 'SQLite') return database.options();
  return { type: 'better-sqlite3', database: join(directory, `${randomUUID()}.sqlite`), enableWAL: true };
}
