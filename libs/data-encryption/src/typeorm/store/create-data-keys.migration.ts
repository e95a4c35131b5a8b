import { type MigrationInterface, type QueryRunner, Table, TableIndex } from 'typeorm';

/** Makes the table of wrapped data keys. */
export class CreateDataEncryptionKeys1767225600000 implements MigrationInterface {
  readonly name = 'CreateDataEncryptionKeys1767225600000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const text = (name: string, length: string) => ({ name, type: 'varchar', length });
    await queryRunner.createTable(
      new Table({
        name: 'data_encryption_key',
        columns: [
          { ...text('id', '32'), isPrimary: true },
          text('table_id', '255'),
          text('algorithm', '32'),
          text('kek_version', '64'),
          { name: 'wrapped', type: 'text' },
          text('commitment', '64'),
          text('state', '16'),
          { name: 'reserved_messages', type: 'integer' },
          text('created_at', '32'),
        ],
      }),
    );
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
