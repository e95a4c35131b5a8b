import type { MigrationInterface, QueryRunner } from 'typeorm';
import { searchNamesOf, searchNamesOfTbs } from '../../../search/search-names.js';
import {
  addColumns,
  backfill,
  type BackfillPage,
  briefly,
  createIndex,
  dropIndex,
  isPostgres,
  run,
} from '../migration-steps.js';
import { rowsOfJson, sql } from '../sql.js';

const pageRows = 500;
const orders = ['reserved_at', 'requester, reserved_at', 'profile, reserved_at', 'not_after'];
const indexName = (order: string): string => `ca_certificate_by_${order.split(',')[0]}`;

/** What a request was bound to (idempotency, renewal, approval), and what certificates are searched by. */
export class RequestsAndSearch1764300000000 implements MigrationInterface {
  readonly name = 'RequestsAndSearch1764300000000';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    const inOctets = isPostgres(runner) ? ' COLLATE "C"' : '';
    for (const table of ['ca_certificate', 'ca_revocation']) await this.#sortByOctets(runner, table);
    await addColumns(runner, 'ca_certificate', {
      renews: 'varchar(40)',
      idempotency_key: 'varchar(64)',
      request_sha256: 'varchar(64)',
    });
    // A voided row was never signed: its key is free again.
    await createIndex(runner, {
      name: 'ca_certificate_idempotency',
      table: 'ca_certificate',
      columns: 'idempotency_key',
      unique: true,
      where: "idempotency_key IS NOT NULL AND state <> 'voided'",
    });
    for (const order of orders)
      await createIndex(runner, { name: indexName(order), table: 'ca_certificate', columns: `${order}, serial` });
    await runner.query(
      `CREATE TABLE IF NOT EXISTS ca_certificate_name (
         value text${inOctets} NOT NULL, reserved_at bigint NOT NULL, serial varchar(40)${inOctets} NOT NULL, PRIMARY KEY (value, reserved_at, serial)
       )${isPostgres(runner) ? '' : ' WITHOUT ROWID'}`,
    );
    await runner.query(
      `CREATE TABLE IF NOT EXISTS ca_order (
         id varchar(32) NOT NULL PRIMARY KEY, state varchar(16) NOT NULL, profile varchar(64) NOT NULL,
         profile_version varchar(64) NOT NULL, requester text NOT NULL,
         csr text NOT NULL, names text NOT NULL,
         idempotency_key varchar(64), request_sha256 varchar(64),
         created_at bigint NOT NULL, expires_at bigint NOT NULL,
         decided_by text, decided_at bigint, reason text, serial varchar(40)
       )`,
    );
    await createIndex(runner, {
      name: 'ca_order_idempotency',
      table: 'ca_order',
      columns: 'idempotency_key',
      unique: true,
      where: 'idempotency_key IS NOT NULL',
    });
    await createIndex(runner, { name: 'ca_order_by_state', table: 'ca_order', columns: 'state, created_at, id' });
    await backfill(runner, 'names', (after) => this.#names(runner, after));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE ca_order');
    await runner.query('DROP TABLE ca_certificate_name');
    for (const order of orders) await dropIndex(runner, indexName(order));
    await dropIndex(runner, 'ca_certificate_idempotency');
    for (const column of ['renews', 'idempotency_key', 'request_sha256'])
      await briefly(runner, `ALTER TABLE ca_certificate DROP COLUMN ${column}`);
  }

  /** Hexadecimal digits in the order of their octets, whatever language the database is in. No row is written, one index is: its key's. */
  async #sortByOctets(runner: QueryRunner, table: string): Promise<void> {
    if (!isPostgres(runner)) return;
    const sorted = `SELECT 1 FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'serial' AND attcollation = 'pg_catalog."C"'::regcollation`;
    if ((await run(runner, sql(sorted, table))).length > 0) return;
    await briefly(runner, `ALTER TABLE ${table} ALTER COLUMN serial TYPE varchar(40) COLLATE "C"`);
  }

  /** The names of what was signed before, or is to be. */
  async #names(runner: QueryRunner, after: string): Promise<BackfillPage> {
    const rows = await run(
      runner,
      sql(
        `SELECT serial, reserved_at, certificate, tbs FROM ca_certificate
         WHERE serial > $1 AND (certificate IS NOT NULL OR tbs IS NOT NULL) ORDER BY serial LIMIT ${pageRows}`,
        after,
      ),
    );
    const names = rows.flatMap(({ serial, reserved_at, certificate, tbs }) => {
      const octets = Buffer.from(String(certificate ?? tbs), 'base64');
      const values = certificate === null ? searchNamesOfTbs(octets) : searchNamesOf(octets);
      return values.map((value) => ({ value: value.slice(0, 512), reserved_at: Number(reserved_at), serial }));
    });
    const columns = { value: 'text', reserved_at: 'bigint', serial: 'text' };
    const insert = sql(
      `INSERT INTO ca_certificate_name (value, reserved_at, serial) SELECT value, reserved_at, serial
       FROM ${rowsOfJson(isPostgres(runner), columns)} WHERE true ON CONFLICT DO NOTHING`,
      JSON.stringify(names),
    );
    return { writes: [insert], ...(rows.length === pageRows && { last: String(rows[pageRows - 1].serial) }) };
  }
}
