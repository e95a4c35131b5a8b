import { createHash } from 'node:crypto';
import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';
import { parseDer } from '../../../der/der-reader.js';
import { viewTbsCertificate } from '../../../issuance/certificate-view.js';
import { backfill, type BackfillPage, createTables, isPostgres, run } from '../migration-steps.js';
import { rowsOfJson, sql } from '../sql.js';

const keyCompromise = 1;
const pageRows = 500;

/** Keys that are certified no more: those of certificates revoked for keyCompromise, earlier ones among them. */
export class CompromisedKeys1764500000000 implements MigrationInterface {
  readonly name = 'CompromisedKeys1764500000000';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await createTables(runner, [
      new Table({
        name: 'ca_compromised_key',
        columns: [
          { name: 'spki_sha256', type: 'varchar', length: '64', isPrimary: true },
          { name: 'serial', type: 'varchar', length: '40' },
        ],
      }),
    ]);
    await backfill(runner, 'compromised keys', (after) => this.#earlierOnes(runner, after));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable('ca_compromised_key');
  }

  async #earlierOnes(runner: QueryRunner, after: string): Promise<BackfillPage> {
    const rows = await run(
      runner,
      sql(
        `SELECT r.serial AS serial, c.certificate AS certificate FROM ca_revocation r JOIN ca_certificate c ON c.serial = r.serial
         WHERE r.state = 'revoked' AND r.reason = ${keyCompromise} AND c.certificate IS NOT NULL AND r.serial > $1
         ORDER BY r.serial LIMIT ${pageRows}`,
        after,
      ),
    );
    const keys = rows.map(({ serial, certificate }) => ({
      spki_sha256: keyDigest(Buffer.from(String(certificate), 'base64')),
      serial,
    }));
    const insert = sql(
      `INSERT INTO ca_compromised_key (spki_sha256, serial) SELECT spki_sha256, serial
       FROM ${rowsOfJson(isPostgres(runner), { spki_sha256: 'text', serial: 'text' })} WHERE true ON CONFLICT DO NOTHING`,
      JSON.stringify(keys),
    );
    return { writes: [insert], ...(rows.length === pageRows && { last: String(rows[pageRows - 1].serial) }) };
  }
}

function keyDigest(certificate: Buffer): string {
  const { subjectPublicKeyInfo } = viewTbsCertificate(parseDer(certificate).children[0]);
  return createHash('sha256').update(subjectPublicKeyInfo.raw).digest('hex');
}
