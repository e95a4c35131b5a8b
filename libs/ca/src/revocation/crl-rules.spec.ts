import { sequence, tlv } from '../../../../test/support/csr.js';
import { SoftwareToken } from '../../../../test/support/software-token.js';
import { authorityKeyIdentifier, crlNumber } from '../issuance/extensions.js';
import { signingAuthority } from '../issuance/issuer.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import type { CrlEntry } from '../store/revocation-store.js';
import { type CrlContent, CrlDraft } from './crl.js';
import { type CrlIntent, lintCrl } from './crl-rules.js';

const key = await new SoftwareToken().generateKeyPair({ label: 'issuing', algorithm: 'ec-p256' });
const authority = signingAuthority(key, encodeDistinguishedName({ commonName: 'Issuing' }));
const content: CrlContent = {
  authority,
  number: 300,
  thisUpdate: new Date('2026-11-22T12:00:00Z'),
  nextUpdate: new Date('2026-11-29T12:00:00Z'),
};
const entry = (serial: string, change: Partial<CrlEntry> = {}): CrlEntry => ({
  serial,
  state: 'revoked',
  reason: 'keyCompromise',
  revokedAt: new Date('2026-11-22T11:00:00Z'),
  ...change,
});
const entries = [
  entry('00'.repeat(15) + '01', { reason: 'unspecified' }),
  entry('7f'.repeat(16), { invalidityDate: new Date('2026-11-01T00:00:00Z') }),
  entry('80'.repeat(16), { state: 'held', reason: 'certificateHold' }),
  entry('ff'.repeat(16), { reason: 'aACompromise', revokedAt: new Date('2026-11-22T12:00:00Z') }),
];

const encode = (change: Partial<CrlContent> = {}, listed: readonly CrlEntry[] = []): Buffer => {
  const draft = new CrlDraft(authority);
  for (const each of listed) draft.add(each);
  return draft.tbs({ ...content, ...change });
};
const check = (tbs: Buffer, change: Partial<CrlIntent> = {}): Promise<void> =>
  lintCrl(tbs, { ...content, entries: 0, ...change });

const url = 'http://ca.example.test/v1/crl/00/shard-1.der';
test.each<[string, Partial<CrlContent>, CrlEntry[]]>([
  ['without entries', {}, []],
  ['with entries', {}, entries],
  ['of a shard', { distributionPoints: [url], freshest: url }, entries],
  ['of a shard of two addresses', { distributionPoints: [url, 'http://b.test/1.der'] }, entries],
  ['that is a delta', { baseNumber: 299 }, [entry('11'.repeat(16), { state: 'released' })]],
  ['of the year 2051', { thisUpdate: new Date('2051-01-01T00:00:00Z'), nextUpdate: new Date('2051-01-02T00:00:00Z') }, [entry('11'.repeat(16), { revokedAt: new Date('2050-01-01T00:00:00Z') })]],
])('a sound CRL %s breaks no rule', async (_, change, listed) => {
  await check(encode(change, listed), { ...change, entries: listed.length });
}); // prettier-ignore

const other = signingAuthority(key, encodeDistinguishedName({ commonName: 'Other' }));
test.each<[string, Partial<CrlContent>, string]>([
  ['another number', { number: 301 }, 'the CRL number is the reserved one'],
  ['another issuer', { authority: other }, 'the issuer is octet for octet'],
  ['another key', { authority: { ...authority, keyIdentifier: Buffer.alloc(20) } }, "the authority key identifier is the issuer's"],
  ['another thisUpdate', { thisUpdate: new Date('2026-11-23T12:00:00Z') }, 'thisUpdate is a proper time'],
  ['another nextUpdate', { nextUpdate: new Date('2026-11-30T12:00:00Z') }, 'nextUpdate is there'],
  ['a delta nobody meant', { baseNumber: 1 }, 'the extensions are those meant'],
  ['a shard nobody meant', { distributionPoints: [url] }, 'the extensions are those meant'],
])('%s is found', async (_, change, finding) => {
  await expect(check(encode(change))).rejects.toThrow(
    expect.objectContaining({ code: 'ERR_CA_LINT_FAILED', message: expect.stringContaining(finding) }) as Error,
  );
}); // prettier-ignore

test.each<[string, CrlEntry[], Partial<CrlIntent>, string]>([
  ['too few', entries.slice(1), { entries: 4 }, 'as many entries as meant'],
  ['one twice', [entries[0], entries[0]], { entries: 2 }, 'no serial is listed twice'],
  ['out of order', [entries[1], entries[0]], { entries: 2 }, 'no serial is listed twice'],
  ['a revocation to come', [entry('11', { revokedAt: new Date('2026-11-22T12:00:01Z') })], { entries: 1 }, 'nothing was revoked after thisUpdate'],
  ['removeFromCRL in a full CRL', [entry('11', { state: 'released' })], { entries: 1 }, 'removeFromCRL is in delta CRLs only'],
  ['a serial of 21 octets', [entry('11'.repeat(21))], { entries: 1 }, 'a positive serial of at most 20 octets'],
])('entries: %s is found', async (_, listed, change, finding) => {
  await expect(check(encode({}, listed), change)).rejects.toThrow(finding);
}); // prettier-ignore

test('a CRL for more than a year is found', async () => {
  const change = { nextUpdate: new Date('2027-11-24T12:00:00Z') };
  await expect(check(encode(change), change)).rejects.toThrow('nextUpdate is at most a year');
});

const fields = { version: tlv(0x02, [1]), algorithm: authority.signatureAlgorithm.identifier, issuer: authority.name, thisUpdate: tlv(0x17, Buffer.from('261122120000Z')), nextUpdate: tlv(0x17, Buffer.from('261129120000Z')), entries: Buffer.alloc(0), extensions: tlv(0xa0, sequence(authorityKeyIdentifier(authority.keyIdentifier), crlNumber(300))) }; // prettier-ignore
const [serial, time] = [tlv(0x02, [1]), tlv(0x17, Buffer.from('261122110000Z'))];
const reason = (value: number[]): Buffer => sequence(sequence(tlv(0x06, Buffer.from('551d15', 'hex')), tlv(0x04, tlv(0x0a, value)))); // prettier-ignore
test.each([
  ['version v1', { ...fields, version: tlv(0x02, [0]) }, 'the version is v2'],
  ['an empty revokedCertificates', { ...fields, entries: sequence() }, 'revokedCertificates is absent'],
  ['no CRL number', { ...fields, extensions: tlv(0xa0, sequence(authorityKeyIdentifier(authority.keyIdentifier))) }, 'the extensions are'],
  ['no nextUpdate', { ...fields, nextUpdate: Buffer.alloc(0) }, 'nextUpdate is there'],
  ['a negative serial', { ...fields, entries: sequence(sequence(tlv(0x02, [0x80]), time)) }, 'a positive serial'],
  ['no date', { ...fields, entries: sequence(sequence(serial)) }, 'a positive serial'],
  ['a date without seconds', { ...fields, entries: sequence(sequence(serial, tlv(0x17, Buffer.from('2611221100Z')))) }, 'revocation dates are'],
  ['the reason unspecified', { ...fields, entries: sequence(sequence(serial, time, reason([0]))) }, 'unspecified is left out'],
  ['the reason 7', { ...fields, entries: sequence(sequence(serial, time, reason([7]))) }, 'unspecified is left out'],
  ['a reason of two octets', { ...fields, entries: sequence(sequence(serial, time, reason([0, 1]))) }, 'known extensions'],
  ['empty entry extensions', { ...fields, entries: sequence(sequence(serial, time, sequence())) }, 'known extensions'],
  ['a cut entry', { ...fields, entries: sequence([0x30, 0x10, 0x02, 0x01]) }, 'a positive serial'],
])('%s is found in the octets', async (_, changed, finding) => {
  await expect(check(sequence(...Object.values(changed)))).rejects.toThrow(finding);
}); // prettier-ignore
