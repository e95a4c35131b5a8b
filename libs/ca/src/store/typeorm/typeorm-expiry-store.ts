import type { DataSource } from 'typeorm';
import type { ExpiringCertificate, ExpiryPosition, ExpiryQuery, ExpiryStore } from '../expiry-store.js';
import { type Row, Sql } from './sql.js';
import { withStore } from './store-error.js';

/** Positions and expiring certificates in SQLite or PostgreSQL. */
export class TypeOrmExpiryStore implements ExpiryStore {
  readonly #sql: Sql;

  constructor(dataSource: DataSource) {
    this.#sql = new Sql(dataSource);
  }

  async listExpiring({ issuerId, after, until, limit }: ExpiryQuery): Promise<ExpiringCertificate[]> {
    // A row comparison is one range of the index (issuer_id, not_after, serial).
    const text = `SELECT serial, issuer_id, profile, requester, not_before, not_after FROM ca_certificate AS row
      WHERE issuer_id = $1 AND (not_after, serial) > ($2, $3) AND not_after <= $4 AND state = 'issued'
        AND NOT EXISTS (SELECT 1 FROM ca_revocation AS status
          WHERE status.issuer_id = row.issuer_id AND status.serial = row.serial AND status.state = 'revoked')
      ORDER BY not_after, serial LIMIT $5`;
    const values = [issuerId, after.notAfter.getTime(), after.serial, until.getTime(), limit];
    return (await withStore('list expiring certificates', () => this.#sql.all(text, ...values))).map(expiring);
  }

  async position(issuerId: string, withinDays: number): Promise<ExpiryPosition | undefined> {
    const text = 'SELECT not_after, serial FROM ca_expiry_position WHERE issuer_id = $1 AND within_days = $2';
    const [row] = await withStore('read the position of a scan', () => this.#sql.all(text, issuerId, withinDays));
    return row && { notAfter: new Date(Number(row.not_after)), serial: String(row.serial) };
  }

  async advance(
    issuerId: string,
    withinDays: number,
    from: ExpiryPosition | undefined,
    to: ExpiryPosition,
  ): Promise<boolean> {
    const next = [issuerId, withinDays, to.notAfter.getTime(), to.serial];
    const insert = `INSERT INTO ca_expiry_position (issuer_id, within_days, not_after, serial) VALUES ($1, $2, $3, $4)
      ON CONFLICT (issuer_id, within_days) DO NOTHING RETURNING serial`;
    const update = `UPDATE ca_expiry_position SET not_after = $3, serial = $4
      WHERE issuer_id = $1 AND within_days = $2 AND not_after = $5 AND serial = $6 RETURNING serial`;
    const rows = await withStore('move a scan on', () =>
      from === undefined
        ? this.#sql.all(insert, ...next)
        : this.#sql.all(update, ...next, from.notAfter.getTime(), from.serial),
    );
    return rows.length === 1;
  }
}

function expiring(row: Row): ExpiringCertificate {
  return {
    serial: String(row.serial),
    issuerId: String(row.issuer_id),
    profile: String(row.profile),
    requester: String(row.requester),
    notBefore: new Date(Number(row.not_before)),
    notAfter: new Date(Number(row.not_after)),
  };
}
