import { createHash } from 'node:crypto';
import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import { CaAdministration } from '../authority/ca-administration.js';
import { TypeOrmSignedRecordStore } from '../store/typeorm/typeorm-signed-record-store.js';
import { reconcile, type SignatureEvent } from './reconcile.js';

/** Writes down what is signed, as the agent does: the digest with the hash of the mechanism, and what the caller says. */
function witness({ token }: TestCa): SignatureEvent[] {
  const events: SignatureEvent[] = [];
  const sign = token.sign.bind(token);
  token.sign = async (key, scheme, data, options?: { correlationId?: string }) => {
    const hash = scheme.endsWith('384') ? 'sha384' : 'sha256';
    const digest = createHash(hash).update(data).digest('hex');
    events.push({
      place: `${events.length}`,
      time: '',
      key: key.label ?? '',
      isCaKey: true,
      digest,
      correlationId: options?.correlationId,
    });
    return sign(key, scheme, data);
  };
  return events;
}
async function* stream(events: readonly SignatureEvent[]): AsyncGenerator<SignatureEvent> {
  yield* await Promise.resolve(events);
}

let ca: TestCa;
beforeEach(async () => (ca = await TestCa.create()));
afterEach(() => ca.remove());
const result = (events: readonly SignatureEvent[]) =>
  reconcile(stream(events), new TypeOrmSignedRecordStore(ca.dataSource));

test('every signature of a CA has its counterpart, on keys that hash with SHA-256 and with SHA-384', async () => {
  const events = witness(ca);
  const open = await ca.open();
  for (let count = 0; count < 3; count += 1) await open.issue(buildCsr(), 'tls-server');
  const config = { authority: { root: { label: 'root', subject: { commonName: 'Test Root' } }, issuing: { label: 'issuing', subject: { commonName: 'Test Issuing' }, algorithm: 'ec-p256' } } } as const; // prettier-ignore
  await new CaAdministration({ token: ca.token, ...ca.stores, config, now: () => ca.now }).request('issuing');
  const found = await result(events);
  expect(found).toMatchObject({ unmatched: [], matchedByWord: 0, matched: { certificate: 5, crl: 2, request: 1 } });
  expect(found.events).toBe(events.length);
});

test.each<[string, (events: SignatureEvent[]) => SignatureEvent]>([
  ['of other octets', (events) => ({ ...events[2], digest: 'ab'.repeat(32) })],
  ['without a digest', (events) => ({ ...events[2], digest: undefined })],
])('a signature %s is named, whatever its correlation id says', async (_, change) => {
  const events = witness(ca);
  const open = await ca.open();
  await open.issue(buildCsr(), 'tls-server');
  const rogue = { ...change(events), place: 'rogue' };
  expect((await result([...events, rogue])).unmatched).toEqual([rogue]);
});

test('a digest that somebody wrote into a row hides nothing: what is kept is hashed anew', async () => {
  const events = witness(ca);
  const open = await ca.open();
  const { serial } = await open.issue(buildCsr(), 'tls-server');
  const digest = 'cd'.repeat(32);
  await ca.dataSource.query('UPDATE ca_certificate SET tbs_sha256 = ? WHERE serial = ?', [digest, serial]);
  const rogue = { place: 'rogue', time: '', key: 'issuing', isCaKey: true, digest, correlationId: digest };
  expect((await result([...events, rogue])).unmatched).toEqual([rogue]);
});

test.each(['request', 'transcript', 'cluster'])(
  'a certificate that somebody wrote down as a %s hides nothing',
  async (kind) => {
    const events = witness(ca);
    const open = await ca.open();
    const { serial } = await open.issue(buildCsr(), 'tls-server');
    const row = await ca.stores.certificates.find(serial);
    const [, tbsLength] = [row?.certificate?.readUInt16BE(2), row?.certificate?.readUInt16BE(6) ?? 0];
    const octets = row?.certificate?.subarray(4, 8 + tbsLength) ?? Buffer.alloc(0);
    const sha256 = createHash('sha256').update(octets).digest('hex');
    await ca.dataSource.query('DELETE FROM ca_certificate WHERE serial = ?', [serial]);
    const insert = 'INSERT INTO ca_signed_document (sha256, issuer_id, kind, octets, signed_at) VALUES (?, ?, ?, ?, 0)';
    await ca.dataSource.query(insert, [sha256, open.issuer.id, kind, octets.toString('base64')]);
    expect((await result(events)).unmatched.map(({ digest }) => digest)).toEqual([sha256]);
  },
);
