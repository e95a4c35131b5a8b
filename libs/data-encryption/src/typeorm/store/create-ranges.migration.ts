import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createTable, varchar } from './migration-tables.js';

/** Makes the table of how far encrypting anew has come. */
export class CreateDataEncryptionRanges1767398400000 implements MigrationInterface {
  readonly name = 'CreateDataEncryptionRanges1767398400000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const count = (name: string) => ({ name, type: 'integer', default: '0' });
    const key = (name: string) => ({ name, type: 'text', isNullable: true });
    await createTable(queryRunner, 'data_encryption_range', [
      varchar('table_id', 255, { isPrimary: true }),
      { name: 'pass', type: 'integer', isPrimary: true },
      { name: 'part', type: 'integer', isPrimary: true },
      key('after_key'),
      key('up_to_key'),
      { name: 'of_rows', type: 'integer' },
      ...['seen_rows', 'replaced', 'missed', 'failed'].map(count),
      varchar('worker', 36, { default: "''" }),
      varchar('held_until', 32, { default: "''" }),
      count('is_finished'),
    ]);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropTable('data_encryption_range');
  }
}
