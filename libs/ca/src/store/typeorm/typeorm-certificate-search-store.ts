import type { DataSource } from 'typeorm';
import { reasonOfCode } from '../../revocation/revocation-reason.js';
import type { ParsedQuery } from '../../search/certificate-query.js';
import type { CertificateSearchStore, FoundCertificate } from '../certificate-search-store.js';
import { type Row, Sql } from './sql.js';
import { withStore } from './store-error.js';

/** Searches in SQLite or PostgreSQL. Every order has an index that is entered at the position, so a page costs the same however many rows there are. */
export class TypeOrmCertificateSearchStore implements CertificateSearchStore {
  readonly #sql: Sql;

  constructor(dataSource: DataSource) {
    this.#sql = new Sql(dataSource);
  }

  async search(query: ParsedQuery, issuerIds: readonly string[], now: Date): Promise<FoundCertificate[]> {
    if (issuerIds.length === 0) return [];
    const { text, values } = statementOf(query, issuerIds, now, this.#sql.isPostgres);
    return (await withStore('search certificates', () => this.#sql.all(text, ...values))).map(read);
  }
}

type Value = string | number;

/** Exported for the test that looks at its plan. */
export function statementOf(
  query: ParsedQuery,
  issuerIds: readonly string[],
  now: Date,
  isPostgres: boolean,
): { readonly text: string; readonly values: readonly Value[] } {
  const values: Value[] = [];
  const bind = (value: Value): string => `$${values.push(value)}`;
  const [name, ...otherNames] = query.names;
  // Entered by the name, the order is that of the table of names.
  const { tables, join, key } = tablesOf(query, isPostgres);
  // With + it is no reason for SQLite to enter an index by the issuer, which has most of the rows, and to sort them afterwards.
  const issuer = key === 'r' ? 'r.issuer_id' : `${isPostgres ? '' : '+'}c.issuer_id`;
  const conditions = [`c.state = 'issued'`, `${issuer} IN (${issuerIds.map(bind).join(', ')})`];
  if (name !== undefined) conditions.push(`n.value = ${bind(name)}`);
  for (const other of otherNames)
    conditions.push(
      `EXISTS (SELECT 1 FROM ca_certificate_name o WHERE o.value = ${bind(other)} AND o.reserved_at = c.reserved_at AND o.serial = c.serial)`,
    );
  if (query.profile !== undefined) conditions.push(`c.profile = ${bind(query.profile)}`);
  if (query.requester !== undefined) conditions.push(`c.requester = ${bind(query.requester)}`);
  if (query.notAfterFrom !== undefined) conditions.push(`c.not_after >= ${bind(query.notAfterFrom.getTime())}`);
  if (query.notAfterTo !== undefined) conditions.push(`c.not_after < ${bind(query.notAfterTo.getTime())}`);
  if (query.serialPrefix !== undefined)
    conditions.push(`c.serial >= ${bind(query.serialPrefix)} AND c.serial < ${bind(`${query.serialPrefix}g`)}`);
  if (query.status !== undefined) conditions.push(statusCondition(query.status, () => bind(now.getTime())));

  const { after } = query;
  const at = query.order === 'expiry' ? 'c.not_after' : `${key}.reserved_at`;
  if (after !== undefined)
    conditions.push(
      query.order === 'serial'
        ? `${key}.serial > ${bind(after.serial)}`
        : `(${at}, ${key}.serial) ${query.order === 'expiry' ? '>' : '<'} (${bind(after.at)}, ${bind(after.serial)})`,
    );
  const order = {
    newest: `${key}.reserved_at DESC, ${key}.serial DESC`,
    serial: `${key}.serial`,
    expiry: `c.not_after, ${key}.serial`,
  }[query.order];
  const text = `SELECT c.serial, c.issuer_id, c.profile, c.requester, c.not_before, c.not_after, c.reserved_at, c.issued_at, c.renews,
      c.certificate, r.state AS revocation_state, r.reason, r.revoked_at
    FROM ${tables} ${join} ON r.issuer_id = c.issuer_id AND r.serial = c.serial AND r.state <> 'released'
    WHERE ${conditions.join(' AND ')} ORDER BY ${order} LIMIT ${bind(query.limit + 1)}`;
  return { text, values };
}

interface Tables {
  readonly tables: string;
  readonly join: string;
  /** The table whose index is entered. */
  readonly key: 'c' | 'n' | 'r';
}

/** What is revoked or held is few, and entered from there: SQLite keeps the order of a CROSS JOIN. */
function tablesOf({ names, status, serialPrefix }: ParsedQuery, isPostgres: boolean): Tables {
  if (names.length > 0) {
    const tables = 'ca_certificate_name n JOIN ca_certificate c ON c.serial = n.serial';
    return { tables, join: 'LEFT JOIN ca_revocation r', key: 'n' };
  }
  if ((status === 'revoked' || status === 'held') && serialPrefix === undefined)
    return { tables: 'ca_revocation r', join: `${isPostgres ? '' : 'CROSS '}JOIN ca_certificate c`, key: 'r' };
  return { tables: 'ca_certificate c', join: 'LEFT JOIN ca_revocation r', key: 'c' };
}

function statusCondition(status: NonNullable<ParsedQuery['status']>, now: () => string): string {
  switch (status) {
    case 'valid':
      return `r.serial IS NULL AND c.not_after >= ${now()}`;
    case 'expired':
      return `r.serial IS NULL AND c.not_after < ${now()}`;
    case 'revoked':
    case 'held':
      return `r.state = '${status}'`;
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
