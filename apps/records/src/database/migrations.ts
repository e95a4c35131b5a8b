import { dataEncryptionMigrations } from '@nest-hsm/data-encryption';
import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';

export class CreateRecord1767225600001 implements MigrationInterface {
  readonly name = 'CreateRecord1767225600001';

  async up(queryRunner: QueryRunner): Promise<void> {
    // SQLite has no uuid type; TypeORM keeps UUIDs there as text.
    const id = queryRunner.connection.options.type === 'postgres' ? 'uuid' : 'varchar';
    const table = new Table({
      name: 'record',
      columns: [
        { name: 'id', type: id, isPrimary: true },
        { name: 'name', type: 'text' },
        { name: 'national_id', type: 'text' },
        { name: 'diagnosis', type: 'text', isNullable: true },
        { name: 'created_at', type: 'varchar', length: '32' },
      ],
    });
    await queryRunner.createTable(table);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropTable('record');
  }
}

export const migrations = [...dataEncryptionMigrations, CreateRecord1767225600001];
