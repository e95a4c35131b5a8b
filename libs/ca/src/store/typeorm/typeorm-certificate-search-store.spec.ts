import type { DataSource } from 'typeorm';
import { TestPostgres } from '../../../../../test/support/postgres.js';
import { type CertificateQuery, issuedStatuses, parseQuery } from '../../search/certificate-query.js';
import { searchCertificates, statusOf } from '../../search/certificate-search.js';
import { openCaDatabase } from './database.js';
import { run } from './migration-steps.js';
import { endStatement, pageStatement } from './search-statements.js';
import { rowsOfJson, sql, type Statement } from './sql.js';
import { TypeOrmCertificateSearchStore } from './typeorm-certificate-search-store.js';

const now = new Date('2026-11-22T12:00:00Z');
const day = 86_400_000;
const issuerIds = ['a', 'b'];

/** Few enough to compare every search with all of them. */
const few = 160;
/** Enough for a database to have a choice of plans. */
const many = 20_000;
/** Names, profiles, requesters, times, issuers and states in every combination, and several that were reserved at once. */
const rows = Array.from({ length: many }, (_, index) => ({
  serial: `${(index % 7) + 1}${index.toString(16).padStart(31, '0')}`,
  issuer_id: ['a', 'b', 'another'][index % 13] ?? 'a',
  state: index % 17 === 0 ? 'voided' : 'issued',
  profile: index % 3 === 0 ? 'device' : 'tls-server',
  profile_version: 'v1',
  requester: `client:${index % 5}`,
  subject_key_id: index.toString(16).padStart(40, '0'),
  is_authority: 0,
  not_before: 0,
  not_after: now.getTime() + ((index % 11) - 4) * day,
  reserved_at: now.getTime() + Math.floor(index / 4),
  ticket_expires_at: 0,
  issued_at: now.getTime(),
  certificate: 'MAA=',
  name: `dns:${index % 2}.example.test`,
  revocation: index % 19 === 0 ? ('held' as const) : index % 7 === 0 ? ('revoked' as const) : undefined,
}));
type Row = (typeof rows)[number];

/** What is asked, and the index that is entered. */
const searches: [string, CertificateQuery, string][] = [
  ['nothing', {}, 'ca_certificate_by_reserved_at'],
  ['a name', { name: 'dns:1.example.test' }, 'ca_certificate_name_pkey'],
  ['a commonName of what is revoked', { commonName: 'www', status: 'revoked' }, 'ca_certificate_name_pkey'],
  ['a name beside everything else', { name: 'dns:1.example.test', profile: 'device', requester: 'client:1', status: 'valid' }, 'ca_certificate_name_pkey'],
  ['a requester', { requester: 'client:1' }, 'ca_certificate_by_requester'],
  ['a requester under a profile', { requester: 'client:1', profile: 'device' }, 'ca_certificate_by_requester'],
  ['a requester, valid', { requester: 'client:1', status: 'valid' }, 'ca_certificate_by_requester'],
  ['a profile', { profile: 'device' }, 'ca_certificate_by_profile'],
  ['a serial', { serial: '4000' }, 'primary key'],
  ['a serial under a profile', { serial: '4000', profile: 'device', status: 'revoked' }, 'primary key'],
  ['a window', { notAfterFrom: now, notAfterTo: now }, 'ca_certificate_by_not_after'],
  ['a requester in a window', { requester: 'client:1', notAfterTo: now }, 'ca_certificate_by_not_after'],
  ['what is expired', { status: 'expired' }, 'ca_certificate_by_not_after'],
  ['what is held', { status: 'held' }, 'ca_revocation_by_state'],
  ['what is revoked of a requester under a profile', { status: 'revoked', requester: 'client:1', profile: 'device' }, 'ca_revocation_by_state'],
]; // prettier-ignore

describe.each(['better-sqlite3', 'postgres'] as const)('searches on %s', (type) => {
  const isPostgres = type === 'postgres';
  let postgres: TestPostgres | undefined;
  let dataSource: DataSource;
  beforeAll(async () => {
    postgres = isPostgres ? await TestPostgres.start() : undefined;
    dataSource = await openCaDatabase(
      postgres === undefined
        ? { type: 'better-sqlite3', database: ':memory:' }
        : { type: 'postgres', url: await postgres.database('search') },
    );
    await fill(rows.slice(0, few));
  });
  afterAll(async () => {
    await dataSource?.destroy();
    await postgres?.stop();
  });

  test('every combination of conditions finds what it names, in its order, page by page', async () => {
    // A walk ends in the middle of pages, and of certificates that were reserved at once.
    const store = new TypeOrmCertificateSearchStore(dataSource, 37);
    for (const query of combinations()) {
      const found: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await searchCertificates(store, { ...query, limit: 10, cursor }, issuerIds, now);
        expect(page.certificates.length).toBeLessThanOrEqual(10);
        found.push(...page.certificates.map(({ serial }) => serial));
        cursor = page.next;
      } while (cursor !== undefined);
      expect([query, found]).toEqual([query, expected(query)]);
    }
  });

  test('no page costs more than a walk, however few are found', async () => {
    const store = new TypeOrmCertificateSearchStore(dataSource, 20);
    const query = { profile: 'device', requester: 'nobody', status: 'valid' } as const;
    const nobody = await searchCertificates(store, query, issuerIds, now);
    expect(nobody).toEqual({ certificates: [] });
    const none = await searchCertificates(store, { profile: 'device', notAfterFrom: now, name: 'dns:none.example.test' }, issuerIds, now); // prettier-ignore
    expect(none).toEqual({ certificates: [] });
    const walked = await searchCertificates(store, { profile: 'none', status: 'expired' }, issuerIds, now);
    expect(walked).toEqual({ certificates: [], next: expect.any(String) as string });
  });

  describe('with many certificates', () => {
    beforeAll(async () => {
      await fill(rows.slice(few));
      await dataSource.query(isPostgres ? 'VACUUM ANALYZE' : 'ANALYZE');
    });

    test.each(searches)('a search for %s walks one index in the order of its pages', async (_, query, index) => {
      const search = { query: parseQuery(query), issuerIds, now, rows: 100 };
      for (const statement of [pageStatement(search), endStatement(search)]) {
        const plan = await planOf(statement);
        expect(plan).toContain(isPostgres ? index.replace('primary key', 'PK_') : sqliteName(index));
        expect(plan).not.toMatch(/TEMP B-TREE|Seq Scan on ca_certificate|SCAN (?!walked)(?!.*INDEX)/);
      }
    });
  });

  async function planOf({ text, values }: Statement): Promise<string> {
    const runner = dataSource.createQueryRunner();
    const lines = await run(runner, sql(`EXPLAIN ${isPostgres ? '' : 'QUERY PLAN '}${text}`, ...values));
    await runner.release();
    return lines.map((line) => line['QUERY PLAN'] ?? line.detail).join('\n');
  }

  async function fill(some: readonly Row[]): Promise<void> {
    const runner = dataSource.createQueryRunner();
    const insert = async (table: string, columns: Record<string, string>, all: readonly object[]): Promise<void> => {
      const names = Object.keys(columns).join(', ');
      const source = rowsOfJson(isPostgres, columns);
      await run(runner, sql(`INSERT INTO ${table} (${names}) SELECT ${names} FROM ${source}`, JSON.stringify(all)));
    };
    const { name: _, revocation: __, ...row } = some[0];
    const columns = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === 'string' ? 'text' : 'bigint'])); // prettier-ignore
    await insert('ca_certificate', columns, some);
    await insert('ca_certificate_name', { value: 'text', reserved_at: 'bigint', serial: 'text' }, some.map((each) => ({ ...each, value: each.name }))); // prettier-ignore
    const revocations = some.flatMap(({ revocation, ...each }) =>
      revocation === undefined
        ? []
        : { ...each, state: revocation, reason: revocation === 'held' ? 6 : 4, revoked_at: 0, shard: 0, sequence: 1 },
    );
    const revocationColumns = { issuer_id: 'text', serial: 'text', state: 'text', reason: 'smallint', revoked_at: 'bigint', shard: 'integer', not_after: 'bigint', requester: 'text', sequence: 'bigint' }; // prettier-ignore
    await insert('ca_revocation', revocationColumns, revocations);
    await runner.release();
  }
});

function sqliteName(index: string): string {
  if (index === 'primary key') return 'USING COVERING INDEX sqlite_autoindex_ca_certificate_1';
  if (index === 'ca_certificate_name_pkey') return 'USING PRIMARY KEY (value=?';
  return `USING COVERING INDEX ${index}`;
}

function* combinations(): Generator<CertificateQuery> {
  for (const name of [undefined, 'dns:1.example.test'])
    for (const profile of [undefined, 'device'])
      for (const requester of [undefined, 'client:1'])
        for (const status of [undefined, ...issuedStatuses])
          for (const more of [{}, { notAfterFrom: now }, { serial: '3000' }]) yield { name, profile, requester, status, ...more };
} // prettier-ignore

function expected(query: CertificateQuery): string[] {
  const { name, profile, requester, status, notAfterFrom, serial } = query;
  const { order } = parseQuery(query);
  const statusIn = ({ revocation, not_after }: Row) =>
    statusOf(
      {
        notAfter: new Date(not_after),
        ...(revocation !== undefined && { revocation: { isHeld: revocation === 'held' } as never }),
      },
      now,
    );
  const matching = rows
    .slice(0, few)
    .filter(
      (row) =>
        row.state === 'issued' &&
        issuerIds.includes(row.issuer_id) &&
        (name === undefined || row.name === name) &&
        (profile === undefined || row.profile === profile) &&
        (requester === undefined || row.requester === requester) &&
        (status === undefined || statusIn(row) === status) &&
        (notAfterFrom === undefined || row.not_after >= notAfterFrom.getTime()) &&
        (serial === undefined || row.serial.startsWith(serial)),
    );
  const at = { newest: (row: Row) => -row.reserved_at, serial: () => 0, expiry: (row: Row) => row.not_after }[order];
  const direction = order === 'newest' ? -1 : 1;
  const bySerial = (one: Row, other: Row): number => (one.serial < other.serial ? -direction : direction);
  return matching.sort((one, other) => at(one) - at(other) || bySerial(one, other)).map(({ serial }) => serial);
}
