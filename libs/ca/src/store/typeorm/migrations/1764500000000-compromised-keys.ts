import { createHash } from 'node:crypto';
import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';
import { parseDer } from '../../../der/der-reader.js';
import { viewTbsCertificate } from '../../../issuance/certificate-view.js';

const keyCompromise = 1;
const backfillRows = 500;

/** Keys that are certified no more: those of certificates revoked for keyCompromise, earlier ones among them. */
export class CompromisedKeys1764500000000 implements MigrationInterface {
  readonly name = 'CompromisedKeys1764500000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.createTable(
      new Table({
        name: 'ca_compromised_key',
        columns: [
          { name: 'spki_sha256', type: 'varchar', length: '64', isPrimary: true },
          { name: 'serial', type: 'varchar', length: '40' },
        ],
      }),
    );
    await this.#recordEarlierOnes(runner);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable('ca_compromised_key');
  }

  async #recordEarlierOnes(runner: QueryRunner): Promise<void> {
    const [first, second] = runner.connection.options.type === 'postgres' ? ['$1', '$2'] : ['?', '?'];
    for (let after = ''; ;) {
      const rows = (await runner.query(
        `SELECT r.serial AS serial, c.certificate AS certificate FROM ca_revocation r JOIN ca_certificate c ON c.serial = r.serial
         WHERE r.state = 'revoked' AND r.reason = ${keyCompromise} AND c.certificate IS NOT NULL AND r.serial > ${first}
         ORDER BY r.serial LIMIT ${second}`,
        [after, backfillRows],
      )) as { serial: string; certificate: string }[];
      for (const { serial, certificate } of rows) {
        const text = `INSERT INTO ca_compromised_key (spki_sha256, serial) VALUES (${first}, ${second}) ON CONFLICT DO NOTHING`;
        await runner.query(text, [keyDigest(Buffer.from(certificate, 'base64')), serial]);
      }
      if (rows.length < backfillRows) return;
      after = rows[rows.length - 1].serial;
    }
  }
}

function keyDigest(certificate: Buffer): string {
  const { subjectPublicKeyInfo } = viewTbsCertificate(parseDer(certificate).children[0]);
  return createHash('sha256').update(subjectPublicKeyInfo.raw).digest('hex');
}
