import type { Readable } from 'node:stream';
import {
  Between,
  type DataSource,
  Equal,
  ILike,
  In,
  IsNull,
  Like,
  MoreThan,
  Not,
  Or,
  Raw,
  type Repository,
  ViewColumn,
  ViewEntity,
} from 'typeorm';
import { type TestDatabase, testDatabases } from '../../test/typeorm/databases.js';
import {
  encryptedDatabase,
  type EncryptedDatabase,
  secretPattern,
  somebody,
  stored,
} from '../../test/typeorm/encrypted-database.js';
import { entities, Membership, Person, Pet, Town, Visit } from '../../test/typeorm/entities.js';

interface Context {
  readonly dataSource: DataSource;
  readonly people: Repository<Person>;
}

type Refused = readonly [
  name: string,
  run: (context: Context) => Promise<unknown>,
  column?: string,
  only?: readonly TestDatabase['name'][],
];

const value = 'SECRET Ada';
/** A name as the database quotes it. */
const quoted = ({ dataSource }: Context, name: string) =>
  name
    .split('.')
    .map((part) => dataSource.driver.escape(part))
    .join('.');
const builder = ({ people }: Context) => people.createQueryBuilder('p');

/** Once there is a row, whose cells would come into the result as they are. */
const stray = (run: Refused[1]) => async (context: Context) => {
  await context.people.insert({ name: value });
  try {
    return await run(context);
  } finally {
    await context.people.deleteAll();
  }
};

@ViewEntity({ expression: 'SELECT * FROM person' })
class PersonView {
  @ViewColumn()
  id: string;

  @ViewColumn()
  name: string;
}

/** Each would otherwise be answered wrongly, without a word: the database compares, orders or computes with ciphertext. */
const refused: readonly Refused[] = [
  ['where equal', ({ people }) => people.findBy({ name: value })],
  ['where Equal()', ({ people }) => people.findBy({ name: Equal(value) })],
  ['where In()', ({ people }) => people.findBy({ name: In([value]) })],
  ['where Not()', ({ people }) => people.findBy({ name: Not(value) })],
  ['where Or()', ({ people }) => people.findBy({ name: Or(IsNull(), Equal(value)) })],
  ['where Like()', ({ people }) => people.findBy({ name: Like('SECRET%') })],
  ['where ILike()', ({ people }) => people.findBy({ name: ILike('SECRET%') })],
  ['where MoreThan()', ({ people }) => people.findBy({ height: MoreThan(424242) }), 'Person.height'],
  ['where Between()', ({ people }) => people.findBy({ height: Between(1, 424242) }), 'Person.height'],
  ['where Raw()', ({ people }) => people.findBy({ name: Raw((alias) => `${alias} = 'SECRET'`) })],
  ['where embedded', ({ people }) => people.findBy({ address: { street: value } }), 'Person.address.street'],
  ['where of a relation', ({ people }) => people.findBy({ employer: { title: value } }), 'Employer.title'],
  ['where one of several', ({ people }) => people.findBy([{ city: 'Wien' }, { name: value }])],
  ...[
    'lower(p.email) = :value',
    'p.email LIKE :value',
    'p.email > :value',
    "p.email = 'SECRET'",
    'p.email = :value || p.city',
    'p.email = :value::text',
    'p.city || p.email = :value',
    'p.email = p.city',
    ':value = p.email',
    '(p.email, p.city) = (:value, :value)',
    'p.email = (SELECT :value)',
    'p.email IN (SELECT mail FROM person)',
    "p.email IN (:value, 'SECRET')",
    'p.email BETWEEN :value AND :value',
    'p.email == :value',
    'p.email = :...value',
    'EXISTS (SELECT 1 FROM town WHERE email = :value)',
    'EXISTS (SELECT 1 FROM person x, person y WHERE mail = :value)',
  ].map((sql): Refused => [
    `searchable: ${sql}`,
    (context) => builder(context).where(sql, { value }).getMany(),
    'Person.email',
  ]),
  ['searchable: where Like()', ({ people }) => people.findBy({ email: Like('SECRET%') }), 'Person.email'],
  ['searchable: order', ({ people }) => people.find({ order: { email: 'ASC' } }), 'Person.email'],
  [
    'searchable: having',
    (context) =>
      builder(context).select('p.city').groupBy('p.city').having('max(p.email) = :value', { value }).getRawMany(),
    'Person.email',
  ],
  [
    'searchable: an expression',
    (context) => builder(context).select('p.email = :value', 'x').setParameters({ value }).getRawMany(),
    'Person.email',
  ],
  [
    'searchable: update of its index',
    ({ people }) => people.update({ city: 'Wien' }, { emailBlindIndex: 'SECRET' } as object),
    'Person.email',
  ],
  ['exists', ({ people }) => people.existsBy({ name: value })],
  ['count', ({ people }) => people.countBy({ name: value })],
  ['where of a builder: object', (context) => builder(context).where({ name: value }).getMany()],
  ['where of a builder: text', (context) => builder(context).where('p.name = :value', { value }).getMany()],
  ['where of a builder: text without alias', (context) => builder(context).where('name = :value', { value }).getMany()],
  [
    'where of a builder: quoted',
    (context) =>
      builder(context)
        .where(`${quoted(context, 'p.name')} = :value`, { value })
        .getMany(),
  ],
  ...[
    "p.comment = 'a\\'' OR p.name = :value OR p.comment = 'b'",
    'p.comment = "a\\"" OR p.name = :value OR p.comment = "b"',
    'p.visits = 1--p.name',
    'p.visits = 1 /*! OR p.name = 1 */',
    'p.visits = 1 /*M!100500 OR p.name = 1 */',
    'p.visits = # 1\n p.name',
  ].map((sql): Refused => [
    `where as MariaDB reads it: ${sql}`,
    (context) => builder(context).where(sql, { value }).getMany(),
    'Person.name',
    ['MariaDB'],
  ]),
  ['where of a builder: another case', (context) => builder(context).where('P.NAME=:value', { value }).getMany()],
  [
    'where of a builder: an alias of two words',
    ({ people }) => people.createQueryBuilder('my p').where('my p.name = :value', { value }).getMany(),
  ],
  [
    'where of a builder: aliases of one name in other letters',
    ({ dataSource }) =>
      dataSource
        .createQueryBuilder(Town, 'p')
        .addFrom(Person, 'P')
        .select('P.id')
        .where('P.email = :value', { value })
        .getRawMany(),
    'Person.email',
  ],
  ['where of a builder: a literal', (context) => builder(context).where("p.name='SECRET'").getMany()],
  [
    'where of a builder: a function',
    (context) => builder(context).where('lower(p.name) = :value', { value }).getMany(),
  ],
  ['where of a builder: LIKE', (context) => builder(context).where('p.name LIKE :value', { value }).getMany()],
  [
    'where of a builder: embedded',
    (context) => builder(context).where('p.address.street = :value', { value }).getMany(),
    'Person.address.street',
  ],
  [
    'where of a builder: its database column',
    (context) => builder(context).where('p.addressStreet = :value', { value }).getMany(),
    'Person.address.street',
  ],
  [
    'condition of a join',
    (context) => builder(context).leftJoin('p.pets', 'pet', 'pet.name = :value', { value }).getMany(),
    'Pet.name',
  ],
  [
    'a subquery written as text',
    (context) => builder(context).where(`p.id IN (SELECT x.id FROM person x WHERE x.name = 'SECRET')`).getMany(),
  ],
  [
    'a subquery that selects it',
    (context) =>
      builder(context)
        .where((outer) => `p.city IN ${outer.subQuery().select('q.name').from(Person, 'q').getQuery()}`)
        .getMany(),
  ],
  [
    'a subquery of another builder that selects it',
    (context) =>
      builder(context)
        .where(`p.city IN (${builder(context).select('p.name').getQuery()})`)
        .getMany(),
  ],
  [
    'FROM a subquery that selects it',
    ({ dataSource }) =>
      dataSource
        .createQueryBuilder()
        .select('inner.name', 'name')
        .from((inner) => inner.select('q.name', 'name').from(Person, 'q'), 'inner')
        .getRawMany(),
  ],
  [
    'a common table expression that selects it',
    ({ dataSource, people }) =>
      dataSource
        .createQueryBuilder()
        .addCommonTableExpression(people.createQueryBuilder('q').select('q.name', 'name'), 'names')
        .select('names.name', 'name')
        .from('names', 'names')
        .getRawMany(),
  ],
  ['order of find', ({ people }) => people.find({ order: { name: 'ASC' } })],
  [
    'order of find with a page and a join',
    async ({ people }) => {
      await people.save(people.create(somebody()));
      return people.find({ order: { name: 'ASC' }, relations: { pets: true }, take: 1 });
    },
  ],
  ['order of a builder', (context) => builder(context).orderBy('p.name').getMany()],
  ['order by a function', (context) => builder(context).orderBy('lower(p.name)').getMany()],
  [
    'order by an alias',
    (context) => builder(context).select('p.id').addSelect('p.name', 'label').orderBy('label').getRawMany(),
  ],
  ['order by the result column', (context) => builder(context).orderBy('p_name').getMany()],
  ['group by', (context) => builder(context).select('count(*)', 'n').groupBy('p.name').getRawMany()],
  ['having', (context) => builder(context).select('p.city').groupBy('p.city').having("max(p.name) > 'A'").getRawMany()],
  ['distinct on', (context) => builder(context).distinctOn(['p.name']).getMany(), 'Person.name', ['PostgreSQL']],
  ['a function selected', (context) => builder(context).select('lower(p.name)', 'n').getRawMany()],
  ['a sum', ({ people }) => people.sum('height' as 'visits'), 'Person.height'],
  ['a maximum', ({ people }) => people.maximum('height' as 'visits'), 'Person.height'],
  ['selected by *', (context) => builder(context).select('*').getRawMany()],
  [
    'selected by * of an alias',
    (context) =>
      builder(context)
        .select(`${quoted(context, 'p')}.*`)
        .getRawMany(),
  ],
  [
    'selected by * of a subquery',
    stray(({ dataSource }) =>
      dataSource
        .createQueryBuilder()
        .select('s.name', 'n')
        .from((inner) => inner.select('q.*').from(Person, 'q'), 's')
        .getRawMany(),
    ),
    'n',
  ],
  [
    'selected by * of a subquery written as text',
    stray(({ dataSource }) =>
      dataSource.createQueryBuilder().select('*').from('(SELECT * FROM person)', 's').getRawMany(),
    ),
    'name',
  ],
  [
    'selected by * of a common table expression written as text',
    stray(({ dataSource }) =>
      dataSource
        .createQueryBuilder()
        .addCommonTableExpression('SELECT * FROM person', 'c')
        .select('c.name', 'n')
        .from('c', 'c')
        .getRawMany(),
    ),
    'n',
  ],
  ['a view of all columns', stray(({ dataSource }) => dataSource.manager.find(PersonView)), 'PersonView_name'],
  [
    'a view of all columns, streamed',
    stray(async ({ dataSource }) => {
      const stream = await dataSource.createQueryBuilder(PersonView, 'v').stream();
      for await (const _ of stream as Readable) continue;
    }),
    'v_name',
    ['PostgreSQL', 'MariaDB'],
  ],
  ['selected raw without the key', (context) => builder(context).select('p.name', 'label').getRawMany()],
  [
    'selected of a second FROM',
    (context) => builder(context).addFrom(Pet, 'pet').select('p.id').addSelect('pet.name').getRawMany(),
    'Pet.name',
  ],
  [
    'counted without the key',
    ({ dataSource }) => dataSource.manager.findAndCount(Pet, { select: { name: true }, take: 1, skip: 5 }),
    'Pet.name',
  ],
  ['increment', ({ people }) => people.increment({ city: 'Wien' }, 'height', 1), 'Person.height'],
  ['update by an expression', ({ people }) => people.update({ city: 'Wien' }, { name: () => "'SECRET'" })],
  [
    'update of an embedded column by an expression',
    ({ people }) => people.update({ city: 'Wien' }, { address: { street: () => 'city' } }),
    'Person.address.street',
  ],
  ['update of a plain column from it', ({ people }) => people.update({ city: 'Wien' }, { comment: () => 'name' })],
  ['update where', ({ people }) => people.update({ name: value }, { city: 'Graz' })],
  [
    'update of the key',
    async ({ people }) => {
      const { id } = await people.save(people.create(somebody()));
      return people.update(id, { id: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' });
    },
    undefined,
  ],
  [
    'update of the keys of many',
    ({ dataSource }) => dataSource.manager.update(Visit, { code: Like('%') }, { code: 'other' }),
    undefined,
  ],
  [
    'update of part of a composite key',
    ({ dataSource }) => dataSource.manager.update(Membership, { club: 'a', petId: 1 }, { petId: 2 }),
    undefined,
  ],
  ['delete where', ({ people }) => people.delete({ name: value })],
  ['soft delete where', ({ people }) => people.softDelete({ name: value })],
  ['restore where', ({ people }) => people.restore({ name: value })],
  ['insert of an expression', ({ people }) => people.insert({ name: () => "'SECRET'" })],
  [
    'insert of an expression over it',
    ({ people }) => people.insert({ name: value, comment: () => '(SELECT name FROM person)' }),
  ],
  [
    'INSERT … SELECT into it',
    ({ dataSource }) =>
      dataSource
        .createQueryBuilder()
        .insert()
        .into(Person, ['name'])
        .valuesFromSelect((select) => select.select('t.name').from(Town, 't'))
        .execute(),
  ],
  [
    'INSERT … SELECT from it',
    ({ dataSource }) =>
      dataSource
        .createQueryBuilder()
        .insert()
        .into(Town, ['name'])
        .valuesFromSelect((select) => select.select('p.name').from(Person, 'p'))
        .execute(),
  ],
  [
    'INSERT … SELECT * from it',
    ({ dataSource }) =>
      dataSource
        .createQueryBuilder()
        .insert()
        .into(Town, ['id', 'name'])
        .valuesFromSelect((select) => select.select('p.*').from(Person, 'p'))
        .execute(),
  ],
  ['insert without a key', ({ dataSource }) => dataSource.manager.insert(Visit, { reason: value }), 'Visit.reason'],
  ['upsert on another key', ({ people }) => people.upsert({ name: value, city: 'Wien' }, ['city'])],
  [
    'upsert that skips unchanged rows',
    ({ dataSource }) =>
      dataSource.manager.upsert(
        Visit,
        { code: 'a', reason: value },
        { conflictPaths: ['code'], skipUpdateIfNoValuesChanged: true },
      ),
    'Visit.reason',
  ],
  [
    'upsert on a constraint',
    ({ dataSource }) =>
      dataSource
        .createQueryBuilder()
        .insert()
        .into(Visit)
        .values({ code: 'a', reason: value })
        .orUpdate(['reason'], 'some_constraint')
        .execute(),
    'Visit.reason',
  ],
  [
    'upsert of a column in other letters',
    ({ dataSource }) =>
      dataSource
        .createQueryBuilder()
        .insert()
        .into(Visit)
        .values({ code: 'a', reason: value })
        .orUpdate(['REASON'], ['reason'])
        .execute(),
    'Visit.reason',
  ],
  [
    'the SQL of an insert',
    ({ dataSource }) =>
      Promise.resolve(dataSource.createQueryBuilder().insert().into(Person).values({ name: value }).getSql()),
  ],
  [
    'the SQL of an update',
    ({ dataSource }) =>
      Promise.resolve(dataSource.createQueryBuilder().update(Person).set({ name: value }).where("id = ''").getSql()),
  ],
  [
    'a table named by text',
    ({ dataSource }) => dataSource.createQueryBuilder().select('x.name').from('main.person', 'x').getRawMany(),
    'Person.name',
  ],
  [
    'an insert into a table named by text',
    ({ dataSource }) => dataSource.createQueryBuilder().insert().into('main.person').values({ name: value }).execute(),
    'Person.name',
  ],
  [
    'an update of a table named by text',
    ({ dataSource }) => dataSource.createQueryBuilder().update('main.person').set({ name: value }).execute(),
    'Person.name',
  ],
  [
    'RETURNING as text',
    ({ dataSource }) =>
      dataSource.createQueryBuilder().insert().into(Person).values({ name: value }).returning('name AS n').execute(),
    'Person.name',
    ['PostgreSQL', 'MariaDB'],
  ],
  [
    'RETURNING without the key',
    ({ dataSource }) =>
      dataSource
        .createQueryBuilder()
        .insert()
        .into(Visit)
        .values({ code: 'a', reason: value })
        .returning(['reason'])
        .execute(),
    'Visit.reason',
    ['PostgreSQL', 'MariaDB'],
  ],
];

describe.each(testDatabases())('refused on $name', (database) => {
  let opened: EncryptedDatabase;
  let context: Context;

  beforeAll(async () => {
    await database.start();
    opened = await encryptedDatabase(database, { entities: [...entities, PersonView] });
    context = { dataSource: opened.dataSource, people: opened.dataSource.getRepository(Person) };
  });

  afterAll(async () => {
    await opened.dataSource.destroy();
    await database.stop();
  });

  const here = refused.filter(([, , , only = [database.name]]) => only.includes(database.name));
  it.each(here.map(([name, run, ...rest]) => ({ name, run, column: rest.length > 0 ? rest[0] : 'Person.name' })))(
    '$name',
    async ({ run, column }) => {
      // Some are refused while the statement is built.
      const error: unknown = await Promise.resolve()
        .then(() => run(context))
        .then(
          () => undefined,
          (reason: unknown) => reason,
        );
      expect(error).toMatchObject({ code: 'ERR_DATA_OPERATION_REFUSED', fault: 'caller', column });
      expect(String((error as Error).message)).toMatch(/the way out: \w/);
      expect(String((error as Error).message)).not.toMatch(secretPattern);
      expect(opened.log.take().filter((statement) => secretPattern.test(statement))).toEqual([]);
    },
  );

  it('refuses values of another type, naming the type and not the value', async () => {
    const wrong: readonly [Partial<Record<keyof Person, unknown>>, string][] = [
      [{ name: 424242 }, 'Person.name: want a well-formed string, got number'],
      [{ name: 'SECRET \ud800' }, 'Person.name: want a well-formed string, got string'],
      [{ name: { constructor: { name: 'SECRET' } } }, 'Person.name: want a well-formed string, got Object'],
      [{ height: 'SECRET' }, 'Person.height: want a number, got string'],
      [{ balance: 2n ** 63n }, 'Person.balance: want a bigint of at most 64 bits, got bigint'],
      [{ smoker: 1 }, 'Person.smoker: want a boolean, got number'],
      [{ born: '1961-04-12' }, 'Person.born: want a valid Date, got string'],
      [{ born: new Date('SECRET') }, 'Person.born: want a valid Date, got Date'],
      [{ history: { amount: 987654321n } }, 'Person.history: want a value JSON can hold, got Object'],
      ...[{ a: [NaN] }, { a: -Infinity }, { a: new Date(NaN) }, { a: new Map([['SECRET', 1]]) }, new Set([1])].map(
        (history): (typeof wrong)[number] => [
          { history },
          `Person.history: want a value JSON can hold, got ${history instanceof Set ? 'Set' : 'Object'}`,
        ],
      ),
      [{ photo: 'SECRET' }, 'Person.photo: want a Buffer or Uint8Array, got string'],
    ];
    for (const [change, message] of wrong) {
      const person = context.people.create({ name: 'x', ...(change as Partial<Person>) });
      await expect(context.people.save(person)).rejects.toMatchObject({ code: 'ERR_DATA_VALUE_INVALID', message });
    }
    expect(opened.log.take().filter((statement) => secretPattern.test(statement))).toEqual([]);
    expect(await stored(context.dataSource, 'person')).not.toContainEqual(expect.objectContaining({ name: 'x' }));
  });
});
