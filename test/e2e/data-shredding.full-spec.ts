import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DataEncryption, EncryptedColumn, EncryptedEntity, TenantContext } from '@nest-hsm/data-encryption';
import { Hsm } from '@nest-hsm/hsm';
import { Column, DataSource, type DataSourceOptions, Entity, PrimaryColumn } from 'typeorm';
import { TestPostgres } from '../support/postgres.js';
import { type Outcome, runProcess } from '../support/scratch-workspace.js';
import { TestToken } from '../support/token.js';

/** As in `charts-data-source.mjs`, which the command line is given. */
@Entity('chart')
@EncryptedEntity({ tableId: 'Chart', keyScope: 'tenant', tenantColumn: 'clinic' })
class Chart {
  @PrimaryColumn({ type: 'int' })
  id: number;

  @Column({ type: 'text' })
  clinic: string;

  @EncryptedColumn({ searchable: true })
  name: string;
}

const clinics = ['north', 'south', 'west', 'east'];

describe.each([true, false])('shredding tenants by the command line, KEKs of their own: %s', (kekPerTenant) => {
  const tenants = new TenantContext();
  let token: TestToken;
  let postgres: TestPostgres;
  let database: DataSourceOptions;
  let directory: string;
  let CHARTS: string;
  let holder: ChildProcess;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'nest-hsm-shredding-'));
    token = new TestToken('data');
    postgres = await TestPostgres.start();
    database = { type: 'postgres', url: await postgres.database('charts') };
    CHARTS = JSON.stringify({ database, hsm: token.config(), kekPerTenant });
    const hsm = await Hsm.open(token.config());
    const dataSource = new DataSource({ ...database, entities: [Chart], synchronize: true });
    new DataEncryption({
      ...{ hsm, kekLabel: 'kek', createKek: true, kekPerTenant, databaseId: 'charts', leaseSeconds: 1 },
      tenant: () => tenants.current,
    }).attach(dataSource);
    await dataSource.initialize();
    await dataSource.manager.insert(
      Chart,
      clinics.map((clinic, id) => ({ id, clinic, name: `SECRET ${clinic}` })),
    );
    await dataSource.destroy();
    await hsm.close();
    holder = fork(fileURLToPath(new URL('charts-holder.mjs', import.meta.url)), { env: { ...process.env, CHARTS } });
    await once(holder, 'message');
  });

  afterAll(async () => {
    const closed = once(holder, 'close');
    holder.send('end');
    await closed;
    await postgres.stop();
    token.remove();
    rmSync(directory, { recursive: true });
  });

  const read = async (clinic: string): Promise<unknown> => {
    const answer = once(holder, 'message');
    holder.send(clinic);
    return ((await answer) as unknown[])[0];
  };

  const command = (tenant: string, ...args: string[]) => [
    ...['dist/apps/cli/main.js', 'data', 'shred', '--tenant', tenant, '--confirm', tenant, '--operator', 'Ada'],
    ...[...(kekPerTenant ? [] : ['--destroy-shared-kek']), ...args, '-d', 'test/e2e/charts-data-source.mjs'],
  ];
  const shred = (tenant: string, ...args: string[]): Promise<Outcome> =>
    runProcess(process.execPath, command(tenant, ...args), { env: { ...process.env, CHARTS } });

  it('says for whom it waits, and proves what it did', async () => {
    expect(await read('north')).toEqual(['SECRET north']);
    const receipt = join(directory, 'receipt');
    const { code, stdout, stderr } = await shred('north', '--receipt', receipt);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(`${holder.pid} on `) as string });
    expect(stdout).toContain('shredded north in charts (2 data keys)');
    expect(await read('north')).toBe('ERR_DATA_SHREDDED');
    expect(await read('south')).toEqual(['SECRET south']);

    const hsm = await Hsm.open(token.config());
    const pem = (await hsm.receiptKey()).publicKey?.export({ type: 'spki', format: 'pem' }) as string;
    await hsm.close();
    writeFileSync(join(directory, 'key.pem'), pem);
    const [file, signature] = ['receipt.json', 'receipt.sig'].map((name) => join(receipt, name));
    const openssl = ['dgst', '-sha256', '-verify', join(directory, 'key.pem'), '-signature', signature, file];
    expect((await runProcess('openssl', openssl, {})).stdout).toContain('Verified OK');
    const verify = ['dist/apps/cli/main.js', 'receipt', 'verify', file, '--key', join(directory, 'key.pem')];
    expect(await runProcess(process.execPath, verify, {})).toMatchObject({ code: 0, stdout });
  });

  it('refuses a name that was mistyped', async () => {
    const { code, stderr } = await shred('nroth');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('want one that has data keys here') as string,
    });
  });

  it('waits no longer for a process that has stopped than that may use its keys', async () => {
    expect(await read('west')).toEqual(['SECRET west']);
    holder.kill('SIGSTOP');
    const { code, stdout } = await shred('west');
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('1 were silent') as string });
    const answer = read('west');
    holder.kill('SIGCONT');
    expect(['ERR_DATA_SHREDDED', 'ERR_DATA_KEY_UNAVAILABLE']).toContain(await answer);
    expect(await read('south')).toEqual(['SECRET south']);
  });

  it('goes on wherever it is killed', async () => {
    for (let milliseconds = 600; milliseconds < 6_000; milliseconds += 600) {
      const env = { ...process.env, CHARTS };
      const child = spawn(process.execPath, command('east'), { env, stdio: 'ignore' });
      const closed = once(child, 'close');
      await Promise.race([delay(milliseconds), closed]);
      child.kill('SIGKILL');
      await closed;
      expect(await read('south')).toEqual(['SECRET south']);
    }
    const { code, stdout } = await shred('east');
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('shredded east') as string });
    expect(await read('east')).toBe('ERR_DATA_SHREDDED');
    expect(await read('south')).toEqual(['SECRET south']);
  }, 240_000);
});
