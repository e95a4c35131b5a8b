import { randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';
import { perform } from '../harness/process.js';
import { randomRow } from './entities.js';
import { check, cost, middle } from './rows-cost.js';
import type { Cost, RowsResult, RowsTask } from './task.js';

const columns = ['city', 'phone', 'street', 'diagnosis'] as const;
const rowsOfStatement = 500;

/**
 * The same rows encrypted by the server, which gets key and plaintext in each statement: pgcrypto's pgp_sym_encrypt, AES-256, the cheapest
 * way from the password to a key (its default is 65,536 rounds and more for each cell).
 */
perform<RowsTask, RowsResult>(async ({ database, rows: count, times }) => {
  const client = new pg.Client(database.place);
  await client.connect();
  await client.query('CREATE EXTENSION IF NOT EXISTS pgcrypto');
  await client.query('DROP TABLE IF EXISTS "row"');
  const types = columns.map((column) => `${column} bytea`).join(', ');
  await client.query(`CREATE TABLE "row" (id uuid PRIMARY KEY, ${types}, n int)`);
  const password = randomBytes(32).toString('hex');
  const encrypted = columns.map((column) => `pgp_sym_encrypt(${column}, $7, 'cipher-algo=aes256, s2k-mode=1')`);
  const insertion =
    `INSERT INTO "row" SELECT id, ${encrypted.join(', ')}, n ` +
    `FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[]) AS given(id, ${columns.join(', ')}, n)`;
  const decrypted = columns.map((column) => `pgp_sym_decrypt(${column}, $1) AS ${column}`).join(', ');
  const costs: Record<'insert' | 'find', Cost[]> = { insert: [], find: [] };
  for (let time = 0; time <= times; time++) {
    await client.query('DELETE FROM "row"');
    const rows = Array.from({ length: count }, (_, n) => ({ id: randomUUID(), ...randomRow(n) }));
    const insert = await cost(async () => {
      await client.query('BEGIN');
      for (let start = 0; start < rows.length; start += rowsOfStatement) {
        const part = rows.slice(start, start + rowsOfStatement);
        const arrays = (['id', ...columns, 'n'] as const).map((name) => part.map((row) => row[name]));
        await client.query(insertion, [...arrays, password]);
      }
      await client.query('COMMIT');
    });
    let found: typeof rows = [];
    const find = await cost(async () => {
      found = (await client.query<(typeof rows)[number]>(`SELECT id, n, ${decrypted} FROM "row"`, [password])).rows;
    });
    check(rows, found);
    if (time === 0) continue;
    costs.insert.push(insert);
    costs.find.push(find);
  }
  await client.end();
  const none = { cpuMilliseconds: Number.NaN, wallMilliseconds: Number.NaN };
  return { insert: middle(costs.insert), find: middle(costs.find), findOne: none };
});
