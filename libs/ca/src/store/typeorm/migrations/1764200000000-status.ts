import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';

/** Status of certificates: revocations and their order, CRLs by scope with their DER in pieces, pre-signed OCSP responses. */
export class Status1764200000000 implements MigrationInterface {
  readonly name = 'Status1764200000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.createTable(
      new Table({
        name: 'ca_revocation',
        columns: [
          { name: 'issuer_id', type: 'varchar', length: '40', isPrimary: true },
          { name: 'serial', type: 'varchar', length: '40', isPrimary: true },
          { name: 'state', type: 'varchar', length: '8' },
          { name: 'reason', type: 'smallint' },
          { name: 'revoked_at', type: 'bigint' },
          { name: 'invalidity_date', type: 'bigint', isNullable: true },
          { name: 'shard', type: 'integer' },
          { name: 'not_after', type: 'bigint' },
          { name: 'requester', type: 'text' },
          { name: 'sequence', type: 'bigint' },
        ],
        indices: [
          { name: 'ca_revocation_sequence', columnNames: ['issuer_id', 'sequence'] },
          { name: 'ca_revocation_shard', columnNames: ['issuer_id', 'shard', 'sequence'] },
        ],
      }),
    );
    await runner.createTable(
      new Table({
        name: 'ca_status_sequence',
        columns: [
          { name: 'issuer_id', type: 'varchar', length: '40', isPrimary: true },
          { name: 'sequence', type: 'bigint' },
        ],
      }),
    );
    await runner.createTable(
      new Table({
        name: 'ca_ocsp_response',
        columns: [
          { name: 'issuer_id', type: 'varchar', length: '40', isPrimary: true },
          { name: 'serial', type: 'varchar', length: '40', isPrimary: true },
          { name: 'hash', type: 'varchar', length: '8', isPrimary: true },
          { name: 'der', type: 'text' },
          { name: 'this_update', type: 'bigint' },
          { name: 'next_update', type: 'bigint' },
          { name: 'refresh_at', type: 'bigint' },
          { name: 'sequence', type: 'bigint' },
        ],
        indices: [{ name: 'ca_ocsp_response_refresh', columnNames: ['issuer_id', 'refresh_at'] }],
      }),
    );
    await runner.createTable(
      new Table({
        name: 'ca_ocsp_responder',
        columns: [
          { name: 'issuer_id', type: 'varchar', length: '40', isPrimary: true },
          { name: 'serial', type: 'varchar', length: '40' },
        ],
      }),
    );
    await this.#replaceCrls(runner);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['ca_revocation', 'ca_status_sequence', 'ca_ocsp_response', 'ca_ocsp_responder'])
      await runner.dropTable(table);
    await runner.renameTable('ca_crl', 'ca_crl_by_scope');
    await runner.createTable(
      new Table({
        name: 'ca_crl',
        columns: [
          { name: 'issuer_id', type: 'varchar', length: '40', isPrimary: true },
          { name: 'number', type: 'bigint', isPrimary: true },
          { name: 'state', type: 'varchar', length: '16' },
          { name: 'tbs', type: 'text', isNullable: true },
          { name: 'tbs_sha256', type: 'varchar', length: '64' },
          { name: 'der', type: 'text', isNullable: true },
          { name: 'this_update', type: 'bigint' },
          { name: 'next_update', type: 'bigint' },
        ],
      }),
    );
    await runner.dropTable('ca_crl_piece');
    await runner.dropTable('ca_crl_by_scope');
  }

  /** What was signed stays known by its number and digest, and the CRL in force stays in force. */
  async #replaceCrls(runner: QueryRunner): Promise<void> {
    await runner.renameTable('ca_crl', 'ca_crl_of_first_schema');
    await runner.createTable(
      new Table({
        name: 'ca_crl',
        columns: [
          {
            name: 'issuer_id',
            type: 'varchar',
            length: '40',
            isPrimary: true,
            primaryKeyConstraintName: 'ca_crl_number',
          },
          { name: 'number', type: 'bigint', isPrimary: true, primaryKeyConstraintName: 'ca_crl_number' },
          { name: 'shard', type: 'integer' },
          { name: 'kind', type: 'varchar', length: '8' },
          { name: 'state', type: 'varchar', length: '16' },
          { name: 'claimed_at', type: 'bigint' },
          { name: 'base_number', type: 'bigint', isNullable: true },
          { name: 'through', type: 'bigint', isNullable: true },
          { name: 'entries', type: 'integer', isNullable: true },
          { name: 'tbs_sha256', type: 'varchar', length: '64', isNullable: true },
          { name: 'this_update', type: 'bigint', isNullable: true },
          { name: 'next_update', type: 'bigint', isNullable: true },
        ],
        indices: [{ name: 'ca_crl_scope', columnNames: ['issuer_id', 'shard', 'kind', 'state', 'number'] }],
      }),
    );
    await runner.createTable(
      new Table({
        name: 'ca_crl_piece',
        columns: [
          { name: 'issuer_id', type: 'varchar', length: '40', isPrimary: true },
          { name: 'number', type: 'bigint', isPrimary: true },
          { name: 'position', type: 'integer', isPrimary: true },
          { name: 'octets', type: 'text' },
        ],
      }),
    );
    await runner.query(
      `INSERT INTO ca_crl (issuer_id, number, shard, kind, state, claimed_at, through, entries, tbs_sha256, this_update, next_update)
       SELECT issuer_id, number, 0, 'full', state, this_update, 0, 0, tbs_sha256, this_update, next_update FROM ca_crl_of_first_schema`,
    );
    await runner.query(
      `INSERT INTO ca_crl_piece (issuer_id, number, position, octets)
       SELECT issuer_id, number, 0, der FROM ca_crl_of_first_schema WHERE der IS NOT NULL`,
    );
    await runner.dropTable('ca_crl_of_first_schema');
  }
}
