import type { DataSource } from 'typeorm';
import type { SearchableReservation } from '../certificate-store.js';
import { openCaDatabase } from './database.js';
import { TypeOrmCertificateStore } from './typeorm-certificate-store.js';

const at = (seconds: number) => new Date(1_800_000_000_000 + seconds * 1_000);

function reservation(number: number, changes: Partial<SearchableReservation> = {}): SearchableReservation {
  return {
    serial: number.toString(16).padStart(32, '4'),
    issuerId: 'a'.repeat(40),
    profile: 'tls-server',
    profileVersion: 'v1',
    requester: 'client:"test"',
    subjectKeyId: 'b'.repeat(40),
    isAuthority: false,
    notBefore: at(0),
    notAfter: at(86_400),
    reservedAt: at(number),
    ticketExpiresAt: at(number + 30),
    spkiSha256: number.toString(16).padStart(64, '0'),
    searchNames: [`dns:n${number}.example.test`],
    ...changes,
  };
}

function redemption({ serial, issuerId, profileVersion, requester }: SearchableReservation, now = at(1)) {
  return { serial, issuerId, profileVersion, requester, tbs: Buffer.from(serial), tbsSha256: 'c'.repeat(64), now };
}

let dataSource: DataSource;
let store: TypeOrmCertificateStore;
beforeEach(async () => {
  dataSource = await openCaDatabase({ type: 'better-sqlite3', database: ':memory:' });
  store = new TypeOrmCertificateStore(dataSource);
});
afterEach(() => dataSource.destroy());

test('one that the database will not have keeps no other from being written', async () => {
  const all = [reservation(1), reservation(2, { profile: null as unknown as string }), reservation(3)];
  const written = await Promise.allSettled(all.map((each) => store.reserve(each)));
  expect(written).toMatchObject([{ value: true }, { reason: { code: 'ERR_CA_STORE_UNAVAILABLE' } }, { value: true }]);
});

test('many certificates take their steps at once, and each row says what was written', async () => {
  const all = Array.from({ length: 20 }, (_, number) => reservation(number));
  expect(new Set(await Promise.all(all.map((each) => store.reserve(each))))).toEqual(new Set([true]));
  expect(new Set(await Promise.all(all.map((each) => store.commitTbs(redemption(each)))))).toEqual(new Set([true]));
  expect(await store.find(all[7].serial)).toMatchObject({ state: 'signing', tbs: Buffer.from(all[7].serial) });
  const completed = all.map(({ serial }) => store.complete(serial, Buffer.from(`der ${serial}`), at(2)));
  expect(new Set(await Promise.all(completed))).toEqual(new Set([true]));
  const { searchNames: _, spkiSha256: __, ...row } = all[7];
  expect(await store.find(row.serial)).toEqual({
    ...row,
    state: 'issued',
    certificate: Buffer.from(`der ${row.serial}`),
    issuedAt: at(2),
    tbsSha256: 'c'.repeat(64),
    tbs: undefined,
    renews: undefined,
    idempotencyKey: undefined,
    requestSha256: undefined,
  });
});

test('in one group, what may not happen does not, and the others do', async () => {
  const [first, second] = [reservation(1), reservation(2)];
  expect(await Promise.all([store.reserve(first), store.reserve(first), store.reserve(second)])).toEqual([
    true,
    false,
    true,
  ]);
  const other = { ...redemption(second), requester: 'somebody else' };
  const late = redemption(second, at(32));
  expect(
    await Promise.all([store.commitTbs(redemption(first)), store.commitTbs(other), store.commitTbs(late)]),
  ).toEqual([true, false, false]);
  const complete = (serial: string) => store.complete(serial, Buffer.of(1), at(2));
  expect(await Promise.all([first, first, second].map(({ serial }) => complete(serial)))).toEqual([true, false, false]);
});

test('an idempotency key belongs to one row, until that is voided or forgets it', async () => {
  const keyed = (number: number) =>
    reservation(number, { idempotencyKey: 'd'.repeat(64), requestSha256: 'e'.repeat(64) });
  expect(await store.reserve(keyed(1))).toBe(true);
  expect(await store.reserve(keyed(2))).toBe(false);
  expect((await store.findByIdempotencyKey('d'.repeat(64)))?.serial).toBe(keyed(1).serial);
  await store.void(keyed(1).serial);
  expect(await store.findByIdempotencyKey('d'.repeat(64))).toBeUndefined();
  expect(await store.reserve(keyed(3))).toBe(true);
  await store.forgetIdempotencyKey(keyed(3).serial);
  expect(await store.reserve(keyed(4))).toBe(true);
});

test('a row that is not reserved has no names', async () => {
  await store.reserve(reservation(1));
  await store.reserve(reservation(1, { searchNames: ['dns:other.example.test'] }));
  const names: { value: string }[] = await dataSource.query('SELECT value FROM ca_certificate_name');
  expect(names.map(({ value }) => value)).toEqual(['dns:n1.example.test']);
});

test('each write finds its row by the primary key', async () => {
  const plan: { detail: string }[] = await dataSource.query(
    `EXPLAIN QUERY PLAN UPDATE ca_certificate AS row SET state = 'issued'
     FROM (SELECT value ->> 'serial' AS serial FROM json_each('[]')) AS input WHERE row.serial = input.serial AND row.state = 'signing'`,
  );
  expect(plan.map(({ detail }) => detail).join('\n')).toMatch(
    /SEARCH row USING INDEX sqlite_autoindex_ca_certificate_1 \(serial=\?\)/,
  );
});
