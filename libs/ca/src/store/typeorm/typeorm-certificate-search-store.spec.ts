import type { DataSource } from 'typeorm';
import { type CertificateQuery, parseQuery } from '../../search/certificate-query.js';
import { openCaDatabase } from './database.js';
import { statementOf, TypeOrmCertificateSearchStore } from './typeorm-certificate-search-store.js';

const now = new Date('2026-11-22T12:00:00Z');
let dataSource: DataSource;
beforeAll(async () => {
  dataSource = await openCaDatabase({ type: 'better-sqlite3', database: ':memory:' });
});
afterAll(() => dataSource.destroy());

/** What is asked, and the index that is entered. */
const searches: [string, CertificateQuery, RegExp][] = [
  [
    'nothing',
    {},
    /SEARCH c USING INDEX ca_certificate_by_reserved_at|SCAN c USING INDEX ca_certificate_by_reserved_at/,
  ],
  ['a name', { name: 'dns:www.example.test' }, /SEARCH n USING PRIMARY KEY \(value=\?\)/],
  [
    'a commonName of what is revoked',
    { commonName: 'www', status: 'revoked' },
    /SEARCH n USING PRIMARY KEY \(value=\?\)/,
  ],
  ['a requester', { requester: 'client:a' }, /SEARCH c USING INDEX ca_certificate_by_requester \(requester=\?\)/],
  ['a profile', { profile: 'tls-server' }, /SEARCH c USING INDEX ca_certificate_by_profile \(profile=\?\)/],
  [
    'a serial',
    { serial: '4f1d' },
    /SEARCH c USING INDEX sqlite_autoindex_ca_certificate_1 \(serial>\? AND serial<\?\)/,
  ],
  ['a window', { notAfterFrom: now, notAfterTo: now }, /SEARCH c USING INDEX ca_certificate_by_not_after/],
  ['what is expired', { status: 'expired' }, /SEARCH c USING INDEX ca_certificate_by_not_after/],
  ['what is held', { status: 'held' }, /SEARCH r USING INDEX \S+ \(issuer_id=\?\)/],
];

test.each(searches)('a search for %s enters an index in the order of its pages', async (_, query, index) => {
  const { text, values } = statementOf(parseQuery(query), ['a'], now, false);
  const plan: { detail: string }[] = await dataSource.query(`EXPLAIN QUERY PLAN ${text}`, [
    Object.fromEntries(values.map((value, at) => [String(at + 1), value])),
  ]);
  const details = plan.map(({ detail }) => detail).join('\n');
  expect(details).toMatch(index);
  expect(details).not.toMatch(/TEMP B-TREE/);
});

test.each(searches)('a search for %s is SQL', async (_, query) => {
  const store = new TypeOrmCertificateSearchStore(dataSource);
  expect(await store.search(parseQuery(query), ['a', 'b'], now)).toEqual([]);
});
