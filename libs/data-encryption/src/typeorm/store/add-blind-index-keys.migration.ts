import { type MigrationInterface, type QueryRunner, TableIndex } from 'typeorm';
import { isMariadb } from './migration-tables.js';

const table = 'data_encryption_key';
const index = (name: string, columnNames: string[]) =>
  new TableIndex({ name, columnNames, isUnique: true, where: `state = 'active'` });
const activeUse = index('data_encryption_key_active_use', ['purpose', 'table_id', 'column_id']);
const activeKey = index('data_encryption_key_active', ['table_id']);

/** Lets the table of wrapped data keys hold those of blind indexes too. */
export class AddBlindIndexKeys1767312000000 implements MigrationInterface {
  readonly name = 'AddBlindIndexKeys1767312000000';

  async up(queryRunner: QueryRunner): Promise<void> {
    if (isMariadb(queryRunner)) return;
    // As text: TypeORM copies a table of SQLite for each column that is added.
    await queryRunner.query(`ALTER TABLE ${table} ADD COLUMN purpose varchar(16) NOT NULL DEFAULT 'cell'`);
    await queryRunner.query(`ALTER TABLE ${table} ADD COLUMN column_id varchar(255) NOT NULL DEFAULT ''`);
    await queryRunner.dropIndex(table, activeKey);
    await queryRunner.createIndex(table, activeUse);
  }

  /** The keys of blind indexes are lost, and with them what their columns can be searched by. */
  async down(queryRunner: QueryRunner): Promise<void> {
    if (isMariadb(queryRunner)) return;
    await queryRunner.dropIndex(table, activeUse);
    await queryRunner.query(`DELETE FROM ${table} WHERE purpose <> 'cell'`);
    await queryRunner.query(`ALTER TABLE ${table} DROP COLUMN column_id`);
    await queryRunner.query(`ALTER TABLE ${table} DROP COLUMN purpose`);
    await queryRunner.createIndex(table, activeKey);
  }
}
