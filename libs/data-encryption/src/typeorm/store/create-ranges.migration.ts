import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';

/** Makes the table of how far encrypting anew has come. */
export class CreateDataEncryptionRanges1767398400000 implements MigrationInterface {
  readonly name = 'CreateDataEncryptionRanges1767398400000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const text = (name: string, length: string) => ({ name, type: 'varchar', length });
    const count = (name: string) => ({ name, type: 'integer', default: '0' });
    const key = (name: string) => ({ name, type: 'text', isNullable: true });
    await queryRunner.createTable(
      new Table({
        name: 'data_encryption_range',
        columns: [
          { ...text('table_id', '255'), isPrimary: true },
          { name: 'pass', type: 'integer', isPrimary: true },
          { name: 'part', type: 'integer', isPrimary: true },
          key('after_key'),
          key('up_to_key'),
          { name: 'of_rows', type: 'integer' },
          ...['seen_rows', 'replaced', 'missed', 'failed'].map(count),
          { ...text('worker', '36'), default: "''" },
          { ...text('held_until', '32'), default: "''" },
          count('is_finished'),
        ],
      }),
    );
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropTable('data_encryption_range');
  }
}
