import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';

/** Every public URL under which certificates of an issuer were told to look for the shards of its CRL. */
export class CrlLocations1764400000000 implements MigrationInterface {
  readonly name = 'CrlLocations1764400000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.createTable(
      new Table({
        name: 'ca_crl_location',
        columns: [
          { name: 'issuer_id', type: 'varchar', length: '40', isPrimary: true },
          { name: 'public_url', type: 'varchar', length: '512', isPrimary: true },
        ],
      }),
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable('ca_crl_location');
  }
}
