import type { MigrationInterface, QueryRunner } from 'typeorm';

/** How far certificates were looked at for OCSP responses that nobody has signed yet: one row. */
export class Presigning1764600000000 implements MigrationInterface {
  readonly name = 'Presigning1764600000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      'CREATE TABLE ca_ocsp_position (id smallint NOT NULL PRIMARY KEY, reserved_at bigint NOT NULL, serial varchar(40) NOT NULL)',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE ca_ocsp_position');
  }
}
