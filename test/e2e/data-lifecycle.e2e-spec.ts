import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hsm } from '@nest-hsm/hsm';
import { withDataEncryption } from '@nest-hsm/data-encryption';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { type Outcome, runProcess } from '../support/scratch-workspace.js';
import { TestToken } from '../support/token.js';
import { Patient } from './patient.entity.js';

describe('nest-hsm data', () => {
  let token: TestToken;
  let directory: string;
  let database: DataSourceOptions;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'nest-hsm-data-'));
    token = new TestToken('data');
    database = { type: 'better-sqlite3', database: join(directory, 'patients.sqlite') };
    await withPatients(async (dataSource) => {
      await dataSource.synchronize();
      const patients = Array.from({ length: 500 }, (_, id) => ({ id, name: `SECRET ${id}`, diagnosis: 'SECRET' }));
      await dataSource.manager.insert(Patient, patients);
    });
  });

  afterAll(() => {
    token.remove();
    rmSync(directory, { recursive: true });
  });

  const data = (...args: string[]): Promise<Outcome> => {
    const PATIENTS = JSON.stringify({ database, hsm: token.config() });
    const command = ['dist/apps/cli/main.js', 'data', ...args, '-d', 'test/e2e/patients-data-source.mjs'];
    return runProcess(process.execPath, command, { env: { ...process.env, PATIENTS } });
  };

  const answer = async <T>(...args: string[]): Promise<T> => {
    const { code, stdout, stderr } = await data(...args, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as T;
  };

  async function withPatients(work: (dataSource: DataSource) => Promise<void>): Promise<void> {
    const hsm = await Hsm.open(token.config());
    const config = { hsm, kekLabel: 'kek', createKek: true, databaseId: 'patients' };
    const dataSource = await withDataEncryption(
      new DataSource({ ...database, entities: [Patient] }),
      config,
    ).initialize();
    await work(dataSource).finally(() => dataSource.destroy());
    await hsm.close();
  }

  it('gives a table another data key, moves its cells to it, and proves them', async () => {
    const [{ dataKey }] = await answer<{ dataKey: string }[]>('rotate', '--table', 'Patient');
    const [{ replaced, failed }] = await answer<{ replaced: number; failed: number }[]>('reencrypt');
    expect({ replaced, failed }).toEqual({ replaced: 1_000, failed: 0 });
    const [verified] = await answer<object[]>('verify', '--table', 'Patient');
    expect(verified).toMatchObject({ rows: 500, sound: 1_000, failed: 0, keys: { [dataKey]: 1_000 } });
    const { code, stdout } = await data('status');
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^Patient +cells +active +${dataKey} `, 'm'));
    expect(stdout).toMatch(/^Patient +cells +retired +[0-9a-f]{32} /m);
    expect(stdout).not.toContain('SECRET');
  });

  it('moves the data keys to the next version of the KEK, so that the old one can go', async () => {
    const hsm = await Hsm.open(token.config());
    const old = await hsm.findKey({ label: 'kek' });
    const next = await hsm.rotateKey('kek');
    const { kekVersion, rewrapped } = await answer<{ kekVersion: string; rewrapped: number }>('rewrap');
    expect({ kekVersion, rewrapped }).toEqual({ kekVersion: next.id, rewrapped: 2 });
    await hsm.destroyKey(old);
    await hsm.close();
    const [verified] = await answer<object[]>('verify');
    expect(verified).toMatchObject({ sound: 1_000, failed: 0 });
  });

  it('says which row does not decrypt, and shows no value', async () => {
    await withPatients(async (dataSource) => {
      await dataSource.query('UPDATE patient SET name = (SELECT name FROM patient WHERE id = 7) WHERE id = 8');
    });
    const { code, stdout } = await data('verify');
    expect(code).toBe(1);
    expect(stdout).toContain('998 cells in 500 rows decrypt, 1 rows do not');
    expect(stdout).toContain('row [8] does not decrypt');
    expect(stdout).not.toContain('SECRET');
  });

  it('refuses what is no data source, or one that nothing encrypts', async () => {
    const refusal = async (file: string) => {
      const { code, stderr } = await runProcess(process.execPath, [
        'dist/apps/cli/main.js',
        'data',
        'status',
        '-d',
        file,
      ]);
      expect(code).toBe(1);
      return stderr;
    };
    expect(await refusal(join(directory, 'missing.js'))).toContain(
      'exports one encrypted data source, got no such file',
    );
    const empty = join(directory, 'empty.mjs');
    writeFileSync(empty, 'export const nothing = 1;');
    expect(await refusal(empty)).toContain('got none');
    const unknown = await data('rotate', '--table', 'patient');
    expect(unknown.stderr).toContain('ERR_DATA_CONFIG_INVALID: table: want one of Patient, got patient');
    expect((await data('reencrypt', '--workers', '0')).stderr).toContain(
      '--workers: want a number from 1 to 64, got 0',
    );
  });
});
