import type { DataSource } from 'typeorm';
import { reasonOfCode } from '../../revocation/revocation-reason.js';
import type { ParsedQuery } from '../../search/certificate-query.js';
import type { CertificateSearchStore, FoundCertificate, FoundCertificates } from '../certificate-search-store.js';
import { endStatement, pageStatement } from './search-statements.js';
import { type Row, Sql, type Statement } from './sql.js';
import { withStore } from './store-error.js';

/** Rows that are looked at for one page: tens of milliseconds. What is asked for may be few of a million. */
const rowsOfWalk = 5_000;

/** Searches in SQLite or PostgreSQL. Every order has an index that is entered at the position and walked so far, so a page costs the same however many rows there are. */
export class TypeOrmCertificateSearchStore implements CertificateSearchStore {
  readonly #sql: Sql;

  /** @param rows  that are looked at for one page; fewer in tests */
  constructor(
    dataSource: DataSource,
    private readonly rows = rowsOfWalk,
  ) {
    this.#sql = new Sql(dataSource);
  }

  async search(query: ParsedQuery, issuerIds: readonly string[], now: Date): Promise<FoundCertificates> {
    if (issuerIds.length === 0) return { found: [] };
    const search = { query, issuerIds, now, rows: this.rows };
    return withStore('search certificates', async () => {
      const found = (await this.#run(pageStatement(search))).map(read);
      if (found.length > query.limit) return { found };
      // What is issued between the two moves the end towards its beginning: something may be found twice, and nothing is left out.
      const [end] = await this.#run(endStatement(search));
      return { found, ...(end !== undefined && { end: { at: Number(end.at), serial: String(end.serial) } }) };
    });
  }

  async #run({ text, values }: Statement): Promise<Row[]> {
    return this.#sql.all(text, ...values);
  }
}

function read(row: Row): FoundCertificate {
  const time = (column: string): Date => new Date(Number(row[column]));
  return {
    serial: String(row.serial),
    issuerId: String(row.issuer_id),
    profile: String(row.profile),
    requester: String(row.requester),
    notBefore: time('not_before'),
    notAfter: time('not_after'),
    reservedAt: time('reserved_at'),
    issuedAt: time('issued_at'),
    certificate: Buffer.from(String(row.certificate), 'base64'),
    ...(row.renews !== null && { renews: String(row.renews) }),
    ...(row.revocation_state !== null && {
      revocation: {
        isHeld: row.revocation_state === 'held',
        reason: reasonOfCode(Number(row.reason)),
        revokedAt: time('revoked_at'),
      },
    }),
  };
}
