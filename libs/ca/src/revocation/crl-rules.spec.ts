import { sequence, tlv } from '../../../../test/support/csr.js';
import { SoftwareToken } from '../../../../test/support/software-token.js';
import { authorityKeyIdentifier, crlNumber } from '../issuance/extensions.js';
import { signingAuthority } from '../issuance/issuer.js';
import { lint } from '../issuance/lint.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import { type CrlContent, encodeTbsCertList } from './crl.js';
import { crlRules, viewCrl } from './crl-rules.js';

const key = await new SoftwareToken().generateKeyPair({ label: 'issuing', algorithm: 'ec-p256' });
const authority = signingAuthority(key, encodeDistinguishedName({ commonName: 'Issuing' }));
const content: CrlContent = {
  authority,
  number: 300,
  thisUpdate: new Date('2026-11-22T12:00:00Z'),
  nextUpdate: new Date('2026-11-29T12:00:00Z'),
};
const check = (tbs: Buffer): void => lint('CRL', tbs, (node) => viewCrl(node, content), crlRules);

test('a sound CRL breaks no rule', () => {
  expect(() => check(encodeTbsCertList(content))).not.toThrow();
});

const other = signingAuthority(key, encodeDistinguishedName({ commonName: 'Other' }));
test.each<[string, Partial<CrlContent>, string]>([
  ['another number', { number: 301 }, 'the CRL number is the reserved one'],
  ['another issuer', { authority: other }, 'the issuer is octet for octet'],
  [
    'another key',
    { authority: { ...authority, keyIdentifier: Buffer.alloc(20) } },
    "the authority key identifier is the issuer's",
  ],
  ['another thisUpdate', { thisUpdate: new Date('2026-11-23T12:00:00Z') }, 'thisUpdate is a proper time'],
  ['another nextUpdate', { nextUpdate: new Date('2026-11-30T12:00:00Z') }, 'nextUpdate is there'],
])('%s is found', (_, change, finding) => {
  expect(() => check(encodeTbsCertList({ ...content, ...change }))).toThrow(
    expect.objectContaining({ code: 'ERR_CA_LINT_FAILED', message: expect.stringContaining(finding) }) as Error,
  );
});

const fields = { version: tlv(0x02, [1]), algorithm: authority.signatureAlgorithm.identifier, issuer: authority.name, thisUpdate: tlv(0x17, Buffer.from('261122120000Z')), nextUpdate: tlv(0x17, Buffer.from('261129120000Z')), extensions: tlv(0xa0, sequence(authorityKeyIdentifier(authority.keyIdentifier), crlNumber(300))) }; // prettier-ignore
test.each([
  ['version v1', { ...fields, version: tlv(0x02, [0]) }, 'the version is v2'],
  [
    'an empty revokedCertificates',
    { ...fields, nextUpdate: Buffer.concat([fields.nextUpdate, sequence()]) },
    'revokedCertificates is absent',
  ],
  [
    'no CRL number',
    { ...fields, extensions: tlv(0xa0, sequence(authorityKeyIdentifier(authority.keyIdentifier))) },
    'the extensions are',
  ],
  ['no nextUpdate', { ...fields, nextUpdate: Buffer.alloc(0) }, 'nextUpdate is there'],
])('%s is found in the octets', (_, changed, finding) => {
  expect(() => check(sequence(...Object.values(changed)))).toThrow(finding);
});
