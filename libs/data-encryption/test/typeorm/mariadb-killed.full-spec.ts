import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { TestMariadb, whyNoMariadb } from '../../../../test/support/mariadb.js';
import { describeMariadb, type TestDatabase } from './databases.js';
import { encryptedDatabase, type EncryptedDatabase, somebody } from './encrypted-database.js';
import { Person, Pet } from './entities.js';

describeMariadb(`a MariaDB server that is killed (${whyNoMariadb ?? 'real'})`, () => {
  let server: TestMariadb;
  let opened: EncryptedDatabase;

  beforeAll(async () => {
    server = await TestMariadb.start();
    // A server is killed that has been in use: this one has not yet written all that makes a database.
    await server.shutDown();
    await server.restart();
    const options = { type: 'mariadb' as const, ...(await server.database('test', 'utf8mb4_bin')), poolSize: 12 };
    const database: TestDatabase = {
      name: 'MariaDB',
      start: () => Promise.resolve(),
      options: () => Promise.resolve(options),
      stop: () => Promise.resolve(),
    };
    opened = await encryptedDatabase(database, {}, { leaseSeconds: 0.5, leaseMessages: 65_536 });
  });
  afterAll(async () => {
    await opened.dataSource.destroy();
    await server.stop();
  });

  it('loses no row that was committed, leaves none of half a transaction, and ends what was being encrypted anew', async () => {
    const { dataSource, encryption } = opened;
    const { lifecycle } = encryption;
    const people = dataSource.getRepository(Person);
    const ids = Array.from({ length: 600 }, () => randomUUID());
    await people.insert(ids.map((id, index) => somebody({ id, name: `SECRET ${index}` })));

    const committed = new Map<string, string>();
    let [failures, isOver] = [0, false];
    const writer = async (seat: number) => {
      for (let turn = 0; !isOver; turn++) {
        const id = ids[(seat * 50 + turn) % ids.length];
        const name = `SECRET ${seat} ${turn}`;
        try {
          // Both or neither: a person of that name has a pet of it.
          await dataSource.transaction(async (manager) => {
            await manager.update(Person, { id }, { name });
            await manager.save(Pet, { name, owner: { id } as Person });
          });
          committed.set(`${seat} ${turn}`, name);
        } catch {
          failures++;
          await delay(20);
        }
      }
    };
    const writers = Array.from({ length: 6 }, (_, seat) => writer(seat));
    const kill = async () => {
      for (let round = 0; round < 3; round++) {
        const before = committed.size;
        await lifecycle.rotate('Person');
        const outcome = lifecycle.reencrypt('Person', { pageRows: 20, workers: 2 }).then(
          () => 'ended',
          () => 'failed',
        );
        while (committed.size < before + 20) await delay(10);
        await server.kill();
        expect(await outcome).toBe('failed');
        await server.restart();
        while (committed.size < before + 40) await delay(10);
      }
    };
    await kill().finally(() => (isOver = true));
    await Promise.all(writers);
    expect(failures).toBeGreaterThan(0);

    const [{ tableId }] = [await lifecycle.reencrypt('Person')];
    expect(tableId).toBe('Person');
    const verified = await lifecycle.verify('Person');
    expect(verified).toMatchObject({ rows: 600, failed: 0, misindexed: 0 });
    expect(verified.keys.size).toBe(1);
    expect(await lifecycle.verify('Pet')).toMatchObject({ failed: 0 });
    const pets = await dataSource.getRepository(Pet).find();
    const names = new Set(pets.map(({ name }) => name));
    for (const name of committed.values()) expect(names).toContain(name);
    // An answer that was lost may have been to a commit, never more than one of each writer at each kill.
    expect(pets.length - committed.size).toBeLessThanOrEqual(18);
    expect(new Set(pets.map(({ id }) => id)).size).toBe(pets.length);
  }, 240_000);

  it('says that a transaction is over whose connection was lost, and goes on with another', async () => {
    const { dataSource } = opened;
    const people = dataSource.getRepository(Person);
    const { id } = await people.save(people.create(somebody({ name: 'SECRET before' })));
    const lost = dataSource.transaction(async (manager) => {
      await manager.update(Person, { id }, { name: 'SECRET never' });
      const [{ connection }] = await manager.query<{ connection: number }[]>('SELECT connection_id() AS connection');
      await dataSource.query(`KILL ${connection}`);
      await manager.update(Person, { id }, { name: 'SECRET after' });
    });
    await expect(lost).rejects.toThrow();
    expect(await people.findOneByOrFail({ id })).toMatchObject({ name: 'SECRET before' });
    await people.update({ id }, { name: 'SECRET again' });
    expect(await people.findOneByOrFail({ id })).toMatchObject({ name: 'SECRET again' });
  });
});
