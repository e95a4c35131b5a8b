import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';

/** The first schema: every serial ever reserved, every CRL ever signed. */
export class CertificatesAndCrls1764000000000 implements MigrationInterface {
  readonly name = 'CertificatesAndCrls1764000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.createTable(
      new Table({
        name: 'ca_certificate',
        columns: [
          { name: 'serial', type: 'varchar', length: '40', isPrimary: true },
          { name: 'issuer_id', type: 'varchar', length: '40' },
          { name: 'state', type: 'varchar', length: '16' },
          { name: 'profile', type: 'varchar', length: '64' },
          { name: 'profile_version', type: 'varchar', length: '64' },
          { name: 'requester', type: 'text' },
          { name: 'subject_key_id', type: 'varchar', length: '40' },
          { name: 'is_authority', type: 'smallint' },
          { name: 'not_before', type: 'bigint' },
          { name: 'not_after', type: 'bigint' },
          { name: 'reserved_at', type: 'bigint' },
          { name: 'ticket_expires_at', type: 'bigint' },
          { name: 'tbs', type: 'text', isNullable: true },
          { name: 'tbs_sha256', type: 'varchar', length: '64', isNullable: true },
          { name: 'certificate', type: 'text', isNullable: true },
          { name: 'issued_at', type: 'bigint', isNullable: true },
        ],
        indices: [
          { name: 'ca_certificate_unfinished', columnNames: ['state'], where: `"state" IN ('reserved', 'signing')` },
          { name: 'ca_certificate_authority', columnNames: ['subject_key_id'], where: '"is_authority" = 1' },
        ],
      }),
    );
    await runner.createTable(
      new Table({
        name: 'ca_crl',
        columns: [
          { name: 'issuer_id', type: 'varchar', length: '40', isPrimary: true },
          { name: 'number', type: 'bigint', isPrimary: true },
          { name: 'state', type: 'varchar', length: '16' },
          { name: 'tbs', type: 'text', isNullable: true },
          { name: 'tbs_sha256', type: 'varchar', length: '64' },
          { name: 'der', type: 'text', isNullable: true },
          { name: 'this_update', type: 'bigint' },
          { name: 'next_update', type: 'bigint' },
        ],
      }),
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable('ca_crl');
    await runner.dropTable('ca_certificate');
  }
}
