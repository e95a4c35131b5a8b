import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import { crlLocation } from './crl-location.js';
import type { PublishedCrl } from './stored-crl.js';

const day = 86_400_000;

describe('the CRL publisher', () => {
  let ca: TestCa;
  let authority: CertificateAuthority;
  beforeEach(async () => {
    ca = await TestCa.create();
    authority = await ca.open();
  });
  afterEach(() => ca.remove());

  test('replaces a CRL of the future, made while the clock was wrong', async () => {
    const { now } = ca;
    ca.now = new Date(now.getTime() + 365 * day);
    const early = (await ca.open()).crl;
    ca.now = now;
    const { number, thisUpdate } = (await ca.open()).crl;
    expect(number).toBe(early.number + 1);
    expect(thisUpdate < now).toBe(true);
  });

  test('leaves the number to whoever claimed one, and takes over what that one publishes', async () => {
    const other = await ca.open();
    ca.now = new Date(ca.now.getTime() + 4 * day);
    const [issuerId] = [authority.issuer.id];
    const scope = { issuerId, shard: 0, kind: 'full' } as const;
    const number = await ca.stores.crls.claim({ ...scope, now: ca.now, claimMilliseconds: 60_000 });
    await authority.status.refreshCrls();
    expect([number, authority.crl.number]).toEqual([2, 1]);
    // The process that claimed it has died: two minutes later its claim is nobody's.
    ca.now = new Date(ca.now.getTime() + 121_000);
    await authority.status.refreshCrls();
    await other.status.refreshCrls();
    expect([authority.crl.number, other.crl.number]).toEqual([3, 3]);
    expect(other.crl.der).toEqual(authority.crl.der);
  });

  test('signs nothing twice and leaves no number behind when the token fails, and publishes once it is back', async () => {
    ca.now = new Date(ca.now.getTime() + 4 * day);
    const failures: string[] = [];
    const replica = await ca.open({}, { jobFailed: (job, error) => void failures.push(`${job} ${String(error)}`) });
    ca.token.fault = () => {
      throw new Error('no token');
    };
    ca.now = new Date(ca.now.getTime() + 4 * day);
    await replica.status.refreshCrls();
    expect(failures).toContain('crl Error: no token');
    expect(replica.crl.number).toBe(2);
    ca.token.fault = undefined;
    ca.now = new Date(ca.now.getTime() + 121_000);
    await replica.status.refreshCrls();
    expect(replica.crl.number).toBe(4);
  });

  test('lists in a shard every public URL that certificates ever named, and makes it anew for a new one', async () => {
    const sharded = (publicUrl?: string) => ca.open({ publicUrl, crl: { shards: 2, deltaHours: 24 } });
    const pointsOf = ({ der }: PublishedCrl): string[] =>
      der.toString('latin1').match(/http:[^ ]*?shard-1\.der/g) ?? [];
    const [old, now] = ['http://old.test', 'http://new.test'];
    const scope = { issuerId: authority.issuer.id, shard: 1 };
    const url = (base: string): string => crlLocation(base, { ...scope, kind: 'full' });
    const first = await sharded(old);
    const before = first.status.crl({ ...scope, kind: 'full' });
    expect(pointsOf(before)).toEqual([url(old)]);
    const moved = await sharded(now);
    for (const kind of ['full', 'delta'] as const) {
      const crl = moved.status.crl({ ...scope, kind });
      expect(pointsOf(crl)).toEqual([url(now), url(old)]);
      expect(crl.number).toBeGreaterThan(before.number);
    }
    // Nothing is new any more, and what is no longer written into certificates is still in those that are out.
    const after = moved.status.crl({ ...scope, kind: 'full' });
    expect((await sharded(old)).status.crl({ ...scope, kind: 'full' }).number).toBe(after.number);
    await first.status.refreshCrls();
    expect(first.status.crl({ ...scope, kind: 'full' }).der).toEqual(after.der);
  });

  test('is not stopped by a damaged row, which loses what is optional and raises the alarm', async () => {
    const alarms: string[] = [];
    const watched = await ca.open({}, { jobFailed: (_, error) => void alarms.push(String(error)) });
    const damages = [
      'invalidity_date = -90000000000000',
      'invalidity_date = 9e18',
      'reason = 7',
      'reason = 8',
      'revoked_at = 9e15',
      'revoked_at = -1',
      'revoked_at = 4e12',
    ];
    for (const damage of [...damages, 'shard = 0']) {
      const { serial } = await watched.issue(buildCsr(), 'tls-server');
      await watched.status.revoke(serial, { reason: 'superseded' });
      await ca.dataSource.query(`UPDATE ca_revocation SET ${damage} WHERE serial = ?`, [serial]);
    }
    await watched.status.refreshCrls();
    expect(watched.crl.entries).toBe(damages.length + 1);
    expect(alarms.at(-1)).toMatch(
      /CRL \d+ of [0-9a-f]{40}: want sound rows in ca_revocation, got 7 faults: certificate/,
    );
    expect(watched.crl.thisUpdate.getTime()).toBeLessThan(ca.now.getTime() + 60_000);
  });

  test('raises the alarm before a CRL lapses', async () => {
    const [watch] = authority.status.watch();
    expect(watch).toMatchObject({ number: 1, shard: 0, kind: 'full', condition: 'fresh', entries: 0 });
    ca.now = new Date(watch.thisUpdate.getTime() + 6 * day);
    expect(authority.status.watch()[0].condition).toBe('overdue');
    ca.now = watch.nextUpdate;
    expect(authority.status.watch()[0].condition).toBe('lapsed');
  });
});
