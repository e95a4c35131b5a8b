import type { MigrationInterface, QueryRunner } from 'typeorm';

const tables = ['ca_certificate', 'ca_order'];

/** What shows that this CA decided so, and nobody who can write to the database. What is older has none, and recovery revokes it. */
export class DecisionSeals1764700000000 implements MigrationInterface {
  readonly name = 'DecisionSeals1764700000000';

  async up(runner: QueryRunner): Promise<void> {
    for (const table of tables) await runner.query(`ALTER TABLE ${table} ADD COLUMN seal varchar(64)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of tables) await runner.query(`ALTER TABLE ${table} DROP COLUMN seal`);
  }
}
