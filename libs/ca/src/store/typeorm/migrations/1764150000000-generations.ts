import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';
import { createIndex, createTables, dropIndex } from '../migration-steps.js';

/** Generations of issuers, CA certificates made elsewhere, what else CA keys sign, and the index by which each issuer's certificates expire. */
export class Generations1764150000000 implements MigrationInterface {
  readonly name = 'Generations1764150000000';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await createTables(runner, [
      new Table({
        name: 'ca_generation',
        columns: [
          { name: 'name', type: 'varchar', length: '32', isPrimary: true },
          { name: 'generation', type: 'integer', isPrimary: true },
          { name: 'issuer_id', type: 'varchar', length: '40' },
          { name: 'active_from', type: 'bigint' },
        ],
      }),
      new Table({
        name: 'ca_imported_certificate',
        columns: [
          { name: 'sha256', type: 'varchar', length: '64', isPrimary: true },
          { name: 'subject_key_id', type: 'varchar', length: '40' },
          { name: 'subject_sha256', type: 'varchar', length: '64' },
          { name: 'certificate', type: 'text' },
          { name: 'imported_at', type: 'bigint' },
        ],
        indices: [
          { name: 'ca_imported_certificate_key', columnNames: ['subject_key_id'] },
          { name: 'ca_imported_certificate_name', columnNames: ['subject_sha256'] },
        ],
      }),
      new Table({
        name: 'ca_signed_document',
        columns: [
          { name: 'sha256', type: 'varchar', length: '64', isPrimary: true },
          { name: 'issuer_id', type: 'varchar', length: '40' },
          { name: 'kind', type: 'varchar', length: '16' },
          { name: 'octets', type: 'text' },
          { name: 'signed_at', type: 'bigint' },
        ],
        indices: [{ name: 'ca_signed_document_issuer', columnNames: ['issuer_id'] }],
      }),
      new Table({
        name: 'ca_expiry_position',
        columns: [
          { name: 'issuer_id', type: 'varchar', length: '40', isPrimary: true },
          { name: 'within_days', type: 'integer', isPrimary: true },
          { name: 'not_after', type: 'bigint' },
          { name: 'serial', type: 'varchar', length: '40' },
        ],
      }),
    ]);
    await createIndex(runner, {
      name: 'ca_certificate_expiry',
      table: 'ca_certificate',
      columns: 'issuer_id, not_after',
    });
  }

  async down(runner: QueryRunner): Promise<void> {
    await dropIndex(runner, 'ca_certificate_expiry');
    await runner.dropTable('ca_expiry_position');
    await runner.dropTable('ca_signed_document');
    await runner.dropTable('ca_imported_certificate');
    await runner.dropTable('ca_generation');
  }
}
