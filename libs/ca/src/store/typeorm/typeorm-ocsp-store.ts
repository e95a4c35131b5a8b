import type { DataSource } from 'typeorm';
import type { CertIdHash, OcspResponseKey, OcspStore, StoredOcspResponse } from '../ocsp-store.js';
import { insertResponse } from './ocsp-statements.js';
import { type Row, Sql, sql, type Steps } from './sql.js';
import { withStore } from './store-error.js';

/** Pre-signed OCSP responses in SQLite or PostgreSQL. */
export class TypeOrmOcspStore implements OcspStore {
  readonly #sql: Sql;

  constructor(dataSource: DataSource) {
    this.#sql = new Sql(dataSource);
  }

  async find({ issuerId, serial, hash }: OcspResponseKey): Promise<StoredOcspResponse | undefined> {
    const text = 'SELECT * FROM ca_ocsp_response WHERE issuer_id = $1 AND serial = $2 AND hash = $3';
    const rows = await withStore('find an OCSP response', () => this.#sql.all(text, issuerId, serial, hash));
    return rows.map(responseOf).at(0);
  }

  async save(issuerId: string, responses: readonly StoredOcspResponse[]): Promise<number> {
    const lock = this.#sql.isPostgres ? ' FOR SHARE' : '';
    return withStore('keep OCSP responses', () =>
      this.#sql.atomically(function* saveSteps(): Steps<number> {
        // Made when it is missing: only a row that is there can be locked.
        yield sql(
          'INSERT INTO ca_status_sequence (issuer_id, sequence) VALUES ($1, 0) ON CONFLICT DO NOTHING',
          issuerId,
        );
        yield sql(`SELECT sequence FROM ca_status_sequence WHERE issuer_id = $1${lock}`, issuerId);
        let kept = 0;
        for (const response of responses) {
          const [status] = yield sql(
            'SELECT sequence FROM ca_revocation WHERE issuer_id = $1 AND serial = $2',
            issuerId,
            response.serial,
          );
          if (Number(status?.sequence ?? 0) !== response.sequence) continue;
          yield insertResponse(response);
          kept += 1;
        }
        return kept;
      }),
    );
  }

  async takeDue(issuerId: string, now: Date, until: Date, limit: number): Promise<OcspResponseKey[]> {
    const lock = this.#sql.isPostgres ? ' FOR UPDATE SKIP LOCKED' : '';
    const text = `UPDATE ca_ocsp_response SET refresh_at = $3 WHERE (issuer_id, serial, hash) IN
        (SELECT issuer_id, serial, hash FROM ca_ocsp_response
         WHERE issuer_id = $1 AND refresh_at <= $2 ORDER BY refresh_at LIMIT $4${lock})
      RETURNING issuer_id, serial, hash`;
    const rows = await withStore('take OCSP responses that are due', () =>
      this.#sql.all(text, issuerId, now.getTime(), until.getTime(), limit),
    );
    return rows.map(keyOf);
  }

  async remove(issuerId: string, serial: string): Promise<void> {
    await withStore('forget OCSP responses', () =>
      this.#sql.all('DELETE FROM ca_ocsp_response WHERE issuer_id = $1 AND serial = $2', issuerId, serial),
    );
  }

  async responder(issuerId: string): Promise<string | undefined> {
    const rows = await withStore('find the OCSP responder', () =>
      this.#sql.all('SELECT serial FROM ca_ocsp_responder WHERE issuer_id = $1', issuerId),
    );
    return rows.map(({ serial }) => String(serial)).at(0);
  }

  async useResponder(issuerId: string, serial: string): Promise<void> {
    const text = `INSERT INTO ca_ocsp_responder (issuer_id, serial) VALUES ($1, $2)
      ON CONFLICT (issuer_id) DO UPDATE SET serial = $2`;
    await withStore('set the OCSP responder', () => this.#sql.all(text, issuerId, serial));
  }
}

function keyOf({ issuer_id, serial, hash }: Row): OcspResponseKey {
  return { issuerId: String(issuer_id), serial: String(serial), hash: hash as CertIdHash };
}

function responseOf(row: Row): StoredOcspResponse {
  return {
    ...keyOf(row),
    der: Buffer.from(String(row.der), 'base64'),
    thisUpdate: new Date(Number(row.this_update)),
    nextUpdate: new Date(Number(row.next_update)),
    refreshAt: new Date(Number(row.refresh_at)),
    sequence: Number(row.sequence),
  };
}
