import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createTable, isMariadb, varchar } from './migration-tables.js';

/** Makes the table of the primary keys that were given out, which MariaDB alone needs. */
export class CreateDataEncryptionKeySequences1767744000000 implements MigrationInterface {
  readonly name = 'CreateDataEncryptionKeySequences1767744000000';

  async up(queryRunner: QueryRunner): Promise<void> {
    if (!isMariadb(queryRunner)) return;
    const columns = [varchar('table_path', 255, { isPrimary: true }), { name: 'last_key', type: 'bigint' }];
    await createTable(queryRunner, 'data_encryption_key_sequence', columns, { engine: 'Aria' });
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    if (isMariadb(queryRunner)) await queryRunner.dropTable('data_encryption_key_sequence', true);
  }
}
