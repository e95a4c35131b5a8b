import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { Column, DataSource, Entity, In, IsNull, Not, type ObjectLiteral } from 'typeorm';
import { headerCharacters } from '../envelope.js';
import { TenantContext } from '../tenant-context.js';
import { DataEncryption } from './data-encryption.js';
import { EncryptedEntity } from './decorators.js';
import { SoftwareKek } from '../../test/software-kek.js';
import { sqlite, testDatabases } from '../../test/typeorm/databases.js';
import { emptyTables, encryptedDatabase, type EncryptedDatabase } from '../../test/typeorm/encrypted-database.js';
import { Chart, Clinic, Ledger, Remark, tenantEntities } from '../../test/typeorm/tenant-entities.js';

const missing = { code: 'ERR_DATA_TENANT_MISSING', fault: 'caller' };
const mismatch = { code: 'ERR_DATA_TENANT_MISMATCH', fault: 'integrity' };

describe.each(testDatabases())('scopes of data keys on $name', (database) => {
  const tenants = new TenantContext();
  let opened: EncryptedDatabase;
  let dataSource: DataSource;

  beforeAll(async () => {
    await database.start();
    const config = { tenant: () => tenants.current, maxLoadedKeys: 16, leaseSeconds: 1 };
    opened = await encryptedDatabase(database, { entities: tenantEntities }, config);
    ({ dataSource } = opened);
  });

  afterAll(async () => {
    await dataSource.destroy();
    await database.stop();
  });

  beforeEach(async () => {
    await emptyTables(dataSource, ['chart', 'remark', 'ledger', 'clinic']);
  });

  const as = <T>(tenant: string, work: () => Promise<T>): Promise<T> => tenants.run(tenant, work);
  const add = (clinic: string, name: string, email?: string) =>
    as(clinic, () => dataSource.getRepository(Chart).save({ clinic, name, email }));
  /** The data keys that the cells of a column name. */
  const headers = async (table: string, column: string) => {
    const rows = await dataSource.query<Record<string, string>[]>(`SELECT ${column} FROM ${table} ORDER BY id`);
    return rows.map((row) => row[column]?.slice(0, headerCharacters));
  };

  it('each tenant has keys of its own, and reads what is its own', async () => {
    await add('north', 'SECRET Ada');
    await add('north', 'SECRET Bob');
    await add('south', 'SECRET Eve');
    expect(new Set(await headers('chart', 'name')).size).toBe(2);
    const charts = dataSource.getRepository(Chart);
    const names = async () => (await charts.findBy({ clinic: tenants.current })).map(({ name }) => name);
    expect(await as('south', names)).toEqual(['SECRET Eve']);
    expect((await as('north', names)).toSorted()).toEqual(['SECRET Ada', 'SECRET Bob']);
    expect(await charts.count()).toBe(3);
    await expect(as('north', () => charts.find())).rejects.toMatchObject(mismatch);
    // Without a context each row is its column's tenant's.
    expect(await charts.find()).toHaveLength(3);
    await expect(charts.createQueryBuilder('c').select(['c.id', 'c.name']).getMany()).rejects.toMatchObject(missing);
    const keys = await opened.encryption.lifecycle.keys();
    expect(
      keys.filter(({ tableId }) => tableId === 'Chart').map(({ purpose, tenant }) => `${purpose} ${tenant}`),
    ).toEqual(expect.arrayContaining(['cell north', 'cell south', 'index north', 'index south']));
    expect(
      opened.log
        .take()
        .join()
        .match(/SECRET/g),
    ).toBeNull();
  });

  it('a value that names another tenant than the context is not written', async () => {
    const charts = dataSource.getRepository(Chart);
    await expect(as('north', () => charts.insert({ clinic: 'south', name: 'x' }))).rejects.toMatchObject(mismatch);
    const { id } = await add('north', 'Ada');
    await expect(as('north', () => charts.update({ id }, { clinic: 'south' }))).rejects.toMatchObject(mismatch);
    await expect(charts.update({ id }, { clinic: 'south' })).rejects.toMatchObject(missing);
    expect(await charts.find()).toMatchObject([{ clinic: 'north', name: 'Ada' }]);
    const faulty = charts.insert({ clinic: 'a\u0000', name: 'x' });
    await expect(faulty).rejects.toMatchObject({ code: 'ERR_DATA_VALUE_INVALID' });
  });

  it('rows of several tenants are written by one statement, each with its tenant’s key', async () => {
    const rows = ['a', 'b', 'a', 'c'].map((clinic, index) => ({
      clinic,
      name: `n${index}`,
      email: 'Same@example.org',
    }));
    rows[2].email = 'other@example.org';
    await dataSource.getRepository(Chart).insert(rows);
    expect(new Set(await headers('chart', 'name')).size).toBe(3);
    const found = await dataSource.getRepository(Chart).find({ order: { clinic: 'ASC' } });
    expect(found.map(({ clinic, email }) => [clinic, email]).toSorted()).toEqual([
      ['a', 'Same@example.org'],
      ['a', 'other@example.org'],
      ['b', 'Same@example.org'],
      ['c', 'Same@example.org'],
    ]);
    // What is unique is so for a tenant.
    await expect(dataSource.getRepository(Chart).insert(rows[0])).rejects.toThrow(/unique|duplicate/i);
  });

  it('nothing is written, read or searched for no tenant', async () => {
    const remarks = dataSource.getRepository(Remark);
    await expect(remarks.insert({ text: 'x' })).rejects.toMatchObject(missing);
    await expect(remarks.save({ text: 'x' })).rejects.toMatchObject(missing);
    await as('north', () => remarks.save({ text: 'x' }));
    await expect(remarks.find()).rejects.toMatchObject(missing);
    await expect(remarks.findBy({ text: 'x' })).rejects.toMatchObject(missing);
    await expect(remarks.update({ text: Not(IsNull()) }, { text: 'y' })).rejects.toMatchObject(missing);
    await expect(dataSource.getRepository(Chart).findBy({ email: 'x' })).rejects.toMatchObject(missing);
    expect(await remarks.count()).toBe(1);
    // What is nobody's needs none.
    await dataSource.getRepository(Clinic).save({ title: 'T' });
    expect(await as('north', () => dataSource.getRepository(Clinic).find())).toMatchObject([{ title: 'T' }]);
  });

  it('a search finds what its tenant has, by its tenant’s index key', async () => {
    await add('north', 'Ada', 'ada@example.org');
    await add('south', 'Eve', 'ada@example.org');
    const charts = dataSource.getRepository(Chart);
    for (const [tenant, name] of [
      ['north', 'Ada'],
      ['south', 'Eve'],
    ]) {
      expect(await as(tenant, () => charts.findBy({ email: 'ADA@example.org' }))).toMatchObject([{ name }]);
      expect(await as(tenant, () => charts.findBy({ email: In(['x', 'ada@example.org']) }))).toMatchObject([{ name }]);
      const others = charts.findBy.bind(charts, { clinic: tenant, email: Not('x') });
      expect(await as(tenant, others)).toMatchObject([{ name }]);
    }
    expect(await as('west', () => charts.countBy({ email: 'ada@example.org' }))).toBe(0);
    // Also where only a subquery asks, of tenants whose keys nobody has loaded.
    const clinics = dataSource.getRepository(Clinic);
    const byText = () => clinics.createQueryBuilder('c').where('EXISTS (SELECT 1 FROM chart h WHERE h.email = :email)');
    const byBuilder = () =>
      clinics.createQueryBuilder('c').where((query) => {
        const inner = query.subQuery().select('h.id').from(Chart, 'h').where('h.email = :email');
        return `c.id IN ${inner.getQuery()}`;
      });
    for (const [index, asking] of [byText, byBuilder].entries()) {
      const count = () => asking().setParameter('email', 'ada@example.org').getCount();
      expect(await as(`unseen ${index}`, count)).toBe(0);
    }
    const indexes = await dataSource.query<{ email_index: string }[]>(
      `SELECT ${dataSource.driver.escape('emailBlindIndex')} AS email_index FROM chart`,
    );
    expect(new Set(indexes.map(({ email_index }) => email_index)).size).toBe(2);
  });

  it('updates, upserts, streams and raw rows are the context’s', async () => {
    const { id } = await add('north', 'Ada', 'ada@example.org');
    const charts = dataSource.getRepository(Chart);
    await as('north', () => charts.update({ clinic: 'north' }, { name: 'Bea', email: 'bea@example.org' }));
    await as('north', () => charts.upsert({ id, clinic: 'north', name: 'Cleo' }, ['id']));
    const chart = await as('north', () => charts.findOneByOrFail({ email: 'bea@example.org' }));
    expect(chart).toMatchObject({ id, name: 'Cleo' });
    await as('north', () => charts.save(Object.assign(chart, { name: 'Dora' })));
    const stream = (tenant: string) =>
      as(tenant, () => charts.createQueryBuilder('c').select(['c.id', 'c.name']).stream());
    const read = async (source: NodeJS.ReadableStream) => {
      const rows: unknown[] = [];
      for await (const row of source as Readable) rows.push(row);
      return rows;
    };
    if (database.name !== 'SQLite') {
      // Read outside of the context it was opened in.
      expect(await read(await stream('north'))).toMatchObject([{ c_name: 'Dora' }]);
      const [error] = (await once(await stream('south'), 'error')) as [Error];
      expect(error).toMatchObject(mismatch);
    }
    const raw = () => dataSource.query<object[]>('SELECT id, name FROM chart');
    const rows = await raw();
    expect(await as('north', () => opened.encryption.decryptRaw(Chart, rows))).toMatchObject([{ name: 'Dora' }]);
    await expect(as('south', async () => opened.encryption.decryptRaw(Chart, await raw()))).rejects.toMatchObject(
      mismatch,
    );
    await expect(opened.encryption.decryptRaw(Chart, await raw())).rejects.toMatchObject(missing);
  });

  it('rows that are copied or moved to another tenant are refused', async () => {
    const charts = dataSource.getRepository(Chart);
    const reads = [
      () => as('south', () => charts.find({ where: { clinic: 'south' } })),
      () => as('south', () => charts.createQueryBuilder('c').where('c.clinic = :of', { of: 'south' }).getRawMany()),
      () => charts.find(),
    ];
    const { id } = await add('north', 'Ada');
    const victim = await add('south', 'Eve');
    // A row under another clinic, cells under the other's key, and one cell of three.
    const attacks = [
      `UPDATE chart SET clinic = 'south' WHERE id = '${id}'`,
      `UPDATE chart SET name = (SELECT name FROM chart WHERE id = '${id}') WHERE id = '${victim.id}'`,
      `UPDATE chart SET email = (SELECT name FROM chart WHERE id = '${id}') WHERE id = '${victim.id}'`,
    ];
    for (const attack of attacks) {
      const before = await dataSource.query<ObjectLiteral[]>('SELECT * FROM chart');
      await dataSource.query(attack);
      for (const read of reads) await expect(read()).rejects.toMatchObject(mismatch);
      const { failed } = await opened.encryption.lifecycle.verify('Chart');
      expect(failed).toBe(1);
      for (const { id: of, clinic, name, email } of before) {
        const place = database.name === 'PostgreSQL' ? ['$1', '$2', '$3', '$4'] : ['?', '?', '?', '?'];
        await dataSource.query(
          `UPDATE chart SET clinic = ${place[0]}, name = ${place[1]}, email = ${place[2]} WHERE id = ${place[3]}`,
          [clinic, name, email, of],
        );
      }
    }
    expect(await charts.find()).toHaveLength(2);
  });

  it('an update in one tenant’s context does not find another’s row', async () => {
    const { id } = await add('north', 'Ada', 'ada@example.org');
    const { id: own } = await add('south', 'Eve');
    const charts = dataSource.getRepository(Chart);
    const before = await dataSource.query<ObjectLiteral[]>('SELECT * FROM chart ORDER BY id');
    const updates = [
      { name: 'x' },
      { name: 'x', email: 'x@example.org' },
      { email: null },
      { clinic: 'south' },
      { clinic: 'south', name: 'x' },
    ];
    for (const update of updates) {
      const byKey = await as('south', () => charts.update({ id }, update));
      if (database.name !== 'SQLite') expect(byKey.affected).toBe(0);
      await as('south', () => charts.update({ clinic: 'north' }, update));
      await as('south', () => charts.update([{ clinic: 'north' }, { id }], update));
      await as('south', () =>
        charts.createQueryBuilder().update(update).where('id = :id OR id = :id', { id }).execute(),
      );
      await as('south', () =>
        charts
          .createQueryBuilder()
          .update(update)
          .whereEntity({ id } as Chart)
          .execute(),
      );
    }
    await expect(as('south', () => charts.save({ id, clinic: 'south', name: 'x' }))).rejects.toMatchObject(mismatch);
    await expect(charts.save({ id, clinic: 'south', name: 'x' })).rejects.toMatchObject(missing);
    expect(await dataSource.query('SELECT * FROM chart ORDER BY id')).toEqual(before);
    // Conditions that find rows of both touch its own alone; without any the update is refused as ever.
    const both = await as('south', () => charts.update({ name: Not(IsNull()) }, { name: 'Eva' }));
    expect(both.affected).toBe(1);
    await as('south', () => charts.updateAll({ email: 'eva@example.org' }));
    await expect(as('south', () => charts.update({}, { name: 'x' }))).rejects.toThrow(/Empty criteria/);
    expect(await as('south', () => charts.findOneBy({ id: own }))).toMatchObject({ email: 'eva@example.org' });
    expect(await charts.find({ order: { clinic: 'ASC' } })).toMatchObject([{ name: 'Ada' }, { name: 'Eva' }]);
  });

  it('an upsert in one tenant’s context does not overwrite another’s row', async () => {
    const { id } = await add('north', 'Ada', 'ada@example.org');
    const { id: own } = await add('south', 'Eve');
    const charts = dataSource.getRepository(Chart);
    const row = (of: string, name: string) => ({ id: of, clinic: 'south', name, email: `${name}@example.org` });
    const builder = (values: ObjectLiteral[], where = '1 = 1 OR 1 = 1') =>
      charts
        .createQueryBuilder()
        .insert()
        .values(values)
        .orUpdate(['clinic', 'name'], ['id'], { overwriteCondition: { where } });
    const before = await charts.findOneBy({ id });
    await as('south', () => charts.upsert(row(id, 'x'), ['id']));
    await charts.upsert(row(id, 'x'), ['id']);
    await as('south', () => builder([row(id, 'x')]).execute());
    await charts.createQueryBuilder().insert().values(row(id, 'x')).orUpdate(['clinic'], ['id']).execute();
    expect(await charts.findOneBy({ id })).toEqual(before);
    // Its own row it does, in the same statement.
    const fresh = '0f4f7c4e-31f6-4f7c-8f0c-5b8f0b5d1e11';
    await as('south', () => charts.upsert([row(id, 'x'), row(own, 'eva'), row(fresh, 'new')], ['id']));
    expect((await charts.find()).toSorted((left, right) => left.name.localeCompare(right.name))).toMatchObject([
      { id, clinic: 'north', name: 'Ada' },
      { id: own, name: 'eva', email: 'eva@example.org' },
      { id: fresh, name: 'new' },
    ]);
    await as('south', () => builder([row(own, 'Eve')]).execute());
    await charts.upsert(row(fresh, 'newer'), ['id']);
    expect((await charts.findBy({ clinic: 'south' })).map(({ name }) => name).toSorted()).toEqual(['Eve', 'newer']);
    await dataSource.getRepository(Clinic).upsert({ id: own, title: 'T' }, ['id']);
    await dataSource.getRepository(Clinic).upsert({ id: own, title: 'U' }, ['id']);
    expect(await dataSource.getRepository(Clinic).find()).toMatchObject([{ title: 'U' }]);
  });

  it('more tenants than have room are served one after the other, and those that made room are forgotten', async () => {
    const clinics = Array.from({ length: 40 }, (_, index) => `clinic ${index}`);
    for (const clinic of clinics) await add(clinic, 'Ada', 'ada@example.org');
    for (const clinic of clinics) {
      expect(await as(clinic, () => dataSource.getRepository(Chart).findBy({ email: 'ada@example.org' }))).toHaveLength(
        1,
      );
    }
    expect(await dataSource.getRepository(Chart).find()).toHaveLength(40);
    // Of cells and of indexes each.
    expect(opened.encryption.status().loadedKeys).toBeLessThanOrEqual(2 * 16 + 3);
    expect(await opened.encryption.lifecycle.verify('Chart')).toMatchObject({ sound: 80, failed: 0, misindexed: 0 });
  });

  it('tenants’ data keys are rotated, all or of one, and their cells move to them', async () => {
    await add('north', 'Ada', 'ada@example.org');
    await add('south', 'Eve');
    const { lifecycle } = opened.encryption;
    const [north] = await lifecycle.rotate('Chart', 'north');
    await lifecycle.reencrypt('Chart');
    const { keys } = await lifecycle.verify('Chart');
    expect(keys.get(north)).toBe(2);
    expect(keys.size).toBe(2);
    const rotated = await lifecycle.rotate('Chart');
    expect(rotated.length).toBeGreaterThanOrEqual(2);
    await lifecycle.reencrypt('Chart');
    const after = await lifecycle.verify('Chart');
    expect(after).toMatchObject({ sound: 3, failed: 0, misindexed: 0 });
    for (const id of after.keys.keys()) expect(rotated).toContain(id);
    expect(await as('north', () => dataSource.getRepository(Chart).findBy({ email: 'ada@example.org' }))).toHaveLength(
      1,
    );
  });

  it('columns have keys of their own', async () => {
    const ledgers = dataSource.getRepository(Ledger);
    await ledgers.insert([{ debit: 'a', credit: 'b' }, { debit: 'c' }, { credit: 'd' }]);
    await ledgers.update({ debit: IsNull() }, { credit: 'e' });
    const debit = new Set((await headers('ledger', 'debit')).filter(Boolean));
    const credit = new Set((await headers('ledger', 'credit')).filter(Boolean));
    expect([debit.size, credit.size, new Set([...debit, ...credit]).size]).toEqual([1, 1, 2]);
    expect((await ledgers.find()).map(({ debit: of }) => of).toSorted()).toEqual(['a', 'c', null]);
    const { lifecycle } = opened.encryption;
    const rotated = await lifecycle.rotate('Ledger');
    expect(rotated).toHaveLength(2);
    await lifecycle.reencrypt('Ledger');
    const { keys, failed } = await lifecycle.verify('Ledger');
    expect({ failed, ids: [...keys.keys()].toSorted() }).toEqual({ failed: 0, ids: rotated.toSorted() });
    await dataSource.query('UPDATE ledger SET debit = credit');
    await expect(ledgers.find()).rejects.toMatchObject({ code: 'ERR_DATA_DECRYPTION_FAILED' });
  });

  it('the first row of a tenant may be written inside a transaction', async () => {
    await as('first', () =>
      dataSource.transaction(async (manager) => {
        await manager.save(Chart, { clinic: 'first', name: 'Ada', email: 'ada@example.org' });
      }),
    );
    expect(await as('first', () => dataSource.getRepository(Chart).findBy({ email: 'ada@example.org' }))).toHaveLength(
      1,
    );
    await opened.encryption.prepareTenant('second');
    await dataSource.transaction((manager) => manager.insert(Chart, { clinic: 'second', name: 'Eve' }));
    expect(await dataSource.getRepository(Chart).findBy({ clinic: 'second' })).toHaveLength(1);
  });
});

describe('entities of tenants', () => {
  @Entity()
  @EncryptedEntity({ keyScope: 'tenant' })
  class Unknown extends Clinic {}

  @Entity()
  @EncryptedEntity({ keyScope: 'tenant', tenantColumn: 'nowhere' })
  class Misnamed extends Clinic {}

  @Entity()
  @EncryptedEntity({ tenantColumn: 'clinic' })
  class Unscoped extends Clinic {
    @Column({ type: 'text' })
    clinic: string;
  }

  @Entity()
  @EncryptedEntity({ keyScope: 'tenant', tenantColumn: 'clinic' })
  class Collated extends Clinic {
    @Column({ type: 'text', collation: 'NOCASE' })
    clinic: string;
  }

  it('are refused where nobody could know whose a row is', async () => {
    const entities = [Unknown, Misnamed, Unscoped, Collated];
    const opening = encryptedDatabase(sqlite(), { entities });
    await expect(opening).rejects.toMatchObject({ code: 'ERR_DATA_MAPPING_INVALID' });
    const { message } = (await opening.catch((error: unknown) => error)) as Error;
    expect(message).toContain('Unknown: want a way to know its tenants, got none');
    expect(message).toContain('Misnamed.nowhere: want a column of the entity for tenantColumn, got none');
    expect(message).toContain(
      'Collated.clinic: want a column without a collation of its own for tenantColumn, got one',
    );
    expect(message).toContain('Unscoped: want tenantColumn with keyScope tenant, got it with table');
  });

  it('need a label that leaves room where tenants have KEKs of their own', () => {
    const config = { hsm: new SoftwareKek(), databaseId: 'test', kekPerTenant: true };
    expect(() => new DataEncryption({ ...config, kekLabel: 'x'.repeat(25) })).toThrow(/want at most 24 characters/);
    expect(() => new DataEncryption({ ...config, kekLabel: 'x'.repeat(24) })).not.toThrow();
  });
});
