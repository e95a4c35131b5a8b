import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { DataEncryption } from '@nest-hsm/data-encryption';
import { Hsm } from '@nest-hsm/hsm';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { TestMariadb, whyNoMariadb } from '../support/mariadb.js';
import { TestPostgres } from '../support/postgres.js';
import { TestToken } from '../support/token.js';
import { Patient } from './patient.entity.js';

const rows = 24_000;
const writers = 2_000;

interface Server {
  readonly options: DataSourceOptions;
  stop(): Promise<void>;
}

const servers: readonly (readonly [string, () => Promise<Server>])[] = [
  [
    'PostgreSQL',
    async () => {
      const postgres = await TestPostgres.start();
      return { options: { type: 'postgres', url: await postgres.database('patients') }, stop: () => postgres.stop() };
    },
  ],
  [
    'MariaDB',
    async () => {
      const mariadb = await TestMariadb.start();
      return { options: { type: 'mariadb', ...(await mariadb.database('patients')) }, stop: () => mariadb.stop() };
    },
  ],
];
if (whyNoMariadb !== undefined) it.skip(`on MariaDB: ${whyNoMariadb}`, () => undefined);
const present = servers.filter(([name]) => name !== 'MariaDB' || whyNoMariadb === undefined);

describe.each(present)('encrypting anew under writers and kills on %s', (_, start) => {
  let token: TestToken;
  let server: Server;
  let hsm: Hsm;
  let dataSource: DataSource;
  let encryption: DataEncryption;
  let database: DataSourceOptions;

  beforeAll(async () => {
    token = new TestToken('data');
    server = await start();
    database = server.options;
    hsm = await Hsm.open(token.config());
    dataSource = new DataSource({ ...database, entities: [Patient], synchronize: true });
    encryption = new DataEncryption({ hsm, kekLabel: 'kek', createKek: true, databaseId: 'patients', leaseSeconds: 1 });
    encryption.attach(dataSource);
    await dataSource.initialize();
    for (let start = 0; start < rows; start += 1_000) {
      const ids = Array.from({ length: 1_000 }, (_, index) => start + index);
      await dataSource.manager.insert(
        Patient,
        ids.map((id) => ({ id, name: `first ${id}`, diagnosis: 'none' })),
      );
    }
  });

  afterAll(async () => {
    await dataSource.destroy();
    await hsm.close();
    await server.stop();
    token.remove();
  });

  const reencrypt = (): ChildProcess =>
    spawn(
      process.execPath,
      ['dist/apps/cli/main.js', 'data', 'reencrypt', '--workers', '2', '-d', 'test/e2e/patients-data-source.mjs'],
      { env: { ...process.env, PATIENTS: JSON.stringify({ database, hsm: token.config() }) }, stdio: 'inherit' },
    );

  it('loses no write and leaves nothing on the old key', async () => {
    const [key] = await encryption.lifecycle.rotate('Patient');
    const written = new Map<number, string>();
    let isOver = false;
    // Each writes rows of its own, one after the other.
    const writing = Array.from({ length: writers }, async (_, writer) => {
      for (let turn = 0; !isOver; turn++) {
        const id = writer + writers * (turn % (rows / writers));
        const name = `written ${id} ${turn}`;
        await dataSource.manager.update(Patient, { id }, { name });
        written.set(id, name);
        await delay(200);
      }
    });

    for (let kills = 0; kills < 3; kills++) {
      const child = reencrypt();
      const closed = once(child, 'close');
      const before = (await encryption.lifecycle.reencryption('Patient'))?.rows ?? 0;
      // Somewhere in the middle of a page, once it has come further.
      while (((await encryption.lifecycle.reencryption('Patient'))?.rows ?? 0) <= before && child.exitCode === null) {
        await delay(20);
      }
      await delay(50 + 40 * kills);
      child.kill('SIGKILL');
      await closed;
    }
    const [code] = (await once(reencrypt(), 'close')) as [number | null];
    expect(code).toBe(0);
    isOver = true;
    await Promise.all(writing);

    const verification = await encryption.lifecycle.verify('Patient');
    expect(verification).toMatchObject({ rows, sound: 2 * rows, failed: 0 });
    expect([...verification.keys]).toEqual([[key, 2 * rows]]);
    const names = new Map((await dataSource.manager.find(Patient)).map(({ id, name }) => [id, name]));
    expect(written.size).toBeGreaterThan(writers);
    for (const [id, name] of names) expect(name).toBe(written.get(id) ?? `first ${id}`);
  }, 300_000);
});
