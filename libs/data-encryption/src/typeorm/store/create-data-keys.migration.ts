import { type MigrationInterface, type QueryRunner, TableIndex } from 'typeorm';
import { createTable, isMariadb, varchar } from './migration-tables.js';

/** Makes the table of wrapped data keys. */
export class CreateDataEncryptionKeys1767225600000 implements MigrationInterface {
  readonly name = 'CreateDataEncryptionKeys1767225600000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const columns = [
      varchar('id', 32, { isPrimary: true }),
      varchar('table_id', 255),
      varchar('algorithm', 32),
      varchar('kek_version', 64),
      { name: 'wrapped', type: 'text' },
      varchar('commitment', 64),
      varchar('state', 16),
      { name: 'reserved_messages', type: 'integer' },
      varchar('created_at', 32),
    ];
    if (isMariadb(queryRunner)) {
      // As the migrations after this one leave it on the databases that are older here.
      const later = [
        varchar('purpose', 16, { default: "'cell'" }),
        varchar('column_id', 255, { default: "''" }),
        varchar('tenant', 255, { default: "''" }),
        varchar('active_scope', 64, { isNullable: true }),
      ];
      const indices = [
        { name: 'data_encryption_key_one_active', columnNames: ['active_scope'], isUnique: true },
        { name: 'data_encryption_key_tenant', columnNames: ['tenant', 'table_id'] },
      ];
      await createTable(queryRunner, 'data_encryption_key', [...columns, ...later], { indices });
      return;
    }
    await createTable(queryRunner, 'data_encryption_key', columns);
    const activeKey = {
      name: 'data_encryption_key_active',
      columnNames: ['table_id'],
      isUnique: true,
      where: `state = 'active'`,
    };
    await queryRunner.createIndex('data_encryption_key', new TableIndex(activeKey));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropTable('data_encryption_key');
  }
}
