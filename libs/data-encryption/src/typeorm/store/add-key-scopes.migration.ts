import { type MigrationInterface, type QueryRunner, TableIndex } from 'typeorm';
import { isMariadb } from './migration-tables.js';

const table = 'data_encryption_key';
const active = (name: string, columnNames: string[]) =>
  new TableIndex({ name, columnNames, isUnique: true, where: `state = 'active'` });
const activeUse = active('data_encryption_key_active_use', ['purpose', 'table_id', 'column_id']);
const activeScope = active('data_encryption_key_active_scope', ['purpose', 'table_id', 'column_id', 'tenant']);
const ofTenant = new TableIndex({ name: 'data_encryption_key_tenant', columnNames: ['tenant', 'table_id'] });

/** Lets data keys be of one column, or of one tenant. */
export class AddDataEncryptionKeyScopes1767484800000 implements MigrationInterface {
  readonly name = 'AddDataEncryptionKeyScopes1767484800000';

  async up(queryRunner: QueryRunner): Promise<void> {
    if (isMariadb(queryRunner)) return;
    // As text: TypeORM copies a table of SQLite for each column that is added.
    await queryRunner.query(`ALTER TABLE ${table} ADD COLUMN tenant varchar(255) NOT NULL DEFAULT ''`);
    await queryRunner.dropIndex(table, activeUse);
    await queryRunner.createIndex(table, activeScope);
    await queryRunner.createIndex(table, ofTenant);
  }

  /** The keys of tenants and columns are lost, and with them what they encrypted. */
  async down(queryRunner: QueryRunner): Promise<void> {
    if (isMariadb(queryRunner)) return;
    await queryRunner.dropIndex(table, ofTenant);
    await queryRunner.dropIndex(table, activeScope);
    await queryRunner.query(`DELETE FROM ${table} WHERE tenant <> '' OR (purpose = 'cell' AND column_id <> '')`);
    await queryRunner.query(`ALTER TABLE ${table} DROP COLUMN tenant`);
    await queryRunner.createIndex(table, activeUse);
  }
}
