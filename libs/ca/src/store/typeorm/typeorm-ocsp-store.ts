import type { DataSource } from 'typeorm';
import type {
  CertIdHash,
  EnlistQuery,
  OcspResponseKey,
  OcspStore,
  PresignCandidate,
  StoredOcspResponse,
} from '../ocsp-store.js';
import { insertResponse } from './ocsp-statements.js';
import { type Row, rowsOfJson, Sql, sql, type Steps } from './sql.js';
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

  async enlist(query: EnlistQuery, isWanted: (candidate: PresignCandidate) => boolean): Promise<number> {
    return withStore('enlist certificates for OCSP responses', () =>
      this.#sql.atomically(() => enlistSteps(this.#sql.isPostgres, query, isWanted)),
    );
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

function* enlistSteps(
  isPostgres: boolean,
  { reservedUntil, now, limit }: EnlistQuery,
  isWanted: (candidate: PresignCandidate) => boolean,
): Steps<number> {
  yield sql("INSERT INTO ca_ocsp_position (id, reserved_at, serial) VALUES (1, 0, '') ON CONFLICT DO NOTHING");
  const lock = isPostgres ? ' FOR UPDATE' : '';
  const [from] = yield sql(`SELECT reserved_at, serial FROM ca_ocsp_position WHERE id = 1${lock}`);
  const page = yield sql(
    `SELECT serial, issuer_id, profile, state, is_authority, not_before, not_after, reserved_at FROM ca_certificate
     WHERE (reserved_at, serial) > ($1, $2) AND reserved_at <= $3 ORDER BY reserved_at, serial LIMIT $4`,
    from.reserved_at,
    from.serial,
    reservedUntil.getTime(),
    limit,
  );
  if (page.length === 0) return 0;
  const wanted = page
    .filter(({ state, is_authority }) => state === 'issued' && Number(is_authority) === 0)
    .map(candidateOf)
    .filter(isWanted);
  // SHA-1 is what clients ask with (RFC 5019 §2.1.1); one with SHA-256 is signed when it is asked for.
  if (wanted.length > 0)
    yield sql(
      `INSERT INTO ca_ocsp_response (issuer_id, serial, hash, der, this_update, next_update, refresh_at, sequence)
       SELECT issuer_id, serial, 'sha1', '', 0, 0, ${now.getTime()}, 0
       FROM ${rowsOfJson(isPostgres, { issuer_id: 'text', serial: 'text' })} WHERE true ON CONFLICT DO NOTHING`,
      JSON.stringify(wanted.map(({ issuerId, serial }) => ({ issuer_id: issuerId, serial }))),
    );
  const last = page[page.length - 1];
  yield sql('UPDATE ca_ocsp_position SET reserved_at = $1, serial = $2 WHERE id = 1', last.reserved_at, last.serial);
  return page.length;
}

function candidateOf(row: Row): PresignCandidate {
  return {
    issuerId: String(row.issuer_id),
    serial: String(row.serial),
    profile: String(row.profile),
    notBefore: new Date(Number(row.not_before)),
    notAfter: new Date(Number(row.not_after)),
  };
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
