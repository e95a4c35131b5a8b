import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { DataSource, DataSourceOptions } from 'typeorm';
import { testDatabases } from '../../../test/typeorm/databases.js';
import {
  type EncryptedDatabase,
  encryptedDatabase,
  somebody,
  stored,
  Witness,
} from '../../../test/typeorm/encrypted-database.js';
import { Invoice, Letter, Membership, Person, Pet } from '../../../test/typeorm/entities.js';
import { headerCharacters, parseHeader } from '../../envelope.js';
import { RangeStore } from '../store/range.store.js';
import type { DataLifecycle } from './data-lifecycle.js';

/** Columns of `somebody` that hold cells. */
const cellsOfPerson = 9;

describe.each(testDatabases())('the life of keys and cells on $name', (database) => {
  let open: EncryptedDatabase[];

  beforeAll(() => database.start());
  beforeEach(() => (open = []));
  afterEach(async () => {
    for (const { dataSource } of open) if (dataSource.isInitialized) await dataSource.destroy();
  });
  afterAll(() => database.stop());

  async function openDatabase(
    options: Partial<DataSourceOptions> = {},
  ): Promise<EncryptedDatabase & { lifecycle: DataLifecycle }> {
    const opened = await encryptedDatabase(database, options, { leaseSeconds: 0.2 });
    open.push(opened);
    return { ...opened, lifecycle: opened.encryption.lifecycle };
  }

  async function keysOf(dataSource: DataSource, table: string): Promise<ReadonlySet<unknown>> {
    const rows = await stored(dataSource, table);
    const cells = rows.flatMap((row) => Object.values(row)).filter((value) => typeof value === 'string');
    return new Set(cells.flatMap((cell) => parseHeader(cell.slice(0, headerCharacters)) ?? []));
  }

  async function addPeople(dataSource: DataSource, count: number): Promise<readonly string[]> {
    const ids = Array.from({ length: count }, () => randomUUID());
    const people = ids.map((id, index) => somebody({ id, name: `SECRET ${index}` }));
    await dataSource.getRepository(Person).insert(people);
    return ids;
  }

  it('encrypts a table anew while others write, past versions, dates and subscribers', async () => {
    const { dataSource, lifecycle, log } = await openDatabase({ subscribers: [Witness] });
    const ids = await addPeople(dataSource, 60);
    const people = dataSource.getRepository(Person);
    const before = await people.findOneByOrFail({ id: ids[0] });
    const [key] = await lifecycle.rotate('Person');
    Witness.names.length = 0;
    log.take();

    let [writes, isOver] = [0, false];
    const writer = (async () => {
      while (!isOver) {
        const id = ids[1 + (writes % 40)];
        await people.update({ id }, { name: `SECRET written ${writes++}` });
        await turn();
      }
    })();
    const seen: number[] = [];
    const result = await lifecycle.reencrypt('Person', {
      pageRows: 7,
      workers: 2,
      onProgress: ({ rows }) => seen.push(rows),
    });
    isOver = true;
    await writer;

    expect(result).toMatchObject({ tableId: 'Person', failed: 0, failedKeys: [] });
    expect(result.replaced).toBeGreaterThan(0);
    expect(Math.max(...seen)).toBe(60);
    expect(await keysOf(dataSource, 'person')).toEqual(new Set([key]));
    expect(Witness.names.filter((name) => !name.startsWith('afterLoad') && !name.startsWith('beforeUpdate'))).toEqual(
      [],
    );
    expect(log.take().filter((statement) => statement.includes('SECRET'))).toEqual([]);
    expect(await people.findOneByOrFail({ id: ids[0] })).toEqual(before);
    const names = (await people.find()).map(({ name }) => name);
    expect(names.filter((name) => name.startsWith('SECRET written')).length).toBe(Math.min(writes, 40));
    expect(await lifecycle.reencryption('Person')).toBeUndefined();
  });

  it('goes on where it was ended', async () => {
    const { dataSource, lifecycle } = await openDatabase();
    await addPeople(dataSource, 50);
    const [key] = await lifecycle.rotate('Person');
    const controller = new AbortController();
    const ended = lifecycle.reencrypt('Person', {
      pageRows: 10,
      signal: controller.signal,
      onProgress: ({ rows }) => rows >= 20 && controller.abort(new Error('enough')),
    });
    await expect(ended).rejects.toThrow('enough');
    expect(await lifecycle.reencryption('Person')).toMatchObject({ pass: 1, rows: 20, ofRows: 50, isFinished: false });
    const { replaced } = await lifecycle.reencrypt('Person', { pageRows: 10 });
    expect(replaced).toBe(30 * cellsOfPerson);
    expect(await keysOf(dataSource, 'person')).toEqual(new Set([key]));
  });

  it('encrypts the tables of composite keys, counted keys and inheritance anew', async () => {
    const { dataSource, lifecycle } = await openDatabase();
    const [pet] = await dataSource.getRepository(Pet).save([{ name: 'Rex' }, { name: 'Bello' }]);
    await dataSource.getRepository(Membership).insert({ club: 'a "b"', petId: pet.id, note: 'n' });
    await dataSource.getRepository(Invoice).save({ title: 't', amount: 7 });
    await dataSource.getRepository(Letter).save({ title: 'u', body: 'b' });
    for (const [tableId, table] of [
      ['Pet', 'pet'],
      ['membership', 'membership'],
      ['Paper', 'paper'],
    ]) {
      const [key] = await lifecycle.rotate(tableId);
      await lifecycle.reencrypt(tableId, { pageRows: 1 });
      expect(await keysOf(dataSource, table)).toEqual(new Set([key]));
    }
    expect(await dataSource.getRepository(Letter).find()).toMatchObject([{ title: 'u', body: 'b' }]);
    expect(await dataSource.getRepository(Membership).find()).toMatchObject([{ note: 'n' }]);
  });

  it('leaves a cell that does not decrypt, names its row, and finds it again when it verifies', async () => {
    const { dataSource, lifecycle } = await openDatabase();
    const [first, second, third] = await addPeople(dataSource, 3);
    const copy = `UPDATE person SET name = (SELECT name FROM person WHERE id = '${first}') WHERE id = '${second}'`;
    await dataSource.query(copy);
    const [key] = await lifecycle.rotate('Person');
    const result = await lifecycle.reencrypt('Person');
    expect(result).toMatchObject({ failed: 1, failedKeys: [[second]], replaced: 2 * cellsOfPerson });
    const verification = await lifecycle.verify('Person');
    expect(verification).toMatchObject({ rows: 3, failed: 1, failedKeys: [[second]], sound: 2 * cellsOfPerson });
    expect([...verification.keys]).toEqual([[key, 2 * cellsOfPerson]]);
    expect(await dataSource.getRepository(Person).findOneByOrFail({ id: third })).toMatchObject({ name: 'SECRET 2' });
  });

  it('finds rows that a search would not, and mends their blind indexes', async () => {
    const { dataSource, lifecycle } = await openDatabase();
    const [older, copied] = await addPeople(dataSource, 3);
    await dataSource.query(`UPDATE person SET mail_blind_index = NULL WHERE id = '${older}'`);
    await dataSource.query(`UPDATE person SET mail_blind_index = 'x' WHERE id = '${copied}'`);
    const people = dataSource.getRepository(Person);
    expect(await people.countBy({ email: 'secret@EXAMPLE.org' })).toBe(1);
    const { misindexed, misindexedKeys, failed } = await lifecycle.verify('Person');
    expect({ misindexed, failed }).toEqual({ misindexed: 2, failed: 0 });
    expect(new Set(misindexedKeys.flat())).toEqual(new Set([older, copied]));
    await lifecycle.reencrypt('Person');
    expect(await people.countBy({ email: 'secret@EXAMPLE.org' })).toBe(3);
    expect(await lifecycle.verify('Person')).toMatchObject({ misindexed: 0, sound: 3 * cellsOfPerson });
  });

  it('puts data keys under the newest KEK, after which the old one is not needed', async () => {
    const { dataSource, lifecycle, kek } = await openDatabase();
    const [id] = await addPeople(dataSource, 1);
    const old = await kek.findKey({ label: 'kek' });
    const next = kek.addKey('kek');
    const keys = await lifecycle.keys();
    expect(await lifecycle.rewrap()).toEqual({ kekVersion: next.id, rewrapped: keys.length, current: 0 });
    expect(await lifecycle.rewrap()).toEqual({ kekVersion: next.id, rewrapped: 0, current: keys.length });
    expect(new Set((await lifecycle.keys()).map(({ kekVersion }) => kekVersion))).toEqual(new Set([next.id]));
    kek.removeKey(old.id);
    await dataSource.destroy();
    await dataSource.initialize();
    if (database.name !== 'SQLite')
      expect(await dataSource.getRepository(Person).findOneByOrFail({ id })).toMatchObject({ name: 'SECRET 0' });
    else expect((await lifecycle.keys()).length).toBeGreaterThan(0);
  });

  it('goes on putting data keys under the newest KEK when the HSM has come back', async () => {
    const { lifecycle, kek } = await openDatabase();
    const next = kek.addKey('kek');
    kek.down();
    await expect(lifecycle.rewrap()).rejects.toMatchObject({ code: 'ERR_DATA_KEY_UNAVAILABLE' });
    kek.up();
    await lifecycle.rewrap();
    expect(new Set((await lifecycle.keys()).map(({ kekVersion }) => kekVersion))).toEqual(new Set([next.id]));
  });

  it('retires no key while the HSM cannot make another', async () => {
    const { dataSource, lifecycle, kek } = await openDatabase();
    kek.down();
    await expect(lifecycle.rotate('Person')).rejects.toMatchObject({ code: 'ERR_DATA_KEY_UNAVAILABLE' });
    await expect(addPeople(dataSource, 1)).resolves.toHaveLength(1);
  });

  it('takes over a range whose worker is gone, though the clock says that it is held', async () => {
    const { dataSource } = await openDatabase();
    const session = dataSource.createQueryRunner();
    const [gone, here] = [new RangeStore(session, 'Person'), new RangeStore(session, 'Person', 50)];
    await gone.begin(1, [{ ofRows: 1 }]);
    const held = await gone.take(1);
    await dataSource.query(`UPDATE data_encryption_range SET held_until = '9999-01-01T00:00:00.000Z'`);
    expect(await here.take(1)).toBeUndefined();
    let taken;
    while (taken === undefined) taken = await here.take(1);
    expect(taken).toEqual(held);
    const nothing = { rows: 0, replaced: 0, missed: 0, failed: 0 };
    expect(await gone.advance(taken, undefined, nothing)).toBe(false);
    expect(await here.advance(taken, undefined, nothing)).toBe(true);
    await session.release();
  });

  it('puts a key in the place of one that was retired by SQL alone', async () => {
    const { dataSource, lifecycle } = await openDatabase();
    await dataSource.query(`UPDATE data_encryption_key SET state = 'retired' WHERE purpose = 'cell'`);
    const [key] = await lifecycle.rotate('Person');
    await addPeople(dataSource, 1);
    expect(await keysOf(dataSource, 'person')).toEqual(new Set([key]));
  });

  it('rotates no key that is not the tenant’s', async () => {
    const { lifecycle } = await openDatabase();
    expect(await lifecycle.rotate('Person', 'north')).toEqual([]);
    expect((await lifecycle.keys()).filter(({ state }) => state === 'retired')).toEqual([]);
  });

  it('refuses a table that it does not know', async () => {
    const { lifecycle } = await openDatabase();
    await expect(lifecycle.rotate('person')).rejects.toMatchObject({
      code: 'ERR_DATA_CONFIG_INVALID',
      message: expect.stringContaining('want one of Account, Employer') as string,
    });
  });
});
