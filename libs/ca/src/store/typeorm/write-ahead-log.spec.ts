import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { failNextSync } from '../../../../../test/support/failing-sync.js';
import { openCaDatabase } from './database.js';
import { Sql, sql } from './sql.js';
import { type LoggedConnection, WriteAheadLog } from './write-ahead-log.js';

let directory: string;
let database: string;
let dataSource: DataSource;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'nest-hsm-wal-'));
  database = join(directory, 'ca.sqlite');
  dataSource = await openCaDatabase({ type: 'better-sqlite3', database });
});
afterEach(async () => {
  if (dataSource.isInitialized) await dataSource.destroy();
  rmSync(directory, { recursive: true });
});

const connectionOf = (source: DataSource) =>
  (source.driver as unknown as { databaseConnection: LoggedConnection }).databaseConnection;

function insert(token: string, until?: 'ordered'): Promise<void> {
  const text = `INSERT INTO ca_api_token (id, token_sha256, name, scopes, created_at, created_by, expires_at) VALUES ($1, '', '', '', 0, '', 0)`;
  return new Sql(dataSource).atomically(function* steps() {
    yield sql(text, token);
  }, until);
}

async function tokens(): Promise<string[]> {
  const rows: { id: string }[] = await dataSource.query('SELECT id FROM ca_api_token ORDER BY id');
  return rows.map(({ id }) => id);
}

test('commits that share a sync, or come while one runs, are all there, and other commits wait for the disk as before', async () => {
  const later = insert('a').then(() => Promise.all(['b', 'c'].map((token) => insert(token))));
  await Promise.all([insert('d'), insert('e'), later]);
  expect(connectionOf(dataSource).pragma('synchronous', { simple: true })).toBe(2);
  await dataSource.destroy();
  dataSource = await openCaDatabase({ type: 'better-sqlite3', database });
  expect(await tokens()).toEqual(['a', 'b', 'c', 'd', 'e']);
});

test('a transaction that fails is undone, and no other', async () => {
  await insert('a');
  await expect(insert('a')).rejects.toThrow('UNIQUE');
  await insert('b');
  expect(await tokens()).toEqual(['a', 'b']);
});

test('nothing is committed any more once the log failed to reach the disk', async () => {
  await insert('a');
  await failNextSync(database);
  await expect(Promise.all([insert('b'), insert('c')])).rejects.toThrow('failed to reach the disk');
  await expect(insert('d')).rejects.toThrow('failed to reach the disk');
  expect(await tokens()).toEqual(['a', 'b', 'c']);
});

test('a transaction that need only be in order waits for no sync, which is that of the next one, and is refused once one failed', async () => {
  await insert('a');
  await failNextSync(database);
  await insert('b', 'ordered');
  expect(await tokens()).toEqual(['a', 'b']);
  await expect(insert('c')).rejects.toThrow('failed to reach the disk');
  await expect(insert('d', 'ordered')).rejects.toThrow('failed to reach the disk');
  expect(await tokens()).toEqual(['a', 'b', 'c']);
});

test('a log that cannot be opened for a moment, for want of descriptors, fails those who wait and nobody after them', async () => {
  renameSync(`${database}-wal`, `${database}-moved`);
  await expect(insert('a')).rejects.toThrow('ENOENT');
  renameSync(`${database}-moved`, `${database}-wal`);
  await insert('b');
  expect(await tokens()).toEqual(['a', 'b']);
});

test.each([
  ['in memory', ':memory:', {}],
  ['without a log', 'plain.sqlite', {}],
  ['whose owner has commits not wait for the disk', 'fast.sqlite', { enableWAL: true, synchronous: 'NORMAL' }],
])('a database %s is left as it is', async (_, name, { synchronous = 'FULL', ...options }: Record<string, unknown>) => {
  const path = name === ':memory:' ? name : join(directory, name);
  const prepareDatabase = (opened: LoggedConnection): void =>
    void opened.pragma(`synchronous = ${String(synchronous)}`);
  const source = await new DataSource({
    type: 'better-sqlite3',
    database: path,
    ...options,
    prepareDatabase,
  }).initialize();
  expect(WriteAheadLog.of(connectionOf(source))).toBeUndefined();
  await new Sql(source).atomically(function* steps() {
    yield sql('CREATE TABLE t (n integer)');
  });
  expect(existsSync(`${path}-wal`)).toBe(name === 'fast.sqlite');
  await source.destroy();
});
