import { createHash, randomBytes } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { TestPostgres } from '../../../../../test/support/postgres.js';
import type { SearchableReservation } from '../certificate-store.js';
import type { EntryQuery, StatusChange } from '../revocation-store.js';
import type { StoredOcspResponse } from '../ocsp-store.js';
import { openCaDatabase } from './database.js';
import { caStores } from './stores.js';
import { TypeOrmSignedRecordStore } from './typeorm-signed-record-store.js';

const issuerId = 'aa'.repeat(20);
const serials = Array.from({ length: 30 }, (_, index) => `41${index.toString(16).padStart(30, '0')}`);
const now = new Date('2026-11-22T12:00:00Z');
const change = (serial: string, more: Partial<StatusChange> = {}): StatusChange => ({
  issuerId, serial, state: 'revoked', reason: 'keyCompromise', revokedAt: now, shard: 0, notAfter: new Date(now.getTime() + 1e9), requester: 'test', ...more,
}); // prettier-ignore
const response = (serial: string, text: string, sequence = 0): StoredOcspResponse => ({
  issuerId, serial, hash: 'sha1', der: Buffer.from(text), thisUpdate: now, nextUpdate: now, refreshAt: now, sequence,
}); // prettier-ignore

describe.each(['better-sqlite3', 'postgres'])('status on %s', (type) => {
  let postgres: TestPostgres | undefined;
  let dataSource: DataSource;
  let stores: ReturnType<typeof caStores>;
  beforeAll(async () => {
    postgres = type === 'postgres' ? await TestPostgres.start() : undefined;
    dataSource = await openCaDatabase(
      postgres === undefined
        ? { type: 'better-sqlite3', database: ':memory:' }
        : { type: 'postgres', url: await postgres.database('status', 'da') },
    );
    stores = caStores(dataSource);
  });
  afterAll(async () => {
    await dataSource?.destroy();
    await postgres?.stop();
  });

  async function serialsIn(query: EntryQuery): Promise<string[]> {
    const found: string[] = [];
    for await (const page of stores.revocations.entries(query)) for (const { serial } of page) found.push(serial);
    return found;
  }

  test('changes of one issuer get each sequence once, whoever makes them', async () => {
    const changed = await Promise.all(
      serials.map((serial, index) =>
        stores.revocations.change(
          issuerId,
          serial,
          () => change(serial, { shard: 1 + (index % 2) }),
          () => [],
        ),
      ),
    );
    expect(changed.map((record) => record?.sequence).sort((one, other) => Number(one) - Number(other))).toEqual(serials.map((_, index) => index + 1)); // prettier-ignore
    expect(await stores.revocations.newestSequence(issuerId)).toBe(30);
    expect(await stores.revocations.changedSince(issuerId, 20, 10)).toHaveLength(10);
    expect(await stores.revocations.changedSince(issuerId, 19, 10)).toBeUndefined();
  });

  test('serials and digests come in the order of their octets, whatever language the database is in', async () => {
    const ordered = ['01', '9f', 'a1', 'aa', 'ab', 'bb', 'dd', 'ee', 'ff'].map((first) => first.padEnd(64, '1'));
    const inShard = { shard: 7, notAfterFrom: now, issuerId: 'bb'.repeat(20) };
    for (const digest of [...ordered].reverse()) {
      const [serial, { issuerId }] = [digest.slice(0, 40), inShard];
      await stores.revocations.change(issuerId, serial, () => change(serial, { issuerId, shard: 7 }), () => []); // prettier-ignore
      const document = { sha256: digest, issuerId, kind: 'request', octets: Buffer.of(1), signedAt: now } as const;
      await stores.authorities.recordDocument(document);
    }
    expect(await serialsIn(inShard)).toEqual(ordered.map((digest) => digest.slice(0, 40)));
    const records: string[] = [];
    for await (const { id } of new TypeOrmSignedRecordStore(dataSource).signedRecords()) records.push(id);
    expect(records).toEqual(ordered);
  });

  test('others have their turn while many entries are listed', async () => {
    const [many, counter] = [5_000, 'counter (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < 5000)'];
    const id = 'ee'.repeat(20);
    await dataSource.query(`WITH RECURSIVE ${counter}
      INSERT INTO ca_revocation (issuer_id, serial, state, reason, revoked_at, shard, not_after, requester, sequence)
      SELECT '${id}', CAST(10000 + n AS text), 'revoked', 1, 0, 0, ${now.getTime()}, 'test', n FROM counter`);
    let turns = 0;
    const count = (): void => {
      turns += 1;
      next = setImmediate(count);
    };
    let next = setImmediate(count);
    const found = await serialsIn({ issuerId: id, notAfterFrom: now });
    clearImmediate(next);
    expect([found.length, found[0], found[many - 1]]).toEqual([many, '10001', '15000']);
    expect(turns).toBeGreaterThanOrEqual(2);
  });

  test('a key that was reported as compromised is reserved no serial, in a group with others', async () => {
    const [bad, good] = ['aa', 'bb'].map((digits) => digits.repeat(32));
    const reservation = (serial: string, spkiSha256: string): SearchableReservation => ({
      serial, spkiSha256, issuerId: 'cc'.repeat(20), profile: 'tls-server', profileVersion: 'v1', requester: 'test', subjectKeyId: 'dd'.repeat(20),
      isAuthority: false, notBefore: now, notAfter: now, reservedAt: now, ticketExpiresAt: now, searchNames: [],
    }); // prettier-ignore
    await stores.revocations.change('cc'.repeat(20), 'c1', () => change('c1', { issuerId: 'cc'.repeat(20), compromisedKey: bad }), () => []); // prettier-ignore
    const reserved = await Promise.all(
      [bad, good].map((spki, index) => stores.certificates.reserve(reservation(`c${index + 2}`, spki))),
    );
    expect(reserved).toEqual([false, true]);
    expect(await stores.certificates.isCompromised(bad)).toBe(true);
    expect(await stores.certificates.isCompromised(good)).toBe(false);
    expect(await stores.certificates.listSigning('cc'.repeat(20), now)).toEqual([]);
  });

  test('a key has the certificates in force that are issued or may be; none of it is redeemed once it is compromised', async () => {
    const [issuerId, subjectKeyId] = ['a1', 'ab'].map((digits) => digits.repeat(20));
    const later = new Date(now.getTime() + 1e9);
    const key = { subjectKeyId, spkiSha256: 'ab'.repeat(32), profileVersion: 'v1', requester: 'test', notBefore: now, reservedAt: now, ticketExpiresAt: later, searchNames: [] }; // prettier-ignore
    const reserve = async (serial: string, more: Partial<SearchableReservation>, steps: number): Promise<void> => {
      const reservation = { ...key, serial, issuerId, profile: 'tls-server', isAuthority: false, notAfter: later, ...more }; // prettier-ignore
      await stores.certificates.reserve(reservation);
      if (steps > 1) await stores.certificates.commitTbs({ ...reservation, tbs: Buffer.of(1), tbsSha256: '00', now });
      if (steps > 2) await stores.certificates.complete(serial, Buffer.of(2), now);
    };
    await reserve('d1', {}, 3);
    await reserve('d2', { issuerId: 'dd'.repeat(20), profile: 'tls-client' }, 2);
    await reserve('d3', { notAfter: new Date(now.getTime() - 1) }, 3);
    await reserve('d4', {}, 1);
    await reserve('d5', {}, 3);
    await reserve('d6', { subjectKeyId: 'ac'.repeat(20) }, 1);
    await reserve('d7', { isAuthority: true }, 3);
    const revoke = (serial: string, more: Partial<StatusChange>) => stores.revocations.change(issuerId, serial, () => change(serial, { issuerId, ...more }), () => []); // prettier-ignore
    await revoke('d5', { reason: 'superseded' });
    await revoke('d1', { state: 'held', reason: 'certificateHold' });
    const ofProfile = { issuerId, profile: 'tls-server', isAuthority: false, certificates: 1 };
    const counts = await stores.certificates.countOfKey(subjectKeyId, now);
    expect(counts).toHaveLength(3);
    expect(counts).toEqual(expect.arrayContaining([ofProfile, { ...ofProfile, isAuthority: true }, { ...ofProfile, issuerId: 'dd'.repeat(20), profile: 'tls-client' }])); // prettier-ignore
    expect(await stores.certificates.listOfKey(subjectKeyId, now, 9)).toEqual(['d1', 'd2', 'd7']);
    expect(await stores.certificates.listOfKey(subjectKeyId, now, 2)).toEqual(['d1', 'd2']);
    await revoke('d5', { compromisedKey: key.spkiSha256 });
    const redeemed = await Promise.all(['d4', 'd6'].map((serial) => stores.certificates.commitTbs({ ...key, serial, issuerId, tbs: Buffer.of(1), tbsSha256: '00', now }))); // prettier-ignore
    expect(redeemed).toEqual([false, true]);
  });

  test('what is known of certificates comes in one answer, with what was decided last, and of no others', async () => {
    const [ours, theirs] = ['e1', 'e2'].map((digits) => digits.repeat(20));
    const known = ['e3', 'e4', 'e5'].map((digits) => digits.repeat(16));
    const row = { issuerId: ours, subjectKeyId: 'e6'.repeat(20), spkiSha256: 'e7'.repeat(32), profile: 'tls-server', profileVersion: 'v1', requester: 'test', isAuthority: false, notBefore: now, notAfter: now, reservedAt: now, ticketExpiresAt: now, searchNames: [] }; // prettier-ignore
    for (const serial of known) await stores.certificates.reserve({ ...row, serial });
    const decide = (issuerId: string, serial: string, more: Partial<StatusChange>) => stores.revocations.change(issuerId, serial, () => change(serial, { issuerId, ...more }), () => []); // prettier-ignore
    await decide(ours, known[0], { state: 'held', reason: 'certificateHold' });
    await decide(ours, known[0], { reason: 'superseded' });
    await decide(theirs, known[1], {});
    const found = await stores.revocations.standings([known[0], known[1], 'e8'.repeat(16)]);
    const facts = { issuerId: ours, state: 'reserved', notAfter: now };
    expect(found.sort((one, other) => (one.serial < other.serial ? -1 : 1))).toEqual([
      { ...facts, serial: known[0], status: { state: 'revoked', reason: 'superseded', revokedAt: now, sequence: 2 } },
      { ...facts, serial: known[1], status: undefined },
    ]);
    expect(await stores.revocations.standings(['e8'.repeat(16)])).toEqual([]);
  });

  test('a refused change leaves neither a sequence nor a row', async () => {
    const refuse = () => {
      throw new RangeError('refused');
    };
    await expect(stores.revocations.change(issuerId, 'ff', refuse, () => [])).rejects.toThrow('refused');
    expect(await stores.revocations.newestSequence(issuerId)).toBe(30);
    expect(await stores.revocations.find(issuerId, 'ff')).toBeUndefined();
  });

  test('entries come by serial, of a shard, since a sequence, and without what has expired', async () => {
    const list = (query: object): Promise<string[]> => serialsIn({ issuerId, notAfterFrom: now, ...query });
    expect(await list({})).toEqual(serials);
    expect(await list({ shard: 1 })).toHaveLength(15);
    expect(await list({ since: 25 })).toHaveLength(5);
    expect(await list({ notAfterFrom: new Date(now.getTime() + 2e9) })).toEqual([]);
    expect(await list({ shard: 2 })).toHaveLength(15);
  });

  test('a revocation replaces responses, and an older status is not kept after it', async () => {
    const serial = 'ee';
    const find = async () => (await stores.ocsp.find({ issuerId, serial, hash: 'sha1' }))?.der.toString();
    expect([await stores.ocsp.save(issuerId, [response(serial, 'good')]), await find()]).toEqual([1, 'good']);
    await stores.revocations.change(
      issuerId,
      serial,
      () => change(serial),
      () => [response(serial, 'revoked')],
    );
    expect([await stores.ocsp.save(issuerId, [response(serial, 'good')]), await find()]).toEqual([0, 'revoked']);
    const until = new Date(now.getTime() + 60_000);
    const taken = await Promise.all([1, 2].map(() => stores.ocsp.takeDue(issuerId, now, until, 10)));
    expect(taken.flat()).toEqual([{ issuerId, serial, hash: 'sha1' }]);
  });

  test('CRL numbers ascend, one claim a scope, and only the last DERs are kept', async () => {
    const claim = { issuerId, shard: 0, kind: 'full', now, claimMilliseconds: 60_000 } as const;
    const claimed = await Promise.all([1, 2, 3].map(() => stores.crls.claim(claim)));
    expect(claimed.filter((number) => number !== undefined)).toEqual([1]);
    expect(await stores.crls.claim({ ...claim, kind: 'delta' })).toBe(2);
    await stores.crls.abandon(issuerId, 2);
    const der = Buffer.alloc(2_500_000, 7);
    const crl = { issuerId, shard: 0, kind: 'full', through: 30, entries: 30, thisUpdate: now, nextUpdate: new Date(now.getTime() + 1) } as const; // prettier-ignore
    const publish = async (number: number): Promise<void> => {
      const record = { ...crl, number, tbsSha256: createHash('sha256').update(String(number)).digest('hex') };
      expect(await stores.crls.commit(record)).toBe(true);
      await stores.crls.complete(record, der);
      expect(await stores.crls.newest(claim)).toEqual(record);
    };
    await publish(1);
    for (const number of [2, 3]) {
      expect(await stores.crls.claim(claim)).toBe(number);
      await publish(number);
    }
    expect((await stores.crls.der({ issuerId, number: 3 }))?.equals(der)).toBe(true);
    expect(await stores.crls.der({ issuerId, number: 1 })).toBeUndefined();
    expect((await stores.crls.oldestInForce(issuerId, 0, now))?.number).toBe(1);
    expect(await stores.crls.shards(issuerId)).toEqual([0]);
  });

  test.each([
    ['an hour ago, by a process that died', -3_600_000, true],
    ['just now', -1_000, false],
    ['by a clock that is a little ahead', 1_000, false],
    ['by a clock that was a year ahead', 365 * 86_400_000, true],
  ])('a claim made %s: another one is given: %s', async (_, ahead, isGiven) => {
    const scope = { issuerId: randomBytes(20).toString('hex'), shard: 0, kind: 'full' } as const;
    const claimAt = (time: number): Promise<number | undefined> =>
      stores.crls.claim({ ...scope, now: new Date(time), claimMilliseconds: 120_000 });
    await claimAt(now.getTime() + ahead);
    expect((await claimAt(now.getTime())) !== undefined).toBe(isGiven);
    expect(await stores.crls.claim({ ...scope, now, claimMilliseconds: 0 })).toBeDefined();
  });

  test('a CRL is forgotten a year after it has lapsed, but for the last two of its scope', async () => {
    const scope = { issuerId: 'cc'.repeat(20), shard: 0, kind: 'full' } as const;
    const numbers = async (): Promise<number[]> => {
      const rows: { number: string }[] = await dataSource.query(
        `SELECT number FROM ca_crl WHERE issuer_id = '${scope.issuerId}' ORDER BY number`,
      );
      return rows.map(({ number }) => Number(number));
    };
    const publish = async (shard: number, days: number): Promise<void> => {
      const claim = { ...scope, shard, now, claimMilliseconds: 60_000 };
      const number = Number(await stores.crls.claim(claim));
      const [thisUpdate, nextUpdate] = [days, days + 7].map((day) => new Date(now.getTime() + day * 86_400_000));
      const facts = { number, through: 0, entries: 0, tbsSha256: '00', thisUpdate, nextUpdate };
      await stores.crls.commit({ ...scope, shard, ...facts });
      await stores.crls.complete({ ...scope, shard, ...facts }, Buffer.of(1));
    };
    await publish(1, 0);
    for (const days of [0, 4, 365, 371]) await publish(0, days);
    expect(await numbers()).toEqual([1, 2, 3, 4, 5]);
    await publish(0, 373);
    expect(await numbers()).toEqual([1, 3, 4, 5, 6]);
    await publish(0, 1_000);
    expect(await numbers()).toEqual([1, 6, 7]);
  });
});
