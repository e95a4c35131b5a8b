import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hsm } from '@nest-hsm/hsm';
import { DataEncryption, EncryptedColumn, withDataEncryption } from '@nest-hsm/data-encryption';
import { DataSource, type DataSourceOptions, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { TestPostgres } from '../support/postgres.js';
import { childrenOf } from '../support/processes.js';
import { TestToken } from '../support/token.js';

@Entity()
class Patient {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @EncryptedColumn()
  name: string;

  @EncryptedColumn({ type: 'date', nullable: true })
  born: Date | null;
}

describe('column encryption under a KEK in SoftHSM', () => {
  let token: TestToken;
  let hsm: Hsm;
  let directory: string;
  let postgres: TestPostgres | undefined;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'nest-hsm-data-'));
    token = new TestToken('data');
    hsm = await Hsm.open(token.config());
  });

  afterAll(async () => {
    await postgres?.stop();
    await hsm.close();
    token.remove();
    rmSync(directory, { recursive: true });
  });

  const patient = { name: 'SECRET Ada', born: new Date('1815-12-10T00:00:00Z') };
  const config = (database: string) => ({ hsm, kekLabel: `kek-${database}`, createKek: true, databaseId: database });

  it('sqlite3 sees ciphertext only; the KEK stays on the token', async () => {
    const database = join(directory, 'patients.sqlite');
    const options: DataSourceOptions = { type: 'better-sqlite3', database, entities: [Patient], synchronize: true };
    const first = await withDataEncryption(new DataSource(options), config('sqlite')).initialize();
    await first.manager.save(Patient, { ...patient });
    await first.destroy();
    const dump = execFileSync('sqlite3', [database, '.dump'], { encoding: 'utf8' });
    expect(dump).toMatch(/nhsm/);
    expect(dump).not.toMatch(/SECRET|1815/);

    const second = await withDataEncryption(new DataSource(options), config('sqlite')).initialize();
    expect(await second.manager.find(Patient)).toMatchObject([patient]);
    await second.destroy();
    const [kek] = await hsm.listKeys({ label: 'kek-sqlite' });
    expect(kek).toMatchObject({ algorithm: 'aes-256', usage: 'encrypt', extractable: false });
  });

  it('survives its agent, and a data key retired after a restore, on PostgreSQL', async () => {
    postgres = await TestPostgres.start();
    const options: DataSourceOptions = {
      type: 'postgres',
      url: await postgres.database('patients'),
      entities: [Patient],
      synchronize: true,
    };
    const encryption = new DataEncryption({ ...config('postgres'), maxAgeSeconds: 1 });
    const dataSource = new DataSource(options);
    encryption.attach(dataSource);
    await dataSource.initialize();
    await dataSource.manager.save(Patient, { ...patient });
    for (const agent of childrenOf(process.pid)) {
      // Only ours: PostgreSQL's server is a child of this process too.
      if (execFileSync('ps', ['-o', 'args=', '-p', String(agent)], { encoding: 'utf8' }).includes('agent'))
        process.kill(agent, 'SIGKILL');
    }
    await dataSource.query(`UPDATE data_encryption_key SET state = 'retired', active_scope = NULL`);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await dataSource.manager.save(Patient, { ...patient, name: 'SECRET Eve' });
    const found = await dataSource.manager.find(Patient);
    expect(found.map(({ name }) => name).sort()).toEqual(['SECRET Ada', 'SECRET Eve']);
    const keys = await dataSource.query<{ state: string }[]>('SELECT state FROM data_encryption_key ORDER BY state');
    expect(keys.map(({ state }) => state)).toEqual(['active', 'retired']);
    expect(await encryption.check()).toMatchObject({ state: 'ready' });
    await dataSource.destroy();
  });
});
