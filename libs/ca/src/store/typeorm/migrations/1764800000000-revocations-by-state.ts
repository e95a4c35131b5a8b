import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex, dropIndex } from '../migration-steps.js';

/** What is revoked, and what is held, in the order of serials: written by revocations alone. */
export class RevocationsByState1764800000000 implements MigrationInterface {
  readonly name = 'RevocationsByState1764800000000';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await createIndex(runner, { name: 'ca_revocation_by_state', table: 'ca_revocation', columns: 'state, serial' });
  }

  async down(runner: QueryRunner): Promise<void> {
    await dropIndex(runner, 'ca_revocation_by_state');
  }
}
