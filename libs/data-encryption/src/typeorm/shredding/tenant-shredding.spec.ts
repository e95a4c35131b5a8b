import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DataSource, type DataSourceOptions, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { EncryptedColumn, EncryptedEntity } from '../decorators.js';
import { verifyShreddingReceipt } from '../../shredding/shredding-receipt.js';
import { TenantContext } from '../../tenant-context.js';
import { SoftwareFleet } from '../../../test/software-fleet.js';
import { SoftwareKek } from '../../../test/software-kek.js';
import { testDatabases } from '../../../test/typeorm/databases.js';
import { encryptedDatabase } from '../../../test/typeorm/encrypted-database.js';
import { Chart, Remark, tenantEntities } from '../../../test/typeorm/tenant-entities.js';

const gone = { code: 'ERR_DATA_SHREDDED', fault: 'caller' };
const rejected = { code: 'ERR_DATA_KEY_REJECTED' };
const tenants = new TenantContext();

describe.each(testDatabases())('shredding a tenant on $name', (database) => {
  let directory: string;
  let opened: DataSource[] = [];

  beforeAll(() => database.start());
  afterAll(() => database.stop());
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'nest-hsm-shredding-'));
  });
  afterEach(async () => {
    for (const each of opened) if (each.isInitialized) await each.destroy();
    opened = [];
    rmSync(directory, { recursive: true });
  });

  /** A database that several processes may open. */
  const databaseFile = async (): Promise<Partial<DataSourceOptions>> =>
    database.name === 'SQLite' ? { database: join(directory, 'db.sqlite') } : database.options();

  async function open(options: Partial<DataSourceOptions>, hsm: SoftwareKek, kekPerTenant: boolean) {
    const config = { hsm, kekPerTenant, tenant: () => tenants.current, leaseSeconds: 0.4 };
    const { dataSource, encryption } = await encryptedDatabase(
      database,
      { entities: tenantEntities, ...options },
      config,
    );
    opened.push(dataSource);
    const charts = dataSource.getRepository(Chart);
    return { dataSource, charts, encryption, lifecycle: encryption.lifecycle };
  }

  const as = <T>(tenant: string, work: () => Promise<T>): Promise<T> => tenants.run(tenant, work);

  async function withCharts(kekPerTenant: boolean) {
    const options = await databaseFile();
    const hsm = new SoftwareFleet();
    const one = await open(options, hsm, kekPerTenant);
    for (const clinic of ['north', 'south']) {
      await as(clinic, () => one.charts.insert({ clinic, name: `Ada ${clinic}`, email: 'ada@example.org' }));
    }
    return { options, hsm, one };
  }

  const isLeft = (hsm: SoftwareFleet, id: string) => hsm.keys.some((key) => key.id === id);

  it.each([true, false])('ends in every process, whether tenants have KEKs of their own (%s)', async (kekPerTenant) => {
    const { options, hsm, one } = await withCharts(kekPerTenant);
    const two = await open({ ...options, synchronize: false }, hsm, kekPerTenant);
    const find = (each: typeof one) => each.charts.findBy({ clinic: tenants.current });
    for (const each of [one, two]) expect(await as('north', () => find(each))).toHaveLength(1);
    const keks = new Set(
      (await one.lifecycle.keys()).filter(({ tenant }) => tenant === 'north').map((key) => key.kekVersion),
    );
    if (database.name === 'SQLite') copyFileSync(join(directory, 'db.sqlite'), join(directory, 'old.sqlite'));

    if (!kekPerTenant) {
      await expect(one.lifecycle.shred('north')).rejects.toMatchObject({
        code: 'ERR_DATA_CONFIG_INVALID',
        message: expect.stringContaining('destroySharedKek') as string,
      });
      expect(await as('north', () => find(two))).toHaveLength(1);
    }
    hsm.backups = ['tape 7'];
    const waited: number[] = [];
    const options1 = {
      operator: 'Ada',
      destroySharedKek: !kekPerTenant,
      onWaiting: (of: readonly object[]) => waited.push(of.length),
    };
    const first = await one.lifecycle.shred('north', options1);
    expect(first.receipt).toMatchObject({
      ...{ state: 'pending', tenant: 'north', database: 'test', operator: 'Ada', dataKeys: 2 },
      ...{ processes: { acknowledged: 2, silent: 0 } },
    });
    expect(first.receipt.keks.length).toBeGreaterThan(0);
    expect(first.receipt.keks[0].restorable).toEqual(['tape 7']);
    expect(Math.max(...waited)).toBe(2);
    for (const id of keks) expect(isLeft(hsm, id)).toBe(false);

    for (const each of [one, two]) {
      await expect(as('north', () => find(each))).rejects.toMatchObject(gone);
      await expect(as('north', () => each.charts.findBy({ email: 'ada@example.org' }))).rejects.toMatchObject(gone);
      await expect(as('north', () => each.charts.insert({ clinic: 'north', name: 'x' }))).rejects.toMatchObject(gone);
      await expect(
        as('north', () => each.dataSource.getRepository(Remark).insert({ text: 'x' })),
      ).rejects.toMatchObject(gone);
      expect(await as('south', () => find(each))).toMatchObject([{ name: 'Ada south' }]);
      expect(await as('south', () => each.charts.findBy({ email: 'ada@example.org' }))).toHaveLength(1);
    }
    expect(await one.lifecycle.verify('Chart')).toMatchObject({ rows: 2, sound: 2, failed: 0, shredded: 1 });
    await one.lifecycle.rewrap();
    // A process that comes later.
    const three = await open({ ...options, synchronize: false }, hsm, kekPerTenant);
    await expect(as('north', () => find(three))).rejects.toMatchObject(gone);
    expect(await as('south', () => find(three))).toHaveLength(1);

    hsm.backups = [];
    const last = await two.lifecycle.shred('north');
    expect(last.receipt).toMatchObject({ state: 'shredded', operator: 'Ada' });
    expect(last.receipt.previous).toMatch(/^[0-9a-f]{64}$/);
    expect(verifyShreddingReceipt(last.text, last.signature as Buffer, hsm.publicKey)).toEqual(last.receipt);
    const forged = last.text.replace('north', 'south');
    expect(() => verifyShreddingReceipt(forged, last.signature as Buffer, hsm.publicKey)).toThrow(
      /want it signed by that key/,
    );
    expect(await one.lifecycle.shred('north')).toEqual(last);

    if (database.name !== 'SQLite') return;
    // A copy of the database from before has the wrapped data keys, and no tombstone.
    const copy = { database: join(directory, 'old.sqlite'), synchronize: false };
    if (!kekPerTenant) {
      await expect(open(copy, hsm, kekPerTenant)).rejects.toMatchObject(rejected);
      return;
    }
    const old = await open(copy, hsm, kekPerTenant);
    await expect(as('north', () => find(old))).rejects.toMatchObject(rejected);
    expect(await as('south', () => find(old))).toHaveLength(1);
  });

  it('goes on at whichever step it was ended', async () => {
    const { hsm, one } = await withCharts(false);
    for (const step of ['rotateKey', 'listKeys', 'destroyKey'] as const) {
      hsm.failsAt = step;
      await expect(one.lifecycle.shred('north', { destroySharedKek: true })).rejects.toMatchObject({
        code: 'ERR_HSM_UNAVAILABLE',
      });
      await expect(as('north', () => one.charts.findBy({ clinic: 'north' }))).rejects.toMatchObject(gone);
      expect(await as('south', () => one.charts.findBy({ clinic: 'south' }))).toHaveLength(1);
    }
    for (const step of ['sign', 'receiptKey'] as const) {
      hsm.failsAt = step;
      const unsigned = await one.lifecycle.shred('north');
      expect(unsigned.signature).toBeUndefined();
    }
    const { receipt, signature } = await one.lifecycle.shred('north');
    expect(receipt.state).toBe('shredded');
    expect(signature).toBeDefined();
    expect(await as('south', () => one.charts.findBy({ clinic: 'south' }))).toHaveLength(1);
  });

  it('is of nobody who has no data keys: the name may be mistyped, and a tombstone stays', async () => {
    const { one } = await withCharts(true);
    await expect(one.lifecycle.shred('noth')).rejects.toMatchObject({
      code: 'ERR_DATA_TENANT_UNKNOWN',
      fault: 'caller',
    });
    expect(await one.dataSource.query('SELECT * FROM data_encryption_shredding')).toEqual([]);
    await as('noth', () => one.charts.insert({ clinic: 'noth', name: 'x' }));
    expect(await as('north', () => one.charts.findBy({ clinic: 'north' }))).toHaveLength(1);
  });

  it('is noticed by a process that comes back when nobody waits for it any more', async () => {
    const { one } = await withCharts(true);
    const find = () => as('north', () => one.charts.findBy({ clinic: 'north' }));
    expect(await find()).toHaveLength(1);
    // As it is when it had been silent for so long that the shredding went on without it.
    await one.dataSource.query(
      `INSERT INTO data_encryption_shredding (tenant, state, operator, begun_at) VALUES ('north', 'shredded', '', '')`,
    );
    await one.dataSource.query(
      `UPDATE data_encryption_key SET state = 'shredded', wrapped = '' WHERE tenant = 'north'`,
    );
    await one.dataSource.query('DELETE FROM data_encryption_process');
    let code: unknown;
    while (code === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      code = await find().then(
        () => undefined,
        (error: { code: string }) => error.code,
      );
    }
    expect(code).toBe(gone.code);
  });

  it('waits for no process that was killed, and needs an Hsm', async () => {
    const { hsm, one } = await withCharts(true);
    // What a process leaves that had no time to leave.
    await one.dataSource.query(
      `INSERT INTO data_encryption_process (id, host, pid, beats) VALUES ('dead', 'elsewhere', 7, 1)`,
    );
    const controller = new AbortController();
    const ended = one.lifecycle.shred('south', {
      signal: controller.signal,
      onWaiting: (of) => of.some(({ pid }) => pid === 7) && controller.abort(new Error('enough')),
    });
    await expect(ended).rejects.toThrow('enough');
    await expect(as('south', () => one.charts.insert({ clinic: 'south', name: 'x' }))).rejects.toMatchObject(gone);
    const { receipt } = await one.lifecycle.shred('south');
    expect(receipt).toMatchObject({ state: 'shredded', processes: { acknowledged: 1, silent: 1 } });
    // Nothing is made for whoever was shredded.
    const keys = hsm.keys.length;
    await expect(one.encryption.prepareTenant('south')).rejects.toMatchObject(gone);
    expect(hsm.keys).toHaveLength(keys);
    expect(
      (await one.lifecycle.keys()).filter(({ tenant, state }) => tenant === 'south' && state === 'active'),
    ).toEqual([]);
    if (database.name === 'SQLite') {
      // The tombstone is written at the moment at which a key is stored.
      await one.dataSource.query(
        `CREATE TRIGGER late AFTER INSERT ON data_encryption_key WHEN NEW.tenant = 'late' BEGIN ` +
          `INSERT OR IGNORE INTO data_encryption_shredding (tenant, state, operator, begun_at) VALUES ('late', 'waiting', '', ''); END`,
      );
      await expect(one.encryption.prepareTenant('late')).rejects.toMatchObject(gone);
      expect((await one.lifecycle.keys()).filter(({ tenant }) => tenant === 'late')).toEqual([]);
    }
    const other = await open({}, new SoftwareKek(), true);
    await expect(other.lifecycle.shred('north')).rejects.toMatchObject({ code: 'ERR_DATA_CONFIG_INVALID' });
  });

  const find = (each: { charts: { findBy(where: object): Promise<Chart[]> } }, clinic: string) =>
    as(clinic, () => each.charts.findBy({ clinic }));

  it('destroys nothing that others are put under, whoever rotates the KEK meanwhile', async () => {
    const { options, hsm, one } = await withCharts(false);
    const [first] = hsm.keys.filter(({ label }) => label === 'kek');
    const made: string[] = [];
    // Another rotation, after ours.
    hsm.meanwhile = { step: 'rotateKey', work: () => made.push(hsm.addKey('kek').id) };
    const { receipt } = await one.lifecycle.shred('north', { destroySharedKek: true });
    expect(receipt).toMatchObject({ state: 'shredded', keks: [{ id: first.id, state: 'destroyed' }] });
    expect(isLeft(hsm, made[0])).toBe(true);
    const two = await open({ ...options, synchronize: false }, hsm, false);
    expect(await find(two, 'south')).toMatchObject([{ name: 'Ada south' }]);
  });

  it('looks again before a KEK goes whether anybody else is under it', async () => {
    const { options, hsm, one } = await withCharts(false);
    type Stored = Record<'id' | 'kek_version' | 'wrapped', string>;
    const before = await one.dataSource.query<Stored[]>(
      `SELECT id, kek_version, wrapped FROM data_encryption_key WHERE tenant = 'south'`,
    );
    const putBack = async () => {
      for (const { id, kek_version, wrapped } of before) {
        await one.dataSource.query(
          `UPDATE data_encryption_key SET kek_version = '${kek_version}', wrapped = '${wrapped}' WHERE id = '${id}'`,
        );
      }
    };
    hsm.failsAt = 'destroyKey';
    await expect(one.lifecycle.shred('north', { destroySharedKek: true })).rejects.toMatchObject({
      code: 'ERR_HSM_UNAVAILABLE',
    });
    await putBack();
    hsm.meanwhile = { step: 'listKeys', work: putBack };
    const { receipt } = await one.lifecycle.shred('north');
    expect(receipt.state).toBe('shredded');
    for (const { kek_version } of before) expect(isLeft(hsm, kek_version)).toBe(false);
    const two = await open({ ...options, synchronize: false }, hsm, false);
    expect(await find(two, 'south')).toMatchObject([{ name: 'Ada south' }]);
  });

  it('says pending of a KEK that is not found any more and may still be there', async () => {
    const { hsm, one } = await withCharts(true);
    const kekOf = async (tenant: string) => {
      const keys = await one.lifecycle.keys();
      return keys.find((key) => key.tenant === tenant)?.kekVersion as string;
    };
    const [north, south] = [await kekOf('north'), await kekOf('south')];
    // Somebody has begun to destroy it, and a backup has it.
    hsm.backups = ['tape 7'];
    await hsm.destroyKey(hsm.keys.find(({ id }) => id === north) as (typeof hsm.keys)[number]);
    const first = await one.lifecycle.shred('north');
    expect(first.receipt).toMatchObject({ state: 'pending', keks: [{ id: north, restorable: ['tape 7'] }] });
    hsm.backups = [];
    expect((await one.lifecycle.shred('north')).receipt).toMatchObject({ state: 'shredded', keks: [{ id: north }] });
    // Nobody knows what became of it.
    hsm.removeKey(south);
    const unknown = await one.lifecycle.shred('south');
    expect(unknown.receipt).toMatchObject({ state: 'pending', keks: [{ id: south, label: '' }] });
  });

  it('asks for the consent again when a key has come under the shared KEK since', async () => {
    const { hsm, one } = await withCharts(true);
    const shared = hsm.addKey('kek').id;
    let isStored = false;
    // As a process of before kekPerTenant does.
    const onWaiting = () => {
      if (isStored) return;
      isStored = true;
      void one.dataSource.query(
        `INSERT INTO data_encryption_key (id, purpose, table_id, column_id, tenant, algorithm, kek_version, wrapped, commitment, state, reserved_messages, created_at) ` +
          `VALUES ('late', 'cell', 'Late', '', 'north', 'aes-256-gcm', '${shared}', 'AA==', '', 'active', 0, '')`,
      );
    };
    const refused = { code: 'ERR_DATA_CONFIG_INVALID', message: expect.stringContaining('destroySharedKek') as string };
    await expect(one.lifecycle.shred('north', { onWaiting })).rejects.toMatchObject(refused);
    await expect(one.lifecycle.shred('north')).rejects.toMatchObject(refused);
    expect(isLeft(hsm, shared)).toBe(true);
    const { receipt } = await one.lifecycle.shred('north', { destroySharedKek: true });
    expect(receipt.state).toBe('shredded');
    expect(receipt.keks.map(({ id }) => id)).toContain(shared);
    expect(await find(one, 'south')).toHaveLength(1);
  });

  it('is done once when it is called in two places, and of two tenants at once', async () => {
    const { options, hsm, one } = await withCharts(false);
    await as('west', () => one.charts.insert({ clinic: 'west', name: 'Ada west' }));
    const two = await open({ ...options, synchronize: false }, hsm, false);
    const consent = { destroySharedKek: true };
    const shred = (each: typeof one, tenant: string) => each.lifecycle.shred(tenant, consent);
    const receipts = await Promise.all([shred(one, 'north'), shred(two, 'north'), shred(two, 'south')]);
    expect(receipts.map(({ receipt }) => receipt.state)).toEqual(['shredded', 'shredded', 'shredded']);
    expect(receipts[0]).toEqual(receipts[1]);
    const three = await open({ ...options, synchronize: false }, hsm, false);
    expect(await find(three, 'west')).toMatchObject([{ name: 'Ada west' }]);
  });

  it('does not begin while rows have plaintext beside their cells', async () => {
    const entityOf = (phase: 'dual-write' | 'contract') => {
      @Entity('letter')
      @EncryptedEntity({ keyScope: 'tenant' })
      class Letter {
        @PrimaryGeneratedColumn('uuid')
        id: string;

        @EncryptedColumn({
          name: 'text_cell',
          nullable: true,
          plaintext: { phase, name: 'text', type: 'text', nullable: true },
        })
        text?: string | null;
      }
      return Letter;
    };
    const hsm = new SoftwareFleet();
    const file = await databaseFile();
    const before = entityOf('dual-write');
    const one = await open({ ...file, entities: [before] }, hsm, true);
    await as('north', () => one.dataSource.getRepository(before).insert({ text: 'Dear Ada' }));
    const refused = { code: 'ERR_DATA_PLAINTEXT_LEFT', message: expect.stringContaining('data contract') as string };
    await expect(one.lifecycle.shred('north')).rejects.toMatchObject(refused);
    const rows = () => as('north', () => one.dataSource.getRepository(before).find());
    expect(await rows()).toMatchObject([{ text: 'Dear Ada' }]);
    await one.dataSource.destroy();
    const two = await open({ ...file, entities: [entityOf('contract')], synchronize: false }, hsm, true);
    await two.lifecycle.contract('Letter');
    expect((await two.lifecycle.shred('north')).receipt.state).toBe('shredded');
  });
});
