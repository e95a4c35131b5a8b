import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';

export class ApiTokens1764100000000 implements MigrationInterface {
  readonly name = 'ApiTokens1764100000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.createTable(
      new Table({
        name: 'ca_api_token',
        columns: [
          { name: 'id', type: 'varchar', length: '16', isPrimary: true },
          { name: 'token_sha256', type: 'varchar', length: '64' },
          { name: 'name', type: 'varchar', length: '64' },
          { name: 'scopes', type: 'text' },
          { name: 'profiles', type: 'text', isNullable: true },
          { name: 'created_at', type: 'bigint' },
          { name: 'created_by', type: 'text' },
          { name: 'expires_at', type: 'bigint' },
          { name: 'revoked_at', type: 'bigint', isNullable: true },
        ],
      }),
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable('ca_api_token');
  }
}
