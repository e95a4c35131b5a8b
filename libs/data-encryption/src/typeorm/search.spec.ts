import {
  And,
  Brackets,
  type DataSource,
  Equal,
  In,
  IsNull,
  Not,
  NotBrackets,
  Or,
  QueryFailedError,
  type Repository,
} from 'typeorm';
import { BlindIndex } from '../blind-index.js';
import { type TestDatabase, testDatabases } from '../../test/typeorm/databases.js';
import {
  emptyTables,
  encryptedDatabase,
  type EncryptedDatabase,
  secretPattern,
  stored,
} from '../../test/typeorm/encrypted-database.js';
import { Account, Payment, Subscriber, Town } from '../../test/typeorm/entities.js';
import { warnOfFewValues } from './few-values.js';
import { DataEncryption } from './data-encryption.js';
import { enc } from './search-condition.js';

interface Context {
  readonly dataSource: DataSource;
  readonly accounts: Repository<Account>;
  readonly log: EncryptedDatabase['log'];
}

const ada = 'SECRET.ada@example.org';
const eve = 'SECRET.eve@example.org';
const born = new Date('1961-04-12T06:07:00.000Z');

/** Ada in Wien with two payments, Eve in Graz with nothing but her address. */
async function fill({ accounts }: Context): Promise<void> {
  await accounts.save([
    accounts.create({
      email: ada,
      name: 'SECRET Ada Groß',
      height: 424242.125,
      balance: -987654321987654321n,
      born,
      token: Buffer.from('SECRET token'),
      contact: { phone: '+43 (660) 424242' },
      city: 'Wien',
      payments: [{ reference: 'SECRET one' }, { reference: 'SECRET two' }] as Payment[],
    }),
    accounts.create({ email: eve, city: 'Graz', contact: {} }),
  ]);
}

type Find = Parameters<Repository<Account>['findBy']>[0];

/** Conditions as objects, and whom they find. */
const conditions: readonly (readonly [name: string, where: Find, found: string])[] = [
  ['equal', { email: ada }, 'ada'],
  ['equal, otherwise written', { email: '  Secret.ADA@Example.org ' }, 'ada'],
  ['equal and not there', { email: 'SECRET nobody' }, ''],
  ['Equal()', { email: Equal(eve) }, 'eve'],
  ['In()', { email: In([ada, eve, 'SECRET nobody']) }, 'ada eve'],
  ['In() of none', { email: In([]) }, ''],
  ['Not()', { email: Not(ada) }, 'eve'],
  ['Not(Equal())', { email: Not(Equal(ada)) }, 'eve'],
  ['Not(In())', { email: Not(In([ada])) }, 'eve'],
  ['Not() does not find NULL', { name: Not('SECRET nobody') }, 'ada'],
  ['IsNull()', { name: IsNull() }, 'eve'],
  ['Not(IsNull())', { name: Not(IsNull()) }, 'ada'],
  ['Or()', { name: Or(IsNull(), Equal('SECRET ADA GROSS')) }, 'ada eve'],
  ['And()', { email: And(Not(IsNull()), Not(ada)) }, 'eve'],
  ['one of several', [{ email: eve }, { city: 'Wien' }], 'ada eve'],
  ['two together', { email: ada, name: 'secret ada gross' }, 'ada'],
  ['case and width', { name: 'ｓｅｃｒｅｔ ada GROẞ' }, 'ada'],
  ['number', { height: 424242.125 }, 'ada'],
  ['bigint', { balance: -987654321987654321n }, 'ada'],
  ['Date', { born }, 'ada'],
  ['Buffer', { token: Buffer.from('SECRET token') }, 'ada'],
  ['embedded', { contact: { phone: '43660424242' } }, 'ada'],
  ['of a relation', { payments: { reference: 'SECRET two' } }, 'ada'],
  ['of a relation: In()', { payments: { reference: In(['SECRET one', 'SECRET two']) } }, 'ada'],
];

type Query = readonly [name: string, run: (context: Context) => Promise<readonly unknown[]>, found: string];
const builder = ({ accounts }: Context) => accounts.createQueryBuilder('u');
/** A name as the database quotes it. */
const quoted = ({ dataSource }: Context, name: string) => dataSource.driver.escape(name);

/** Conditions of query builders. */
const queries: readonly Query[] = [
  ['=', (c) => builder(c).where('u.email = :v', { v: ada }).getMany(), 'ada'],
  ['= without spaces', (c) => builder(c).where('u.email=:v', { v: ada }).getMany(), 'ada'],
  ['!=', (c) => builder(c).where('u.email != :v', { v: ada }).getMany(), 'eve'],
  ['<>', (c) => builder(c).where('u.email <> :v', { v: ada }).getMany(), 'eve'],
  [
    'an alias that begins with a digit, as long ones do that TypeORM shortens',
    ({ accounts }) => accounts.createQueryBuilder('9d94e8').where('9d94e8.email = :v', { v: ada }).getMany(),
    'ada',
  ],
  [
    'IN of a list',
    (c) =>
      builder(c)
        .where('u.email IN (:...v)', { v: [ada, eve] })
        .getMany(),
    'ada eve',
  ],
  ['IN of values', (c) => builder(c).where('u.email in (:a, :b)', { a: ada, b: 'SECRET' }).getMany(), 'ada'],
  [
    'NOT IN',
    (c) =>
      builder(c)
        .where('u.email NOT IN (:...v)', { v: [ada] })
        .getMany(),
    'eve',
  ],
  ['NOT', (c) => builder(c).where('NOT u.email = :v', { v: ada }).getMany(), 'eve'],
  ['NULL finds nothing', (c) => builder(c).where('u.name = :v', { v: null }).getMany(), ''],
  ['IS NULL', (c) => builder(c).where('u.name IS NULL').getMany(), 'eve'],
  ['IS NOT NULL', (c) => builder(c).where('u.name IS NOT NULL').getMany(), 'ada'],
  ['without an alias', (c) => builder(c).where('email = :v', { v: ada }).getMany(), 'ada'],
  [
    'the database column',
    (c) =>
      builder(c)
        .where(`${quoted(c, 'u')}.${quoted(c, 'email')} = :v`, { v: ada })
        .getMany(),
    'ada',
  ],
  ['embedded', (c) => builder(c).where('u.contact.phone = :v', { v: '43660424242' }).getMany(), 'ada'],
  [
    'one parameter for two columns',
    async (c) => {
      const v = 'open to all';
      await c.accounts.update({ email: eve }, { city: v, name: v });
      return builder(c).where('u.name = :v AND u.city = :v', { v }).getMany();
    },
    'eve',
  ],
  [
    'and, or and brackets',
    (c) =>
      builder(c)
        .where('u.email = :v', { v: ada })
        .andWhere(new Brackets((or) => or.where('u.city = :city', { city: 'Wien' }).orWhere({ email: eve })))
        .orWhere('(u.email = :w AND u.city <> :city)', { w: eve })
        .andWhere(new NotBrackets((not) => not.where('u.email = :n', { n: 'SECRET nobody' })))
        .getMany(),
    'ada eve',
  ],
  [
    'an object',
    (c) =>
      builder(c)
        .where({ email: In([ada]) })
        .getMany(),
    'ada',
  ],
  ['enc.eq', (c) => builder(c).where(enc.eq('u.email', ada)).orWhere(enc.eq('u.email', eve)).getMany(), 'ada eve'],
  ['enc.ne', (c) => builder(c).where(enc.ne('u.email', ada)).getMany(), 'eve'],
  [
    'enc.in',
    (c) =>
      builder(c)
        .where(enc.in('u.email', [ada, eve]))
        .andWhere(enc.notIn('u.email', [eve]))
        .getMany(),
    'ada',
  ],
  ['enc.in of none', (c) => builder(c).where(enc.in('u.email', [])).getMany(), ''],
  ['enc.notIn of none', (c) => builder(c).where(enc.notIn('u.email', [])).getMany(), 'ada eve'],
  [
    'condition of a join',
    (c) =>
      builder(c).innerJoinAndSelect('u.payments', 'p', 'p.reference = :r AND p.id > 0', { r: 'SECRET two' }).getMany(),
    'ada',
  ],
  [
    'conditions of two aliases of one entity',
    (c) =>
      builder(c)
        .innerJoin('u.payments', 'p', 'p.reference = :one', { one: 'SECRET one' })
        .innerJoin('u.payments', 'q', 'q.reference = :two', { two: 'SECRET two' })
        .getMany(),
    'ada',
  ],
  [
    'subquery',
    (c) =>
      builder(c)
        .where((outer) => {
          const payments = outer.subQuery().select('p.accountId').from(Payment, 'p');
          return `u.id IN ${payments.where('p.reference = :r', { r: 'SECRET one' }).getQuery()}`;
        })
        .getMany(),
    'ada',
  ],
  [
    'subquery whose parameters are taken before its text',
    (c) => {
      const payments = c.dataSource.createQueryBuilder().select('p.accountId').from(Payment, 'p');
      payments.where('p.reference IN (:...r)', { r: ['SECRET one'] });
      return builder(c).setParameters(payments.getParameters()).where(`u.id IN (${payments.getQuery()})`).getMany();
    },
    'ada',
  ],
  [
    'subquery as text',
    (c) =>
      builder(c)
        .where(`u.id IN (SELECT x.${quoted(c, 'accountId')} FROM payment x WHERE x.reference = :r)`, {
          r: 'SECRET one',
        })
        .getMany(),
    'ada',
  ],
  [
    'EXISTS',
    (c) =>
      builder(c)
        .whereExists(
          c.dataSource
            .createQueryBuilder(Payment, 'p')
            .where('p.accountId = u.id')
            .andWhere('p.reference = :r', { r: 'SECRET one' }),
        )
        .getMany(),
    'ada',
  ],
  [
    'EXISTS about the outer row',
    (c) =>
      builder(c)
        .where((outer) => {
          const payments = outer.subQuery().select('1').from(Payment, 'p').where('p.accountId = u.id');
          return `EXISTS ${payments.andWhere('u.email = :v', { v: ada }).getQuery()}`;
        })
        .getMany(),
    'ada',
  ],
  [
    'common table expression',
    async (c) => {
      const payments = c.dataSource.createQueryBuilder(Payment, 'p').select('p.accountId', 'accountId');
      return c.dataSource
        .createQueryBuilder()
        .addCommonTableExpression(payments.where('p.reference = :r', { r: 'SECRET one' }), 'found')
        .select('u.id', 'id')
        .addSelect('u.email', 'email')
        .from(Account, 'u')
        .where(`u.id IN (SELECT ${quoted(c, 'accountId')} FROM found)`)
        .getRawMany();
    },
    'ada',
  ],
  ['raw results', (c) => builder(c).select(['u.id', 'u.email']).where({ email: ada }).getRawMany(), 'ada'],
  [
    'a page with a join',
    (c) =>
      c.accounts.find({
        where: { email: In([ada, eve]) },
        relations: { payments: true },
        order: { city: 'DESC' },
        take: 1,
      }),
    'ada',
  ],
  [
    'a page with a join and a condition on it',
    (c) => c.accounts.find({ where: { payments: { reference: Not('SECRET one') } }, take: 5, skip: 0 }),
    'ada',
  ],
  [
    'relations loaded by queries',
    (c) => c.accounts.find({ where: { email: ada }, relations: { payments: true }, relationLoadStrategy: 'query' }),
    'ada',
  ],
  [
    'the query cache',
    (c) => c.accounts.find({ where: { email: ada }, cache: { id: 'search', milliseconds: 9_000 } }),
    'ada',
  ],
  ['a clone', (c) => builder(c).where('u.email = :v', { v: ada }).clone().getMany(), 'ada'],
];

const whom = (rows: readonly unknown[]) =>
  rows
    .map((row) => {
      const { email, u_email: rawEmail } = row as { email?: string; u_email?: string };
      return (email ?? rawEmail) === ada ? 'ada' : 'eve';
    })
    .sort()
    .join(' ');

/** Operations other than reading. */
const operations: readonly (readonly [
  name: string,
  run: (context: Context) => Promise<void>,
  only?: readonly TestDatabase['name'][],
])[] = [
  [
    'one row, counting, existing',
    async ({ accounts }) => {
      expect((await accounts.findOneByOrFail({ email: ada })).name).toBe('SECRET Ada Groß');
      expect(await accounts.findOneBy({ email: 'SECRET nobody' })).toBeNull();
      expect(await accounts.countBy({ email: Not(ada) })).toBe(1);
      expect([await accounts.existsBy({ email: eve }), await accounts.existsBy({ email: 'SECRET' })]).toEqual([
        true,
        false,
      ]);
      expect((await accounts.findAndCount({ where: { email: ada }, relations: { payments: true }, take: 1 }))[1]).toBe(
        1,
      );
      expect(await accounts.createQueryBuilder('u').where('u.email = :v', { v: ada }).getCount()).toBe(1);
      expect(await accounts.createQueryBuilder('u').where('u.email = :v', { v: ada }).getExists()).toBe(true);
    },
  ],
  [
    'update by it and of it',
    async ({ accounts, dataSource }) => {
      expect((await accounts.update({ email: ada }, { email: 'SECRET.new@example.org', city: 'Linz' })).affected).toBe(
        1,
      );
      expect(await accounts.countBy({ email: ada })).toBe(0);
      const found = await accounts.findOneByOrFail({ email: 'secret.NEW@example.org' });
      expect(found).toMatchObject({ city: 'Linz', email: 'SECRET.new@example.org' });
      expect(Object.keys(found)).not.toContain('emailBlindIndex');
      found.email = ada;
      found.contact.phone = '1 424242';
      await accounts.save(found);
      expect(await accounts.findOneBy({ email: ada, contact: { phone: '1424242' } })).toMatchObject({ id: found.id });
      await dataSource
        .createQueryBuilder()
        .update(Account)
        .set({ name: null })
        .where('email = :v', { v: ada })
        .execute();
      expect(await accounts.countBy({ name: IsNull() })).toBe(2);
      expect((await stored(dataSource, 'account')).map((row) => row.nameBlindIndex)).toEqual([null, null]);
      await accounts.updateAll({ name: 'SECRET all', contact: { phone: '7' } });
      expect(await accounts.countBy({ name: 'SECRET all', contact: { phone: '7' } })).toBe(2);
      await accounts.update({ city: 'Graz' }, { city: 'Bregenz' });
      expect(await accounts.countBy({ email: eve, city: 'Bregenz' })).toBe(1);
    },
  ],
  [
    'delete, soft delete and restore by it',
    async ({ accounts, dataSource }) => {
      await accounts.softDelete({ email: eve });
      expect(await accounts.countBy({ email: eve })).toBe(0);
      expect(await accounts.count({ where: { email: eve }, withDeleted: true })).toBe(1);
      await accounts.restore({ email: eve });
      expect(await accounts.countBy({ email: eve })).toBe(1);
      expect((await accounts.delete({ email: In([eve, 'SECRET']) })).affected).toBe(1);
      await dataSource
        .createQueryBuilder()
        .delete()
        .from(Payment)
        .where('reference = :r', { r: 'SECRET one' })
        .execute();
      expect(await dataSource.manager.count(Payment)).toBe(1);
      expect(await accounts.count()).toBe(1);
    },
  ],
  [
    'a second row of the same value is refused by the database, and no value shows',
    async ({ accounts }) => {
      const error: unknown = await accounts.insert({ email: ada.toUpperCase() }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(QueryFailedError);
      const { message, query, parameters, driverError } = error as QueryFailedError;
      expect(message).toMatch(/unique|duplicate/i);
      expect(JSON.stringify([message, query, parameters, driverError, { ...driverError }])).not.toMatch(/SECRET/i);
      await expect(accounts.update({ email: eve }, { email: ada })).rejects.toBeInstanceOf(QueryFailedError);
      expect(await accounts.countBy({ email: eve })).toBe(1);
    },
  ],
  [
    'an operator that is used twice stays as it was',
    async ({ accounts }) => {
      const operator = Or(In([ada]), Not(Equal(ada)));
      const before = JSON.stringify(operator);
      expect(await accounts.countBy({ email: operator })).toBe(2);
      expect(await accounts.countBy({ email: operator, name: operator })).toBe(1);
      expect(JSON.stringify(operator)).toBe(before);
    },
  ],
  [
    'upsert by primary key indexes anew',
    async ({ accounts }) => {
      const { id } = await accounts.findOneByOrFail({ email: ada });
      await accounts.upsert({ id, email: 'SECRET.upsert@example.org' }, ['id']);
      expect(await accounts.findOneBy({ email: 'SECRET.upsert@example.org' })).toMatchObject({ id });
      expect(await accounts.countBy({ email: ada })).toBe(0);
    },
  ],
  [
    'upsert on a unique column: of plain columns, or of all where cells are bound to no row',
    async ({ accounts, dataSource }) => {
      await dataSource
        .createQueryBuilder()
        .insert()
        .into(Account)
        .values({ email: ada, city: 'Linz' })
        .orUpdate(['city'], ['email'])
        .execute();
      expect(await accounts.findOneBy({ email: ada })).toMatchObject({ city: 'Linz', name: 'SECRET Ada Groß' });
      await expect(accounts.upsert({ email: ada }, ['email'])).rejects.toMatchObject({
        code: 'ERR_DATA_OPERATION_REFUSED',
        column: 'Account.email',
      });
      const subscribers = dataSource.getRepository(Subscriber);
      await subscribers.upsert([{ email: ada, name: 'SECRET 1' }, { email: eve }], ['email']);
      await subscribers.upsert({ email: ada.toUpperCase(), name: 'SECRET 2', city: 'Graz' }, ['email']);
      expect(await subscribers.find({ order: { id: 'ASC' } })).toMatchObject([
        { email: ada.toUpperCase(), name: 'SECRET 2', city: 'Graz' },
        { email: eve, name: null, city: 'nowhere' },
      ]);
    },
  ],
  [
    'cells that are bound to no row: any update, and no key needed to read them',
    async ({ dataSource }) => {
      const subscribers = dataSource.getRepository(Subscriber);
      const [one, two] = await subscribers.save([{ email: ada }, { email: eve }]);
      await subscribers.update({ email: ada }, { id: one.id + 100 });
      await subscribers.updateAll({ name: 'SECRET both' });
      expect((await subscribers.findOneByOrFail({ email: ada })).id).toBe(one.id + 100);
      expect(await subscribers.createQueryBuilder('s').select('s.name', 'name').getRawMany()).toEqual([
        { name: 'SECRET both' },
        { name: 'SECRET both' },
      ]);
      await dataSource.createQueryBuilder().update(Subscriber).set({ name: 'SECRET' }).whereEntity([two]).execute();
      expect((await subscribers.findOneByOrFail({ id: two.id })).name).toBe('SECRET');
    },
  ],
  [
    'padding hides the length of text and JSON',
    async ({ accounts, dataSource }) => {
      const notes = ['', 'SECRET', 'SECRET'.padEnd(62), 'ü'.repeat(31), 'SECRET'.padEnd(64, '\0'), 'SECRET \u0080\0'];
      const made = notes.map((note, n) => accounts.create({ email: `SECRET ${n}`, note, history: { note } }));
      await accounts.save(made);
      const found = await accounts.find({ where: { email: In(made.map(({ email }) => email)) } });
      const values = new Map(found.map(({ email, note, history }) => [email, { note, history }]));
      expect(made.map(({ email }) => values.get(email))).toEqual(notes.map((note) => ({ note, history: { note } })));
      const lengths = (await stored(dataSource, 'account')).map(({ note }) => (note as string | null)?.length);
      expect(new Set(lengths).size).toBe(3);
      // A date and an object are unchanged when their plaintexts are.
      expect(await accounts.save(accounts.create({ ...found[0] }))).toBeDefined();
    },
  ],
  [
    'raw SQL: decrypted with the row it belongs to',
    async ({ accounts, dataSource }) => {
      const encryption = DataEncryption.of(dataSource)!;
      const sql = 'SELECT id AS k, email AS mail, name, city FROM account ORDER BY city';
      const rows = await dataSource.query<Record<string, unknown>[]>(sql);
      expect(rows[1].name).toMatch(/^nhsm/);
      const decrypted = await encryption.decryptRaw(Account, rows, { id: 'k', email: 'mail' });
      expect(decrypted).toMatchObject([
        { mail: eve, name: null, city: 'Graz' },
        { mail: ada, name: 'SECRET Ada Groß', city: 'Wien' },
      ]);
      const again = await dataSource.query<Record<string, unknown>[]>(sql);
      await expect(encryption.decryptRaw(Account, again, { email: 'mail' })).rejects.toMatchObject({
        code: 'ERR_DATA_OPERATION_REFUSED',
      });
      [again[0].k, again[1].k] = [again[1].k, again[0].k];
      await expect(encryption.decryptRaw(Account, again, { id: 'k', email: 'mail' })).rejects.toMatchObject({
        code: 'ERR_DATA_DECRYPTION_FAILED',
      });
      await expect(encryption.decryptRaw(Town, [])).rejects.toMatchObject({ code: 'ERR_DATA_MAPPING_INVALID' });
      expect(await accounts.count()).toBe(2);
    },
  ],
  [
    'the database refuses what is no cell, and no index, where the entity asks for it',
    async ({ dataSource }) => {
      for (const sql of [
        `UPDATE account SET name = 'plaintext'`,
        `UPDATE account SET note = ''`,
        `UPDATE account SET ${dataSource.driver.escape('contactPhone')} = '${'0'.repeat(80)}'`,
        `UPDATE account SET ${dataSource.driver.escape('emailBlindIndex')} = 'plaintext'`,
      ]) {
        await expect(dataSource.query(sql)).rejects.toThrow(/check|CONSTRAINT .* failed/i);
      }
    },
  ],
  [
    'what a builder would send can be looked at, and has no value',
    async ({ accounts }) => {
      const [sql, parameters] = accounts
        .createQueryBuilder('u')
        .where('u.email = :v', { v: ada })
        .andWhere({ born })
        .getQueryAndParameters();
      expect(sql).toContain('emailBlindIndex');
      expect(parameters.map((each) => String(each).length)).toEqual([32, 32]);
      await Promise.resolve();
    },
  ],
  [
    'insert through RETURNING and builders',
    async ({ accounts, dataSource }) => {
      const inserted = await dataSource
        .createQueryBuilder()
        .insert()
        .into(Account, ['email', 'city'])
        .values({ email: 'SECRET.new@example.org', city: 'Linz' })
        .returning('*')
        .execute();
      expect(inserted.generatedMaps[0]).not.toHaveProperty('emailBlindIndex');
      expect(await accounts.countBy({ email: 'SECRET.new@example.org' })).toBe(1);
    },
    ['PostgreSQL', 'MariaDB'],
  ],
  [
    'other entities are as they were',
    async ({ dataSource }) => {
      await dataSource.manager.save(Town, { name: 'Wien' });
      expect(await dataSource.manager.countBy(Town, { name: 'Wien' })).toBe(1);
    },
  ],
];

describe.each(testDatabases())('searching on $name', (database) => {
  let opened: EncryptedDatabase;
  let context: Context;

  beforeAll(async () => {
    await database.start();
    opened = await encryptedDatabase(database, { entities: [Account, Payment, Subscriber, Town], cache: true });
    context = { dataSource: opened.dataSource, accounts: opened.dataSource.getRepository(Account), log: opened.log };
  });

  afterAll(async () => {
    await opened.dataSource.destroy();
    await database.stop();
  });

  beforeEach(async () => {
    await emptyTables(opened.dataSource, ['payment', 'account', 'subscriber', 'town']);
    await opened.dataSource.queryResultCache?.clear();
    await fill(context);
  });

  afterEach(() => {
    expect(opened.log.take().filter((statement) => secretPattern.test(statement))).toEqual([]);
  });

  it.each(conditions.map(([name, where, found]) => ({ name, where, found })))(
    'where: $name',
    async ({ where, found }) => {
      expect(whom(await context.accounts.findBy(where))).toBe(found);
    },
  );

  it.each(queries.map(([name, run, found]) => ({ name, run, found })))('builder: $name', async ({ run, found }) => {
    // A second time: the query cache answers then.
    expect(whom(await run(context))).toBe(found);
    expect(whom(await run(context))).toBe(found);
  });

  const here = operations.filter(([, , only = [database.name]]) => only.includes(database.name));
  it.each(here.map(([name, run]) => ({ name, run })))('$name', async ({ run }) => {
    await run(context);
  });

  it('needs nothing that a migration does not make', async () => {
    const { dataSource } = opened;
    expect((await dataSource.driver.createSchemaBuilder().log()).upQueries).toEqual([]);
    await dataSource.query('DROP TABLE subscriber');
    const made = (await dataSource.driver.createSchemaBuilder().log()).upQueries.map(({ query }) => query);
    expect(made.some((query) => /CREATE TABLE ["`]subscriber["`].*["`]emailBlindIndex["`]/.test(query))).toBe(true);
    // MariaDB's statement has its indexes in it.
    const index = /UNIQUE INDEX .*\("emailBlindIndex"\)|UNIQUE INDEX `\w+` \(`emailBlindIndex`\)/;
    expect(made.some((query) => index.test(query))).toBe(true);
    await dataSource.synchronize();
  });

  it('warns of few distinct values', async () => {
    const { dataSource } = opened;
    const warnings: unknown[] = [];
    const emitWarning = process.emitWarning.bind(process);
    process.emitWarning = (...warning: unknown[]) => void warnings.push(warning);
    const { columns } = dataSource.getMetadata(Payment);
    const column = columns.find(({ propertyPath }) => propertyPath === 'referenceBlindIndex')!;
    const index = new BlindIndex('reference', 'string', 'exact', 'Payment.reference');
    const look = () => warnOfFewValues(dataSource, [{ column, index }]);
    const payments = Array.from({ length: 200 }, (_, n) => ({ reference: `SECRET ${n % 18}` }));
    await dataSource.manager.insert(Payment, payments);
    await look();
    await dataSource.manager.update(Payment, { reference: 'SECRET 7' }, { reference: 'SECRET other' });
    await dataSource.manager.insert(Payment, { reference: 'SECRET one more' });
    await look();
    process.emitWarning = emitWarning;
    expect(warnings).toEqual([
      [expect.stringContaining('Payment.reference: want'), { code: 'NEST_HSM_DATA_FEW_VALUES' }],
    ]);
  });

  it('keeps no plaintext in the query cache', async () => {
    await context.accounts.find({ where: { email: ada }, cache: { id: 'search', milliseconds: 9_000 } });
    expect(JSON.stringify(await stored(opened.dataSource, 'query-result-cache'))).not.toMatch(secretPattern);
  });
});
