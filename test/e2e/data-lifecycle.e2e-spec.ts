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

  /** How far the column of plaintext is that is being encrypted. */
  let phase: string | undefined;

  const data = (...args: string[]): Promise<Outcome> => {
    const PATIENTS = JSON.stringify({ database, hsm: token.config(), phase });
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

  it('takes a column from plaintext to cells, a deployment for each phase', async () => {
    const visitors = new DataSource(database);
    await visitors.initialize();
    await visitors.query(
      'CREATE TABLE visitor (id integer PRIMARY KEY, email varchar, email_cell text, email_cell_blind_index varchar)',
    );
    await visitors.query("INSERT INTO visitor (id, email) VALUES (1, 'SECRET 1'), (2, NULL), (3, 'SECRET 3')");

    phase = 'dual-write';
    const { stdout: plan } = await data('plan');
    expect(plan).toMatch(/^Visitor.email +dual-write +email → email_cell +0 +2 +0 +2$/m);
    expect((await data('verify', '-t', 'Visitor')).stdout).toContain('2 rows have another plaintext than cell');
    expect((await data('backfill')).stdout).toBe('Visitor: 2 rows backfilled\n');
    expect((await data('verify', '-t', 'Visitor')).code).toBe(0);

    phase = 'contract';
    expect((await data('contract')).stderr).toContain('want a terminal to ask on, or --confirm Visitor');
    const { code, stdout } = await data('contract', '--confirm', 'Visitor');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Visitor: 2 rows rid of plaintext\n' });
    const rows = await visitors.query<{ email: unknown; email_cell: unknown }[]>('SELECT * FROM visitor ORDER BY id');
    expect(rows.map(({ email, email_cell: cell }) => [email, typeof cell])).toEqual([
      [null, 'string'],
      [null, 'object'],
      [null, 'string'],
    ]);
    await visitors.destroy();
    phase = undefined;
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
    const { code, stderr } = await data('rotate', '--tenant', 'north');
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('got north') as string });
    expect((await data('reencrypt', '--workers', '0')).stderr).toContain(
      '--workers: want a number from 1 to 64, got 0',
    );
  });
});
