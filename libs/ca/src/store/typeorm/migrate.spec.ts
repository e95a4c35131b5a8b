import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { DataSource, type QueryRunner } from 'typeorm';
import { commonName, dns, ecKey, noName, sequence, subjectAltName, tlv } from '../../../../../test/support/csr.js';
import { TestPostgres } from '../../../../../test/support/postgres.js';
import { type DatabaseConfig, openCaDatabase } from './database.js';
import { caMigrations, migrate } from './migrate.js';
import { run } from './migration-steps.js';
import { rowsOfJson, sql } from './sql.js';

/** More than two pages of a backfill. */
const issued = 1_203;
const serialOf = (index: number): string => `4${index.toString(16).padStart(31, '0')}`;
const { publicKey } = ecKey('P-256');
const spki = publicKey.export({ format: 'der', type: 'spki' });
const time = tlv(0x17, Buffer.from('260101000000Z'));
/** Its names and key are all that is read of it. */
const tbs = sequence(tlv(0x02, [1]), noName, noName, sequence(time, time), commonName('WWW'), spki, tlv(0xa3, sequence(subjectAltName(dns('www.example.test'))))); // prettier-ignore
const certificate = sequence(tbs, noName, tlv(0x03, [0]));

/** The migrations before the names of certificates, and before the keys that were compromised. */
const [first, beforeNames, beforeKeys] = [1, 4, 6];
const names = ['cn:www', 'dns:www.example.test'].map((value) => ({ value, certificates: issued + 1 }));

describe.each(['better-sqlite3', 'postgres'] as const)('a filled database on %s', (type) => {
  const directory = mkdtempSync(join(tmpdir(), 'nest-hsm-migrate-'));
  let postgres: TestPostgres | undefined;
  let newSchema: unknown;
  beforeAll(async () => {
    if (type === 'postgres') postgres = await TestPostgres.start();
    const fresh = await openCaDatabase(await emptyDatabase('fresh'));
    newSchema = await schemaOf(fresh);
    await fresh.destroy();
  });
  afterAll(async () => {
    await postgres?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const steps: [string, number][] = [
    ['of the first schema', first],
    ['from before names were searched by', beforeNames],
    ['from before compromised keys were kept', beforeKeys],
  ];
  // The other tests begin at one of them too.
  test.each(type === 'postgres' ? steps.slice(0, 1) : steps)(
    '%s becomes as a new one, and nothing is lost',
    async (_, step) => {
      const config = await filled(`step${step}`, step);
      const dataSources = await Promise.all([openCaDatabase(config), openCaDatabase(config), openCaDatabase(config)]);
      await expectMigrated(dataSources[0], step);
      for (const dataSource of dataSources) await dataSource.destroy();
    },
  );

  test('goes on wherever a migration was broken off', async () => {
    const config = await filled('broken', beforeNames);
    let sent = 0;
    // Each on what the ones before have left; not at every statement where each takes its time.
    for (let isDone = false; !isDone; sent += type === 'postgres' ? 5 : 1) {
      const dataSource = await open(config, caMigrations.length);
      isDone = await migrate(failingAt(dataSource, sent + 1)).then(
        () => true,
        (error: unknown) => {
          expect(String(error)).toContain('broken off');
          return false;
        },
      );
      await dataSource.destroy();
    }
    expect(sent).toBeGreaterThan(20);
    const dataSource = await openCaDatabase(config);
    await expectMigrated(dataSource, beforeNames);
    await dataSource.destroy();
  });

  test('goes on where a backfill was when its process was killed with -9', async () => {
    const config = await filled('killed', beforeNames);
    const script = fileURLToPath(new URL('../../../../../test/support/ca-migration-killed.mjs', import.meta.url));
    const { signal, stderr } = spawnSync(
      process.execPath,
      [script, JSON.stringify(config), 'INSERT INTO ca_certificate_name'],
      { encoding: 'utf8' },
    );
    expect([signal, stderr]).toEqual(['SIGKILL', '']);
    const raw = await open(config, 0);
    expect(await raw.query('SELECT position FROM ca_backfill')).toEqual([{ position: serialOf(499) }]);
    await raw.destroy();
    const dataSource = await openCaDatabase(config);
    await expectMigrated(dataSource, beforeNames);
    await dataSource.destroy();
  });

  if (type === 'postgres') {
    test('has an index made again that was left invalid', async () => {
      const config = await filled('invalid', beforeNames);
      const raw = await open(config, 0);
      const build = 'CREATE UNIQUE INDEX CONCURRENTLY ca_certificate_by_profile ON ca_certificate (profile)';
      await expect(raw.query(build)).rejects.toThrow('could not create unique index');
      await raw.destroy();
      const dataSource = await openCaDatabase(config);
      await expectMigrated(dataSource, beforeNames);
      await dataSource.destroy();
    });

    test('is written to by others while it is migrated', async () => {
      const config = await filled('live', beforeNames);
      const [holder, other] = await Promise.all([0, 1].map(() => connect(config)));
      const insert = (serial: string): string =>
        `INSERT INTO ca_certificate SELECT '${serial}', issuer_id, state, profile, profile_version, requester, subject_key_id, is_authority,
           not_before, not_after, reserved_at, ticket_expires_at, tbs, tbs_sha256, certificate, issued_at FROM ca_certificate WHERE serial = '${serialOf(0)}'`;
      await holder.query(`BEGIN; ${insert('01')}`);
      let isMigrated = false;
      const migrating = openCaDatabase(config).finally(() => (isMigrated = true));
      // Until it waits for the one who has written and not yet committed.
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      while ((await other.query(waiting)).rows.length === 0) await delay(20);
      await other.query('SET statement_timeout = 20000');
      for (let index = 0; index < 20; index += 1) await other.query(insert(`02${index}`));
      expect(isMigrated).toBe(false);
      await holder.query('COMMIT');
      const dataSource = await migrating;
      expect(await schemaOf(dataSource)).toEqual(newSchema);
      for (const client of [holder, other]) await client.end();
      await dataSource.destroy();
    });
  }

  async function emptyDatabase(name: string): Promise<DatabaseConfig> {
    if (postgres === undefined) return { type: 'better-sqlite3', database: join(directory, name) };
    return { type: 'postgres', url: await postgres.database(name) };
  }

  async function open(config: DatabaseConfig, steps: number): Promise<DataSource> {
    return new DataSource({
      ...config,
      entities: [],
      migrations: caMigrations.slice(0, steps),
      logger: 'debug',
    }).initialize();
  }

  /** A database as the first so many migrations leave it, with certificates, one of which is being signed, and three that were revoked. */
  async function filled(name: string, steps: number): Promise<DatabaseConfig> {
    const config = await emptyDatabase(name);
    const dataSource = await open(config, steps);
    await migrate(dataSource);
    const runner = dataSource.createQueryRunner();
    const insert = async (table: string, columns: Record<string, string>, rows: readonly object[]): Promise<void> => {
      const all = Object.keys(columns).join(', ');
      const source = rowsOfJson(type === 'postgres', columns);
      await run(runner, sql(`INSERT INTO ${table} (${all}) SELECT ${all} FROM ${source}`, JSON.stringify(rows)));
    };
    const row = {
      issuer_id: 'a', profile: 'tls-server', profile_version: 'v1', requester: 'test', subject_key_id: 'b', is_authority: 0,
      not_before: 1, not_after: 2, reserved_at: 3, ticket_expires_at: 4,
    }; // prettier-ignore
    const types = Object.fromEntries(Object.entries(row).map(([column, value]) => [column, typeof value === 'string' ? 'text' : 'bigint'])); // prettier-ignore
    const rows = Array.from({ length: issued }, (_, index) => ({
      ...row,
      serial: serialOf(index),
      state: 'issued',
      certificate: certificate.toString('base64'),
    }));
    const unfinished = { ...row, serial: serialOf(issued), state: 'signing', tbs: tbs.toString('base64') };
    const text = { serial: 'text', state: 'text', certificate: 'text', tbs: 'text' };
    await insert('ca_certificate', { ...types, ...text }, [...rows, unfinished]);
    if (steps >= beforeNames) {
      const revoked = { issuer_id: 'a', state: 'revoked', reason: 1, revoked_at: 1, shard: 0, not_after: 2, requester: 'test', sequence: 1 }; // prettier-ignore
      const columns = { serial: 'text', issuer_id: 'text', state: 'text', reason: 'smallint', revoked_at: 'bigint', shard: 'integer', not_after: 'bigint', requester: 'text', sequence: 'bigint' }; // prettier-ignore
      await insert('ca_revocation', columns, [0, 1, 2].map((index) => ({ ...revoked, serial: serialOf(index) }))); // prettier-ignore
    }
    await runner.release();
    await dataSource.destroy();
    return config;
  }

  async function expectMigrated(dataSource: DataSource, from: number): Promise<void> {
    expect(await schemaOf(dataSource)).toEqual(newSchema);
    const rows: { certificates: number | string }[] = await dataSource.query('SELECT count(*) AS certificates FROM ca_certificate'); // prettier-ignore
    expect(Number(rows[0].certificates)).toBe(issued + 1);
    if (from <= beforeNames) {
      const found: { value: string; certificates: number | string }[] = await dataSource.query(
        'SELECT value, count(*) AS certificates FROM ca_certificate_name GROUP BY value ORDER BY value',
      );
      expect(found.map((each) => ({ ...each, certificates: Number(each.certificates) }))).toEqual(names);
    }
    if (from >= beforeNames)
      expect(await dataSource.query('SELECT count(*) AS keys FROM ca_compromised_key')).toEqual([
        { keys: type === 'postgres' ? '1' : 1 },
      ]);
  }

  /** Tables with their columns, and indexes that are valid. */
  async function schemaOf(dataSource: DataSource): Promise<unknown> {
    const statement =
      type === 'postgres'
        ? `SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || coalesce(collation_name, '') AS part
             FROM information_schema.columns WHERE table_schema = 'public'
           UNION ALL SELECT indexdef FROM pg_indexes i WHERE schemaname = 'public'
             AND (SELECT indisvalid FROM pg_index WHERE indexrelid = quote_ident(i.indexname)::regclass) ORDER BY 1`
        : `SELECT type || name || coalesce(sql, '') AS part FROM sqlite_master ORDER BY 1`;
    return dataSource.query(statement);
  }
});

/** The same DataSource, whose n-th statement is not sent. */
function failingAt(dataSource: DataSource, statement: number): DataSource {
  const create = dataSource.createQueryRunner.bind(dataSource);
  let sent = 0;
  dataSource.createQueryRunner = (mode): QueryRunner => {
    const runner = create(mode);
    const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<unknown>;
    const queryOrFail = async (...args: unknown[]): Promise<unknown> => {
      sent += 1;
      if (sent === statement) throw new Error('broken off');
      return query(...args);
    };
    Object.assign(runner, { query: queryOrFail });
    return runner;
  };
  return dataSource;
}

async function connect(config: DatabaseConfig): Promise<Client> {
  const client = new Client({ connectionString: config.type === 'postgres' ? config.url : undefined });
  await client.connect();
  return client;
}
