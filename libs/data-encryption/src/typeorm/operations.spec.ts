import { once } from 'node:events';
import { And, Brackets, type DataSource, In, IsNull, Like, Not, type Repository } from 'typeorm';
import { type TestDatabase, testDatabases } from '../../test/typeorm/databases.js';
import {
  emptyTables,
  encryptedDatabase,
  type EncryptedDatabase,
  secretPattern,
  somebody,
  stored,
  Witness,
} from '../../test/typeorm/encrypted-database.js';
import {
  type Employer,
  Invoice,
  Letter,
  Membership,
  Paper,
  Person,
  Pet,
  Town,
  Visit,
} from '../../test/typeorm/entities.js';

interface Context {
  readonly dataSource: DataSource;
  readonly people: Repository<Person>;
  readonly pets: Repository<Pet>;
  readonly log: EncryptedDatabase['log'];
}

type Operation = readonly [
  name: string,
  run: (context: Context) => Promise<void>,
  only?: readonly TestDatabase['name'][],
];

const others = (person: Partial<Person>) => {
  const { name, email, height, balance, smoker, born, history, photo, address } = person;
  return { name, email, height, balance, smoker, born, history, photo, address };
};

/** TypeORM updates a relation that is null whenever its entity is saved. */
const employed = (change: Partial<Person> = {}) =>
  somebody({ employer: { title: 'SECRET Ltd' } as Employer, ...change });

const operations: readonly Operation[] = [
  [
    'save and find: every type of value',
    async ({ people, dataSource }) => {
      const saved = await people.save(people.create(somebody()));
      expect(others(saved)).toEqual(somebody0());
      expect(others(await people.findOneByOrFail({ id: saved.id }))).toEqual(somebody0());
      const [row] = await stored(dataSource, 'person');
      for (const column of [
        'name',
        'mail',
        'height',
        'balance',
        'smoker',
        'born',
        'history',
        'photo',
        'addressStreet',
      ]) {
        expect(row[column]).toMatch(/^nhsm[A-Za-z0-9+/=]+$/);
      }
      expect(row.addressTown).toBe('Wien');
    },
  ],
  [
    'empty and odd values',
    async ({ people }) => {
      const odd = {
        name: '',
        height: -0,
        balance: 0n,
        smoker: false,
        born: new Date(0),
        history: [],
        photo: Buffer.alloc(0),
      };
      const { id } = await people.save(people.create(odd));
      const found = await people.findOneByOrFail({ id });
      expect(found).toMatchObject({ ...odd, height: expect.any(Number), photo: expect.any(Buffer) });
      expect(Object.is(found.height, -0)).toBe(true);
      expect(found.photo).toHaveLength(0);
    },
  ],
  [
    'null is NULL and stays null',
    async ({ people, dataSource }) => {
      const { id } = await people.save(people.create({ name: 'SECRET', email: null }));
      expect((await people.findOneByOrFail({ id })).email).toBeNull();
      const [row] = await stored(dataSource, 'person');
      expect([row.mail, row.height]).toEqual([null, null]);
      await people.update(id, { email: 'SECRET' });
      await people.update({ city: 'nowhere' }, { email: null });
      expect((await people.findOneByOrFail({ id })).email).toBeNull();
    },
  ],
  [
    'save many, and save again what has changed',
    async ({ people }) => {
      const saved = await people.save(
        [employed({ name: 'SECRET 1' }), employed({ name: 'SECRET 2' })].map((each) => people.create(each)),
      );
      saved[1].name = 'SECRET two';
      saved[1].history = { changed: 'SECRET' };
      await people.save(saved);
      const found = await people.find({ order: { version: 'ASC' } });
      expect(found.map(({ name, version }) => [name, version])).toEqual([
        ['SECRET 1', 1],
        ['SECRET two', 2],
      ]);
      expect(found[1].history).toEqual({ changed: 'SECRET' });
    },
  ],
  [
    'save of an unchanged entity sends no UPDATE',
    async ({ people, log }) => {
      const { id } = await people.save(people.create(employed()));
      const loaded = await people.findOneByOrFail({ id });
      loaded.history = { a: 424242, z: ['SECRET', null, { deep: 'SECRET' }] };
      log.take();
      await people.save(loaded);
      await people.save(people.create({ ...somebody(), id }));
      const statements = log.take();
      expect(statements.filter((statement) => statement.includes('UPDATE'))).toEqual([]);
      expect(statements.join()).not.toMatch(secretPattern);
    },
  ],
  [
    'insert: one, many, and through a query builder',
    async ({ people, dataSource }) => {
      const one = people.create(somebody({ name: 'SECRET one' }));
      const { identifiers } = await people.insert(one);
      expect(identifiers[0].id).toBe(one.id);
      expect(one.name).toBe('SECRET one');
      await people.insert([people.create(somebody({ name: 'SECRET two' })), people.create({ name: 'SECRET three' })]);
      await dataSource
        .createQueryBuilder()
        .insert()
        .into(Person)
        .values([somebody({ name: 'SECRET four' })])
        .execute();
      const names = (await people.find()).map(({ name }) => name).sort();
      expect(names).toEqual(['SECRET four', 'SECRET one', 'SECRET three', 'SECRET two']);
    },
  ],
  [
    'insert with keys that the database counts up',
    async ({ pets, dataSource }) => {
      const [first, second] = await pets.save([
        pets.create({ name: 'SECRET Rex' }),
        pets.create({ name: 'SECRET Bello' }),
      ]);
      expect(second.id).toBe(first.id + 1);
      const third = pets.create({ name: 'SECRET Tom' });
      const result = await pets.insert(third);
      expect([third.id, Number(result.identifiers[0].id)]).toEqual([second.id + 1, second.id + 1]);
      await dataSource.transaction(async (manager) => {
        await manager.save(Pet, { name: 'SECRET in a transaction' });
      });
      const found = await pets.find({ order: { id: 'ASC' } });
      expect(found.map(({ name }) => name)).toEqual([
        'SECRET Rex',
        'SECRET Bello',
        'SECRET Tom',
        'SECRET in a transaction',
      ]);
    },
  ],
  [
    'insert with a key given for a counted column',
    async ({ pets }) => {
      await pets.insert([{ id: 41, name: 'SECRET 41' }, { name: 'SECRET 42' }]);
      await pets.insert({ name: 'SECRET 43' });
      const found = await pets.find({ order: { id: 'ASC' } });
      expect(found.map(({ id, name }) => name === `SECRET ${id}`)).toEqual([true, true, true]);
    },
    ['SQLite', 'MariaDB'],
  ],
  [
    'insert that names its columns',
    async ({ dataSource, pets }) => {
      await dataSource
        .createQueryBuilder()
        .insert()
        .into(Pet, ['name', 'kind'])
        .values({ name: 'SECRET', kind: 'cat' })
        .execute();
      expect(await pets.find()).toMatchObject([{ name: 'SECRET', kind: 'cat' }]);
    },
  ],
  [
    'insert with SQL expressions in plain columns',
    async ({ dataSource, people }) => {
      const values = { name: 'SECRET', city: () => "upper('linz')" };
      await dataSource.createQueryBuilder().insert().into(Person).values(values).execute();
      expect(await people.find()).toMatchObject([{ name: 'SECRET', city: 'LINZ' }]);
    },
  ],
  [
    'insert or ignore',
    async ({ dataSource }) => {
      const visit = { code: 'a', reason: 'SECRET 1' };
      for (const reason of ['SECRET 1', 'SECRET 2']) {
        await dataSource
          .createQueryBuilder()
          .insert()
          .into(Visit)
          .values({ ...visit, reason })
          .orIgnore()
          .execute();
      }
      expect(await dataSource.getRepository(Visit).find()).toMatchObject([visit]);
    },
  ],
  [
    'composite keys',
    async ({ dataSource, pets }) => {
      const memberships = dataSource.getRepository(Membership);
      const pet = await pets.save({ name: 'SECRET' });
      await memberships.save(memberships.create({ club: 'x', pet, note: 'SECRET x' }));
      await memberships.insert({ club: 'y', petId: pet.id, note: 'SECRET y' });
      await memberships.update({ club: 'y', petId: pet.id }, { note: 'SECRET z' });
      const found = await memberships.find({ order: { club: 'ASC' } });
      expect(found.map(({ note }) => note)).toEqual(['SECRET x', 'SECRET z']);
    },
  ],
  [
    'upper-case uuid: bound as it is stored',
    async ({ people }) => {
      const id = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11';
      await people.insert(people.create({ id, name: 'SECRET 1' }));
      expect((await people.findOneByOrFail({ id })).name).toBe('SECRET 1');
      await people.update(id, { name: 'SECRET 2' });
      await people.update({ id }, { email: 'SECRET 3' });
      expect(await people.find()).toMatchObject([{ name: 'SECRET 2', email: 'SECRET 3' }]);
      const [loaded] = await people.find();
      loaded.name = 'SECRET 4';
      await people.save(loaded);
      expect((await people.findOneByOrFail({ id })).name).toBe('SECRET 4');
    },
  ],
  [
    'update: by id, by ids, by criteria, by builder, of all rows',
    async ({ people, dataSource }) => {
      const [one, two] = await people.save([somebody(), somebody({ city: 'Graz' })].map((each) => people.create(each)));
      await people.update(one.id, { name: 'SECRET by id' });
      expect((await people.findOneByOrFail({ id: one.id })).name).toBe('SECRET by id');
      const { affected } = await people.update([one.id, two.id], { email: 'SECRET both' });
      expect(affected).toBe(2);
      await people.update({ city: 'Graz' }, { name: 'SECRET by criteria', visits: () => 'visits + 1' });
      await dataSource
        .createQueryBuilder()
        .update(Person)
        .set({ height: 424242 })
        .where('city = :city', { city: 'Graz' })
        .execute();
      await people.updateAll({ smoker: false });
      const found = await people.find({ order: { city: 'DESC' } });
      expect(found).toMatchObject([
        { name: 'SECRET by id', email: 'SECRET both', smoker: false, visits: 0 },
        { name: 'SECRET by criteria', email: 'SECRET both', smoker: false, visits: 1, height: 424242 },
      ]);
      expect((await people.update({ city: 'Bregenz' }, { name: 'SECRET nobody' })).affected).toBe(0);
    },
  ],
  [
    'update of many rows is one transaction',
    async ({ people, dataSource }) => {
      await people.save([somebody({ visits: 1 }), somebody({ visits: 2 })].map((each) => people.create(each)));
      await expect(
        dataSource.transaction(async (manager) => {
          await manager.update(Person, { city: 'Wien' }, { name: 'SECRET changed' });
          throw new Error('undone');
        }),
      ).rejects.toThrow('undone');
      expect((await people.find()).map(({ name }) => name)).toEqual(['SECRET Ada', 'SECRET Ada']);
    },
  ],
  [
    'update through the entity of a query builder',
    async ({ people, dataSource }) => {
      const [one, two] = await people.save([somebody(), somebody()].map((each) => people.create(each)));
      await dataSource.createQueryBuilder().update(Person).set({ name: 'SECRET one' }).whereEntity(one).execute();
      expect(one.version).toBe(2);
      const builder = dataSource.createQueryBuilder().update(Person).set({ name: 'SECRET both' });
      await builder.whereEntity([one, two]).execute();
      expect([one.version, two.version]).toEqual([3, 2]);
      expect((await people.find()).map(({ name }) => name)).toEqual(['SECRET both', 'SECRET both']);
    },
  ],
  [
    'conditions that an update adds to its entity hold',
    async ({ people, dataSource }) => {
      const [one, two] = await people.save([somebody(), somebody({ city: 'Graz' })].map((each) => people.create(each)));
      const builder = dataSource.createQueryBuilder().update(Person).set({ name: 'SECRET changed' });
      const { affected } = await builder.whereEntity([one, two]).andWhere('city = :city', { city: 'Graz' }).execute();
      // TypeORM joins the entities' conditions by OR: its own precedence, kept as it is.
      expect(affected).toBe((await people.find()).filter(({ name }) => name === 'SECRET changed').length);
    },
  ],
  [
    'update with an OR beside the key changes the rows of both',
    async ({ people, dataSource }) => {
      const [one] = await people.save([somebody(), somebody({ city: 'Graz' })].map((each) => people.create(each)));
      const builder = dataSource.createQueryBuilder().update(Person).set({ name: 'SECRET changed' });
      await builder.where("city = 'Graz' OR city = 'Linz'").orWhere({ id: one.id }).execute();
      expect((await people.find()).map(({ name }) => name)).toEqual(['SECRET changed', 'SECRET changed']);
    },
  ],
  [
    'upsert by primary key',
    async ({ dataSource }) => {
      const visits = dataSource.getRepository(Visit);
      await visits.upsert(
        [
          { code: 'a', reason: 'SECRET 1' },
          { code: 'b', reason: 'SECRET 2' },
        ],
        ['code'],
      );
      await visits.upsert(
        [
          { code: 'b', reason: 'SECRET 3' },
          { code: 'c', reason: 'SECRET 4' },
        ],
        ['code'],
      );
      const found = await visits.find({ order: { code: 'ASC' } });
      expect(found.map(({ reason }) => reason)).toEqual(['SECRET 1', 'SECRET 3', 'SECRET 4']);
    },
  ],
  [
    'find: where, in, not, null tests, or, embedded and relation conditions on plain columns',
    async ({ people }) => {
      await people.save(people.create({ ...somebody(), employer: { title: 'SECRET Ltd' } as Employer }));
      await people.save(people.create({ name: 'SECRET Eve', city: 'Graz', address: {} }));
      const find = async (where: Parameters<typeof people.findBy>[0]) =>
        (await people.findBy(where)).map(({ name }) => name).sort();
      expect(await find({ city: 'Graz' })).toEqual(['SECRET Eve']);
      expect(await find({ city: In(['Graz', 'Wien']) })).toEqual(['SECRET Ada', 'SECRET Eve']);
      expect(await find({ city: Like('G%') })).toEqual(['SECRET Eve']);
      expect(await find({ email: IsNull() })).toEqual(['SECRET Eve']);
      expect(await find({ email: Not(IsNull()) })).toEqual(['SECRET Ada']);
      expect(await find({ email: And(Not(IsNull()), Not(IsNull())) })).toEqual(['SECRET Ada']);
      expect(await find([{ email: IsNull() }, { city: 'Wien' }])).toEqual(['SECRET Ada', 'SECRET Eve']);
      expect(await find({ address: { town: 'Wien' } })).toEqual(['SECRET Ada']);
      expect(await find({ address: { street: IsNull() } })).toEqual(['SECRET Eve']);
      expect(await find({ employer: { title: Not(IsNull()) } })).toEqual(['SECRET Ada']);
    },
  ],
  [
    'find: paging with and without joins, counting, existing',
    async ({ people, pets }) => {
      const owner = await people.save(
        people.create({
          ...somebody(),
          pets: [pets.create({ name: 'SECRET Rex' }), pets.create({ name: 'SECRET Bello' })],
        }),
      );
      await people.save(people.create(somebody({ city: 'Graz' })));
      expect(await people.findAndCount({ take: 1, order: { city: 'DESC' } })).toMatchObject([
        [{ id: owner.id, name: 'SECRET Ada' }],
        2,
      ]);
      const [found, count] = await people.findAndCount({ relations: { pets: true }, take: 1, order: { city: 'DESC' } });
      expect([found[0].pets?.length, count]).toEqual([2, 2]);
      expect(await people.findAndCount({ select: { id: true, name: true }, take: 1 })).toMatchObject([
        [{ name: 'SECRET Ada' }],
        2,
      ]);
      expect(await people.count({ where: { email: Not(IsNull()) } })).toBe(2);
      expect(await people.existsBy({ city: 'Graz' })).toBe(true);
      expect(await people.sum('visits')).toBe(0);
    },
  ],
  [
    'find: part of the columns, the key not among them',
    async ({ people, dataSource }) => {
      await people.save(people.create(somebody()));
      expect(await people.find({ select: { name: true } })).toEqual([expect.objectContaining({ name: 'SECRET Ada' })]);
      const visits = dataSource.getRepository(Visit);
      await visits.insert({ code: 'v', reason: 'SECRET', hidden: 'SECRET hidden' });
      expect((await visits.find())[0].hidden).toBeUndefined();
      const [visit] = await visits.createQueryBuilder('visit').addSelect('visit.hidden').getMany();
      expect(visit.hidden).toBe('SECRET hidden');
      expect(await people.createQueryBuilder('p').select(['p.id', 'p.address.street']).getMany()).toMatchObject([
        { address: { street: 'SECRET street' } },
      ]);
    },
  ],
  [
    'relations: eager, joined, by query, lazy, loaded later',
    async ({ people, pets, dataSource }) => {
      const employer = { title: 'SECRET Ltd' } as Employer;
      const owner = await people.save(
        people.create({
          ...somebody(),
          employer,
          pets: [pets.create({ name: 'SECRET Rex' }), pets.create({ name: 'SECRET Bello' })],
        }),
      );
      expect((await people.findOneByOrFail({ id: owner.id })).employer?.title).toBe('SECRET Ltd');
      for (const relationLoadStrategy of ['join', 'query'] as const) {
        const [found] = await people.find({ relations: { pets: true }, relationLoadStrategy });
        expect([found.name, ...(found.pets ?? []).map(({ name }) => name).sort()]).toEqual([
          'SECRET Ada',
          'SECRET Bello',
          'SECRET Rex',
        ]);
      }
      const joined = await people
        .createQueryBuilder('p')
        .leftJoinAndSelect('p.pets', 'pet', 'pet.kind = :kind', { kind: 'dog' })
        .getMany();
      expect(joined[0].pets).toHaveLength(2);
      const visits = dataSource.getRepository(Visit);
      const made = visits.create({ code: 'v', reason: 'SECRET' });
      made.person = Promise.resolve(owner);
      await visits.save(made);
      const visit = await visits.findOneByOrFail({ code: 'v' });
      expect((await visit.person)?.name).toBe('SECRET Ada');
      const loaded = await dataSource.createQueryBuilder().relation(Person, 'pets').of(owner).loadMany<Pet>();
      expect(loaded.map(({ name }) => name).sort()).toEqual(['SECRET Bello', 'SECRET Rex']);
      await dataSource.createQueryBuilder().relation(Person, 'employer').of(owner).set(null);
      expect((await people.findOneByOrFail({ id: owner.id })).employer).toBeNull();
    },
  ],
  [
    'a joined row that is repeated is decrypted for each',
    async ({ people, pets }) => {
      const owner = await people.save(people.create(somebody()));
      await pets.save([1, 2, 3].map((n) => pets.create({ name: `SECRET ${n}`, owner })));
      const found = await pets.find({ relations: { owner: true }, order: { id: 'ASC' } });
      expect(found.map(({ owner }) => owner?.name)).toEqual(['SECRET Ada', 'SECRET Ada', 'SECRET Ada']);
      expect(found[0].owner?.history).not.toBe(found[1].owner?.history);
    },
  ],
  [
    'query builder: text conditions, brackets, subqueries and EXISTS on plain columns',
    async ({ people, pets }) => {
      const owner = await people.save(people.create({ ...somebody(), pets: [pets.create({ name: 'SECRET Rex' })] }));
      const found = await people
        .createQueryBuilder('p')
        .where('p.city = :city AND p.email IS NOT NULL', { city: 'Wien' })
        .andWhere(new Brackets((or) => or.where('p.visits > 5').orWhere({ address: { town: 'Wien' } })))
        .andWhere(
          (builder) =>
            `p.id IN ${builder.subQuery().select('pet.ownerId').from(Pet, 'pet').where("pet.kind = 'dog'").getQuery()}`,
        )
        .andWhereExists(pets.createQueryBuilder('other').where('other.ownerId = p.id'))
        .orderBy('p.city')
        .getMany();
      expect(found).toMatchObject([{ id: owner.id, name: 'SECRET Ada' }]);
    },
  ],
  [
    'raw results: all columns, aliases, one',
    async ({ people }) => {
      const { id } = await people.save(people.create(somebody()));
      const [raw] = await people.createQueryBuilder('p').getRawMany<Record<string, unknown>>();
      expect(raw).toMatchObject({
        p_id: id,
        p_name: 'SECRET Ada',
        p_mail: 'SECRET@example.org',
        p_addressStreet: 'SECRET street',
      });
      expect(raw.p_born).toEqual(somebody().born);
      const aliased = await people
        .createQueryBuilder('p')
        .select('p.id', 'key')
        .addSelect('p.name', 'label')
        .addSelect('upper(p.city)', 'town')
        .getRawOne();
      expect(aliased).toEqual({ key: id, label: 'SECRET Ada', town: 'WIEN' });
      const both = await people.createQueryBuilder('p').getRawAndEntities<Record<string, unknown>>();
      expect([both.raw[0].p_name, both.entities[0].name]).toEqual(['SECRET Ada', 'SECRET Ada']);
    },
  ],
  [
    'stream',
    async ({ people }) => {
      await people.save([1, 2, 3].map((n) => people.create(somebody({ name: `SECRET ${n}`, visits: n }))));
      const stream = await people.createQueryBuilder('p').orderBy('p.visits').stream();
      const names: unknown[] = [];
      stream.on('data', (row) => names.push((row as unknown as Record<string, unknown>).p_name));
      await once(stream, 'end');
      expect(names).toEqual(['SECRET 1', 'SECRET 2', 'SECRET 3']);
    },
    ['PostgreSQL', 'MariaDB'],
  ],
  [
    'RETURNING of insert, update, delete and soft delete',
    async ({ people, dataSource }) => {
      const entity = people.create(somebody());
      const inserted = await dataSource
        .createQueryBuilder()
        .insert()
        .into(Person)
        .values(entity)
        .returning('*')
        .execute();
      expect(inserted.raw).toMatchObject([{ name: 'SECRET Ada', mail: 'SECRET@example.org' }]);
      expect(inserted.generatedMaps[0]).toMatchObject({ name: 'SECRET Ada', born: somebody().born });
      expect(entity.name).toBe('SECRET Ada');
      const updated = await dataSource
        .createQueryBuilder()
        .update(Person)
        .set({ name: 'SECRET Eve' })
        .whereEntity(entity)
        .returning(['id', 'name', 'email'])
        .execute();
      expect(updated.raw).toMatchObject([{ name: 'SECRET Eve', mail: 'SECRET@example.org' }]);
      expect([entity.name, entity.version]).toEqual(['SECRET Eve', 2]);
      const many = await dataSource
        .createQueryBuilder()
        .update(Person)
        .set({ email: 'SECRET new' })
        .where("city = 'Wien'")
        .returning('*')
        .execute();
      expect(many.raw).toMatchObject([{ name: 'SECRET Eve', mail: 'SECRET new' }]);
      const softDeleted = await dataSource
        .createQueryBuilder()
        .softDelete()
        .from(Person)
        .where({ id: entity.id })
        .returning(['id', 'name'])
        .execute();
      expect(softDeleted.raw).toMatchObject([{ name: 'SECRET Eve' }]);
      const deleted = await dataSource
        .createQueryBuilder()
        .delete()
        .from(Person)
        .where({ id: entity.id })
        .returning('*')
        .execute();
      expect(deleted.raw).toMatchObject([{ name: 'SECRET Eve' }]);
    },
    ['PostgreSQL'],
  ],
  [
    'RETURNING of insert and delete, which is all that MariaDB has',
    async ({ people, dataSource }) => {
      const entity = people.create(somebody());
      const builder = () => dataSource.createQueryBuilder();
      const inserted = await builder().insert().into(Person).values(entity).returning('*').execute();
      expect(inserted.raw).toMatchObject([{ name: 'SECRET Ada', mail: 'SECRET@example.org' }]);
      expect(inserted.generatedMaps[0]).toMatchObject({ name: 'SECRET Ada', born: somebody().born });
      expect([entity.name, entity.version]).toEqual(['SECRET Ada', 1]);
      expect(() => builder().update(Person).set({ name: 'SECRET Eve' }).returning('*')).toThrow(/RETURNING/);
      const deleted = await builder()
        .delete()
        .from(Person)
        .where({ id: entity.id })
        .returning(['id', 'name'])
        .execute();
      expect(deleted.raw).toMatchObject([{ name: 'SECRET Ada' }]);
    },
    ['MariaDB'],
  ],
  [
    'update of the first rows of an order, which MariaDB alone has',
    async ({ people, dataSource }) => {
      await people.save([1, 2, 3].map((visits) => people.create(somebody({ visits }))));
      const builder = dataSource.createQueryBuilder().update(Person).set({ name: 'SECRET first' });
      await builder.where("city = 'Wien'").orderBy('visits', 'DESC').limit(2).execute();
      const names = (await people.find({ order: { visits: 'ASC' } })).map(({ name }) => name);
      expect(names).toEqual(['SECRET Ada', 'SECRET first', 'SECRET first']);
    },
    ['MariaDB'],
  ],
  [
    'soft delete, restore, remove and delete',
    async ({ people }) => {
      const person = await people.save(people.create(somebody()));
      await people.softRemove(person);
      expect(await people.find()).toEqual([]);
      expect((await people.find({ withDeleted: true }))[0].name).toBe('SECRET Ada');
      await people.recover(person);
      await people.softDelete({ city: 'Wien' });
      await people.restore(person.id);
      expect(await people.find()).toMatchObject([{ name: 'SECRET Ada' }]);
      await people.remove(person);
      await people.save(people.create(somebody()));
      await people.delete({ city: 'Wien' });
      expect(await people.find({ withDeleted: true })).toEqual([]);
    },
  ],
  [
    'transactions: committed and rolled back',
    async ({ people, dataSource }) => {
      await dataSource.transaction((manager) => manager.save(Person, people.create(somebody())));
      await expect(
        dataSource.transaction(async (manager) => {
          await manager.save(Person, people.create(somebody()));
          throw new Error('undone');
        }),
      ).rejects.toThrow('undone');
      expect(await people.find()).toHaveLength(1);
    },
  ],
  [
    'single-table inheritance',
    async ({ dataSource }) => {
      await dataSource.manager.save(Invoice, { title: 'SECRET invoice', amount: 424242 });
      await dataSource.manager.save(Letter, { title: 'SECRET letter', body: 'SECRET body' });
      await dataSource.manager.update(Letter, { title: Not(IsNull()) }, { body: 'SECRET other' });
      const papers = await dataSource.manager.find(Paper);
      expect(
        papers.map((paper) => ({ ...paper })).sort((a, b) => String(a.title).localeCompare(String(b.title))),
      ).toMatchObject([
        { title: 'SECRET invoice', amount: 424242 },
        { title: 'SECRET letter', body: 'SECRET other' },
      ]);
      expect(await dataSource.manager.find(Invoice)).toHaveLength(1);
    },
  ],
  [
    'a failed insert leaves the entity as it was',
    async ({ people, dataSource }) => {
      const taken = await people.save(people.create(somebody()));
      const entity = people.create(somebody({ id: taken.id }));
      const before = { ...entity };
      await expect(people.insert(entity)).rejects.toThrow();
      expect({ ...entity }).toEqual(before);
      const fresh = people.create(somebody({ city: null as unknown as string }));
      await expect(dataSource.manager.insert(Person, fresh)).rejects.toThrow();
      expect(fresh.id).toBeUndefined();
      expect(fresh.name).toBe('SECRET Ada');
    },
  ],
  [
    'other subscribers see plaintext',
    async ({ people }) => {
      Witness.names.length = 0;
      const person = await people.save(people.create(somebody()));
      person.name = 'SECRET Eve';
      await people.save(person);
      await people.findOneByOrFail({ id: person.id });
      expect(Witness.names).toEqual(
        expect.arrayContaining([
          'beforeInsert SECRET Ada',
          'afterInsert SECRET Ada',
          'beforeUpdate SECRET Ada to SECRET Eve',
          'afterLoad SECRET Eve',
        ]),
      );
      expect(Witness.names.join()).not.toContain('nhsm');
    },
  ],
  [
    'subscribers are told once of an update of many rows',
    async ({ people }) => {
      await people.save([somebody(), somebody()].map((each) => people.create(each)));
      Witness.names.length = 0;
      await people.update({ city: 'Wien' }, { name: 'SECRET both' });
      expect(Witness.names).toEqual(['beforeUpdate undefined to SECRET both']);
    },
  ],
  [
    'what a subscriber adds to an update is encrypted',
    async ({ people, dataSource }) => {
      const [one, two] = await people.save([somebody(), somebody()].map((each) => people.create(each)));
      Witness.amend = (values) => (values.email = `SECRET of ${values.comment}`);
      try {
        await people.update(one.id, { comment: 'one' });
        await people.update({ city: 'Wien', id: two.id }, { comment: 'two' });
        expect((await people.find()).map(({ email }) => email).sort()).toEqual(['SECRET of one', 'SECRET of two']);
        const builder = dataSource.createQueryBuilder().update(Person).set({ comment: 'all', name: 'SECRET' });
        await builder.where("city = 'Wien'").useTransaction(true).execute();
        expect((await people.find()).map(({ email }) => email)).toEqual(['SECRET of all', 'SECRET of all']);
        await people.update({ city: 'Wien' }, { comment: 'both' });
        expect((await people.find()).map(({ email }) => email)).toEqual(['SECRET of both', 'SECRET of both']);
      } finally {
        Witness.amend = () => undefined;
      }
    },
  ],
  [
    'the query cache holds ciphertext and answers with plaintext',
    async ({ people, dataSource, log }) => {
      await people.save(people.create(somebody()));
      const find = () => people.find({ cache: { id: 'people', milliseconds: 60_000 } });
      expect(await find()).toMatchObject([{ name: 'SECRET Ada' }]);
      const cached = JSON.stringify(await stored(dataSource, 'query-result-cache'));
      expect(cached).toContain('nhsm');
      expect(cached).not.toMatch(secretPattern);
      log.take();
      expect(await find()).toMatchObject([{ name: 'SECRET Ada', born: somebody().born }]);
      expect(log.take().some((statement) => /FROM ["`]person/.test(statement))).toBe(false);
      await dataSource.queryResultCache?.clear();
    },
  ],
  [
    'entities without encrypted columns are as they were',
    async ({ dataSource }) => {
      const towns = dataSource.getRepository(Town);
      const town = await towns.save({ name: 'Wien' });
      await towns.update({ name: Like('W%') }, { name: () => 'upper(name)' });
      expect(await towns.find({ where: { name: 'WIEN' }, order: { name: 'ASC' } })).toEqual([
        { id: town.id, name: 'WIEN' },
      ]);
      await towns.upsert({ id: town.id, name: 'Linz' }, ['id']);
      expect(
        await towns.createQueryBuilder('t').select('lower(t.name)', 'name').groupBy('t.name').getRawMany(),
      ).not.toEqual([]);
    },
  ],
];

function somebody0(): Partial<Person> {
  return { ...others(somebody()), address: { street: 'SECRET street', town: 'Wien' } };
}

describe.each(testDatabases())('operations on $name', (database) => {
  let opened: EncryptedDatabase;
  let context: Context;

  beforeAll(async () => {
    await database.start();
    opened = await encryptedDatabase(database, { subscribers: [Witness], cache: true });
    const { dataSource, log } = opened;
    context = {
      dataSource,
      log,
      people: dataSource.getRepository(Person),
      pets: dataSource.getRepository(Pet),
    };
  });

  afterAll(async () => {
    await opened.dataSource.destroy();
    await database.stop();
  });

  beforeEach(async () => {
    const tables = ['membership', 'visit', 'pet', 'person', 'employer', 'paper', 'town'];
    await emptyTables(opened.dataSource, tables);
    opened.log.take();
  });

  const here = operations.filter(([, , only = [database.name]]) => only.includes(database.name));
  it.each(here.map(([name, run]) => ({ name, run })))('$name', async ({ run }) => {
    await run(context);
    expect(opened.log.take().filter((statement) => secretPattern.test(statement))).toEqual([]);
  });
});
