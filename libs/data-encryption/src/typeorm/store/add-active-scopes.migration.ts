import { type MigrationInterface, type QueryRunner, TableIndex } from 'typeorm';
import { scopeDigest } from './data-key.entity.js';
import { isMariadb } from './migration-tables.js';

const table = 'data_encryption_key';
const oneActive = new TableIndex({
  name: 'data_encryption_key_one_active',
  columnNames: ['active_scope'],
  isUnique: true,
});
const activeScope = new TableIndex({
  name: 'data_encryption_key_active_scope',
  columnNames: ['purpose', 'table_id', 'column_id', 'tenant'],
  isUnique: true,
  where: `state = 'active'`,
});

/** Lets a column say which keys are active, in the place of an index that not every database can have. */
export class AddDataEncryptionActiveScopes1767657600000 implements MigrationInterface {
  readonly name = 'AddDataEncryptionActiveScopes1767657600000';

  async up(queryRunner: QueryRunner): Promise<void> {
    if (isMariadb(queryRunner)) return;
    // As text: TypeORM copies a table of SQLite for each column that is added.
    await queryRunner.query(`ALTER TABLE ${table} ADD COLUMN active_scope varchar(64)`);
    const found = (await queryRunner.query(
      `SELECT id, purpose, table_id, column_id, tenant FROM ${table} WHERE state = 'active'`,
    )) as Record<'column_id' | 'id' | 'purpose' | 'table_id' | 'tenant', string>[];
    for (const { id, purpose, table_id: tableId, column_id: columnId, tenant } of found) {
      const digest = scopeDigest({ purpose, tableId, columnId, tenant });
      // Both are hexadecimal: no database's own way to write parameters is needed.
      await queryRunner.query(`UPDATE ${table} SET active_scope = '${digest}' WHERE id = '${id}'`);
    }
    await queryRunner.dropIndex(table, activeScope);
    await queryRunner.createIndex(table, oneActive);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    if (isMariadb(queryRunner)) return;
    await queryRunner.dropIndex(table, oneActive);
    await queryRunner.createIndex(table, activeScope);
    await queryRunner.query(`ALTER TABLE ${table} DROP COLUMN active_scope`);
  }
}
