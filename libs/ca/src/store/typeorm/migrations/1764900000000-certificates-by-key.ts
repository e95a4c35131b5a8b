import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex, dropIndex } from '../migration-steps.js';

/** Certificates by their key: what is to be revoked with a key that was compromised. */
export class CertificatesByKey1764900000000 implements MigrationInterface {
  readonly name = 'CertificatesByKey1764900000000';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await createIndex(runner, { name: 'ca_certificate_by_key', table: 'ca_certificate', columns: 'subject_key_id' });
  }

  async down(runner: QueryRunner): Promise<void> {
    await dropIndex(runner, 'ca_certificate_by_key');
  }
}
