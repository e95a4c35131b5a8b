import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createTable, varchar } from './migration-tables.js';

/** Makes the tables of tombstones, and of the processes that may have keys of tenants. */
export class CreateDataEncryptionShreddings1767571200000 implements MigrationInterface {
  readonly name = 'CreateDataEncryptionShreddings1767571200000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const text = (name: string, value: string) => ({ name, type: 'text', default: `'${value}'` });
    const count = (name: string) => ({ name, type: 'integer', default: '0' });
    await createTable(queryRunner, 'data_encryption_shredding', [
      varchar('tenant', 255, { isPrimary: true }),
      varchar('state', 16),
      varchar('operator', 200),
      varchar('begun_at', 32),
      count('acknowledged'),
      count('silent'),
      text('keks', '[]'),
      text('receipt', ''),
      text('signature', ''),
    ]);
    await createTable(queryRunner, 'data_encryption_process', [
      varchar('id', 36, { isPrimary: true }),
      varchar('host', 255),
      { name: 'pid', type: 'integer' },
      { name: 'beats', type: 'integer' },
    ]);
  }

  /** The tombstones are lost, and with them the receipts. */
  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropTable('data_encryption_process');
    await queryRunner.dropTable('data_encryption_shredding');
  }
}
