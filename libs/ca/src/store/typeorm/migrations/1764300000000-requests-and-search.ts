import type { MigrationInterface, QueryRunner } from 'typeorm';
import { searchNamesOf } from '../../../search/search-names.js';

const backfillRows = 500;

/** What a request was bound to (idempotency, renewal, approval), and what certificates are searched by. */
export class RequestsAndSearch1764300000000 implements MigrationInterface {
  readonly name = 'RequestsAndSearch1764300000000';

  async up(runner: QueryRunner): Promise<void> {
    const isPostgres = runner.connection.options.type === 'postgres';
    const inOctets = isPostgres ? ' COLLATE "C"' : '';
    // Hexadecimal digits in the order of their octets, whatever language the database is in.
    if (isPostgres) {
      for (const table of ['ca_certificate', 'ca_revocation'])
        await runner.query(`ALTER TABLE ${table} ALTER COLUMN serial TYPE varchar(40) COLLATE "C"`);
    }
    for (const column of ['renews varchar(40)', 'idempotency_key varchar(64)', 'request_sha256 varchar(64)'])
      await runner.query(`ALTER TABLE ca_certificate ADD COLUMN ${column}`);
    // A voided row was never signed: its key is free again.
    await runner.query(
      `CREATE UNIQUE INDEX ca_certificate_idempotency ON ca_certificate (idempotency_key) WHERE idempotency_key IS NOT NULL AND state <> 'voided'`,
    );
    for (const order of ['reserved_at', 'requester, reserved_at', 'profile, reserved_at', 'not_after']) {
      const name = `ca_certificate_by_${order.split(',')[0]}`;
      await runner.query(`CREATE INDEX ${name} ON ca_certificate (${order}, serial)`);
    }
    await runner.query(
      `CREATE TABLE ca_certificate_name (
         value text${inOctets} NOT NULL, reserved_at bigint NOT NULL, serial varchar(40)${inOctets} NOT NULL, PRIMARY KEY (value, reserved_at, serial)
       )${isPostgres ? '' : ' WITHOUT ROWID'}`,
    );
    await runner.query(
      `CREATE TABLE ca_order (
         id varchar(32) NOT NULL PRIMARY KEY, state varchar(16) NOT NULL, profile varchar(64) NOT NULL,
         profile_version varchar(64) NOT NULL, requester text NOT NULL,
         csr text NOT NULL, names text NOT NULL,
         idempotency_key varchar(64), request_sha256 varchar(64),
         created_at bigint NOT NULL, expires_at bigint NOT NULL,
         decided_by text, decided_at bigint, reason text, serial varchar(40)
       )`,
    );
    await runner.query(
      `CREATE UNIQUE INDEX ca_order_idempotency ON ca_order (idempotency_key) WHERE idempotency_key IS NOT NULL`,
    );
    await runner.query(`CREATE INDEX ca_order_by_state ON ca_order (state, created_at, id)`);
    await this.#nameThoseIssuedBefore(runner, isPostgres);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE ca_order');
    await runner.query('DROP TABLE ca_certificate_name');
    for (const by of ['reserved_at', 'requester', 'profile', 'not_after'])
      await runner.query(`DROP INDEX ca_certificate_by_${by}`);
    await runner.query('DROP INDEX ca_certificate_idempotency');
    for (const column of ['renews', 'idempotency_key', 'request_sha256'])
      await runner.query(`ALTER TABLE ca_certificate DROP COLUMN ${column}`);
  }

  async #nameThoseIssuedBefore(runner: QueryRunner, isPostgres: boolean): Promise<void> {
    const [first, second] = isPostgres ? ['$1', '$2'] : ['?', '?'];
    for (let after = ''; ;) {
      const rows = (await runner.query(
        `SELECT serial, reserved_at, certificate FROM ca_certificate WHERE certificate IS NOT NULL AND serial > ${first}
         ORDER BY serial LIMIT ${second}`,
        [after, backfillRows],
      )) as { serial: string; reserved_at: string | number; certificate: string }[];
      const names = rows.flatMap(({ serial, reserved_at, certificate }) =>
        searchNamesOf(Buffer.from(certificate, 'base64')).map((value) => ({
          value: value.slice(0, 512),
          reserved_at,
          serial,
        })),
      );
      const json = JSON.stringify(names);
      await runner.query(
        isPostgres
          ? `INSERT INTO ca_certificate_name SELECT * FROM jsonb_to_recordset($1::jsonb) AS i(value text, reserved_at bigint, serial text)
             ON CONFLICT DO NOTHING`
          : `INSERT INTO ca_certificate_name SELECT value ->> 'value', CAST(value ->> 'reserved_at' AS integer), value ->> 'serial'
             FROM json_each(?) WHERE true ON CONFLICT DO NOTHING`,
        [json],
      );
      if (rows.length < backfillRows) return;
      after = rows[rows.length - 1].serial;
    }
  }
}
