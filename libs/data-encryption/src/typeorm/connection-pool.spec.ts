import { setTimeout as delay } from 'node:timers/promises';
import { testDatabases } from '../../test/typeorm/databases.js';
import { encryptedDatabase, somebody } from '../../test/typeorm/encrypted-database.js';
import { Person } from '../../test/typeorm/entities.js';

describe.each(testDatabases('PostgreSQL', 'MariaDB'))('a connection pool of $name', (database) => {
  beforeAll(() => database.start());
  afterAll(() => database.stop());

  it('serves writers that hold all of it when their data key has grown too old', async () => {
    const { dataSource, kek } = await encryptedDatabase(database, {}, { maxAgeSeconds: 1 });
    const people = dataSource.getRepository(Person);
    await people.save(people.create(somebody()));
    await delay(1_100);
    const decryptedBefore = kek.calls.decrypt;
    // Each save is a transaction: it holds its connection while it waits for the key.
    await Promise.all(Array.from({ length: 12 }, () => people.save(people.create(somebody()))));
    // The keys of the cells and of the blind index, each once.
    expect(kek.calls.decrypt).toBe(decryptedBefore + 2);
    expect(await people.count()).toBe(13);
    await dataSource.destroy();
  });
});
