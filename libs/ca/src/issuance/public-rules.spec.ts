import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { oids } from '../der/oid.js';
import { encodeDistinguishedName, type SubjectAttributes } from '../name/distinguished-name.js';
import { dnsName, emailAddress, type GeneralName, ipAddress, uri } from '../name/general-name.js';
import type { Profile } from '../profile/profile.js';
import { resolveProfiles } from '../profile/profiles.js';
import { certificateRulesFor } from './certificate-rules.js';
import { viewTbsCertificate } from './certificate-view.js';
import {
  authorityInfoAccess,
  certificatePolicies,
  crlDistributionPoints,
  extendedKeyUsage,
  keyUsage,
  subjectAltName,
} from './extensions.js';
import { lint } from './lint.js';
import { publicRules } from './public-rules.js';
import { signatureAlgorithms } from './signature-algorithm.js';
import { encodeTbsCertificate } from './tbs-certificate.js';

const profiles = resolveProfiles({
  'public-tls-server': {},
  organization: {
    extends: 'public-tls-server',
    subject: { commonName: 'name', organization: 'required', country: { value: 'DE' }, locality: 'required' },
    policies: [{ oid: '2.23.140.1.2.2' }],
  },
  'public-smime': {},
  multipurpose: {
    extends: 'public-smime',
    extendedKeyUsage: ['emailProtection', 'clientAuth'],
    policies: [{ oid: '2.23.140.1.5.1.2' }],
  },
  'public-code-signing': {},
});

const spkiOf = (key: KeyObject): Buffer => key.export({ format: 'der', type: 'spki' });
const ec = spkiOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);
const ed25519 = spkiOf(generateKeyPairSync('ed25519').publicKey);

/** What the rules look at. */
interface Said {
  readonly subject: SubjectAttributes;
  readonly names: readonly GeneralName[];
  readonly spki: Buffer;
  readonly days: number;
  readonly bits: Parameters<typeof keyUsage>[0];
  readonly purposes: readonly string[];
  readonly policies: readonly string[];
  readonly cps?: string;
  readonly access: Parameters<typeof authorityInfoAccess>[0] | undefined;
  readonly crl: readonly string[];
}
const places = { access: { caIssuers: ['http://ca.example.com/i.der'] }, crl: ['http://ca.example.com/crl.der'] };
const server: Said = { ...places, subject: { commonName: 'a.example.com' }, names: [dnsName('a.example.com')], spki: ec, days: 90, bits: ['digitalSignature'], purposes: [oids.serverAuth], policies: ['2.23.140.1.2.1'] }; // prettier-ignore
const mail: Said = { ...server, subject: { commonName: 'ada@example.com' }, names: [emailAddress('ada@example.com')], days: 825, bits: ['digitalSignature', 'keyAgreement'], purposes: [oids.emailProtection], policies: ['2.23.140.1.5.1.3'] }; // prettier-ignore
const code: Said = { ...server, subject: { country: 'DE', locality: 'Berlin', organization: 'Example', commonName: 'Example' }, names: [], days: 460, purposes: [oids.codeSigning], policies: ['2.23.140.1.4.1'] }; // prettier-ignore

const identifier = signatureAlgorithms['ec-p256'].identifier;
function check(name: string, said: Said): void {
  const profile = profiles.get(name) as Profile;
  const notBefore = new Date('2026-11-22T12:00:00Z');
  const subject = encodeDistinguishedName(said.subject);
  const issuerName = encodeDistinguishedName({ commonName: 'Issuing' });
  const tbs = encodeTbsCertificate({
    serial: Buffer.alloc(16, 0x41),
    signatureAlgorithm: identifier,
    issuer: issuerName,
    validity: { notBefore, notAfter: new Date(notBefore.getTime() + said.days * 86_400_000 - 1000) },
    subject,
    subjectPublicKeyInfo: said.spki,
    extensions: [
      keyUsage(said.bits),
      extendedKeyUsage(said.purposes),
      certificatePolicies(said.policies.map((oid) => ({ oid, cps: said.cps }))),
      ...(said.access === undefined ? [] : [authorityInfoAccess(said.access)]),
      ...(said.crl.length === 0 ? [] : [crlDistributionPoints(said.crl)]),
      ...(said.names.length === 0 ? [] : [subjectAltName(said.names, false)]),
    ],
  });
  const intent = { profile, selfSigned: false, serial: Buffer.alloc(16), issuerName, issuerKeyIdentifier: Buffer.alloc(20), signatureAlgorithm: identifier, subject, subjectPublicKeyInfo: said.spki, names: said.names, fixedExtensions: [] }; // prettier-ignore
  lint('certificate', tbs, (node) => ({ view: viewTbsCertificate(node), intent }), publicRules);
}

test.each<[string, string, Said]>([
  ['a server', 'public-tls-server', server],
  ['a server of an organization', 'organization', { ...server, subject: { ...server.subject, ...code.subject, commonName: 'a.example.com' }, policies: ['2.23.140.1.2.2'] }],
  ['a server with an OCSP responder alone', 'public-tls-server', { ...server, access: { ...places.access, ocsp: ['http://ocsp.example.com'] }, crl: [] }],
  ['a server with a practice statement', 'public-tls-server', { ...server, cps: 'https://example.com/cps' }],
  ['a server with addresses', 'public-tls-server', { ...server, subject: {}, names: [ipAddress('8.8.8.8'), ipAddress('2606:4700::1')] }],
  ['a server that decrypts as well', 'public-tls-server', { ...server, bits: ['digitalSignature', 'keyEncipherment'] }],
  ['mail', 'public-smime', mail],
  ['mail, of an Ed25519 key', 'public-smime', { ...mail, spki: ed25519, bits: ['digitalSignature', 'nonRepudiation'] }],
  ['mail and a client', 'multipurpose', { ...mail, purposes: [oids.emailProtection, oids.clientAuth], policies: ['2.23.140.1.5.1.2'] }],
  ['code', 'public-code-signing', code],
  ['code of two partners', 'public-code-signing', { ...code, subject: { ...code.subject, organization: 'A&T & Partner&Co' } }],
  ['code of an organization under another name', 'public-code-signing', { ...code, subject: { ...code.subject, organization: 'Example (Example GmbH)' } }],
])('%s is sound', (_, profile, said) => {
  expect(() => check(profile, said)).not.toThrow();
}); // prettier-ignore

test.each<[string, string, Said, string]>([
  ['a server for 201 days', 'public-tls-server', { ...server, days: 201 }, 'the validity is at most'],
  ['mail for 826 days', 'public-smime', { ...mail, days: 826 }, 'the validity is at most'],
  ['code for 461 days', 'public-code-signing', { ...code, days: 461 }, 'the validity is at most'],
  ['Ed25519 for a server', 'public-tls-server', { ...server, spki: ed25519 }, 'the key is of a kind'],
  ['Ed25519 for code', 'public-code-signing', { ...code, spki: ed25519 }, 'the key is of a kind'],
  ['nonRepudiation of a server', 'public-tls-server', { ...server, bits: ['digitalSignature', 'nonRepudiation'] }, 'the key usage is what'],
  ['keyAgreement of a server', 'public-tls-server', { ...server, bits: ['digitalSignature', 'keyAgreement'] }, 'the key usage is what'],
  ['an EC key that does not sign', 'public-tls-server', { ...server, bits: ['keyEncipherment'] }, 'an EC key of a server'],
  ['mail that repudiates nothing and signs nothing', 'public-smime', { ...mail, bits: ['nonRepudiation'] }, 'the key usage is what'],
  ['code that is mailed', 'public-code-signing', { ...code, purposes: [oids.codeSigning, oids.emailProtection] }, 'the purpose is there'],
  ['a strict mailbox that is a client', 'public-smime', { ...mail, purposes: [oids.emailProtection, oids.clientAuth] }, 'the purpose is there'],
  ['a server that is a client too', 'public-tls-server', { ...server, purposes: [oids.serverAuth, oids.clientAuth] }, 'the purpose is there'],
  ['a client without a server', 'public-tls-server', { ...server, purposes: [oids.clientAuth] }, 'the purpose is there'],
  ['a server without names', 'public-tls-server', { ...server, names: [] }, 'SubjectAltName is there'],
  ['a server with a SPIFFE ID', 'public-tls-server', { ...server, names: [uri('spiffe://example.com/a')] }, 'SubjectAltName is there'],
  ['mail with a host', 'public-smime', { ...mail, names: [...mail.names, dnsName('a.example.com')] }, 'SubjectAltName is there'],
  ['code with a name', 'public-code-signing', { ...code, names: server.names }, 'SubjectAltName is there'],
  ['an internal name', 'public-tls-server', { ...server, names: [dnsName('db.internal')] }, 'fully qualified and not internal'],
  ['a name without a dot', 'public-tls-server', { ...server, names: [dnsName('db')] }, 'fully qualified and not internal'],
  ['a name below what is no top-level domain', 'public-tls-server', { ...server, names: [dnsName('a.b2')] }, 'fully qualified and not internal'],
  ['an organization out of a web page', 'public-code-signing', { ...code, subject: { ...code.subject, organization: 'Ada&copy 2026' } }, 'character references of HTML'],
  ['an organization with a number of one', 'public-code-signing', { ...code, subject: { ...code.subject, organization: 'Ada &#38 Co' } }, 'character references of HTML'],
  ['an organization that was cut off', 'public-code-signing', { ...code, subject: { ...code.subject, organization: 'Example (Example Gesell' } }, 'opens a parenthesis'],
  ['an internal mailbox', 'public-smime', { ...mail, names: [emailAddress('ada@mail.test')] }, 'fully qualified and not internal'],
  ['a private address', 'public-tls-server', { ...server, names: [ipAddress('10.0.0.1')] }, 'addresses are not reserved'],
  ['an address that nobody was given', 'public-tls-server', { ...server, names: [ipAddress('4000::1')] }, 'addresses are not reserved'],
  ['no policy of the Forum', 'public-tls-server', { ...server, policies: ['1.2.3'] }, 'one policy says'],
  ['two policies of the Forum', 'public-tls-server', { ...server, policies: ['2.23.140.1.2.1', '2.23.140.1.2.2'] }, 'one policy says'],
  ['extended validation', 'public-tls-server', { ...server, policies: ['2.23.140.1.1'] }, 'one policy says'],
  ["a server's policy for mail", 'public-smime', { ...mail, policies: ['2.23.140.1.2.1'] }, 'one policy says'],
  ['the legacy policy for mail', 'public-smime', { ...mail, policies: ['2.23.140.1.5.1.1'] }, 'one policy says'],
  ['an organization that is not validated', 'public-tls-server', { ...server, subject: code.subject }, 'the subject has what its policy wants'],
  ['an organization that is nowhere', 'organization', { ...server, subject: { organization: 'Example', country: 'DE' }, policies: ['2.23.140.1.2.2'] }, 'the subject has what its policy wants'],
  ['an organization behind a mailbox', 'public-smime', { ...mail, subject: { organization: 'Example' } }, 'the subject has what its policy wants'],
  ['code of nobody', 'public-code-signing', { ...code, subject: { commonName: 'Example' } }, 'the subject has what its policy wants'],
  ['no authority information', 'public-tls-server', { ...server, access: undefined }, 'authority information is there'],
  ['a server without the place of its issuer', 'public-tls-server', { ...server, access: { ocsp: ['http://ocsp.example.com'] } }, 'authority information is there'],
  ['a server without a place to ask', 'public-tls-server', { ...server, crl: [] }, 'there is a CRL'],
  ['a server for a week without one', 'public-tls-server', { ...server, days: 7, crl: [] }, 'there is a CRL'],
  ['mail for a week without a CRL', 'public-smime', { ...mail, days: 7, crl: [] }, 'there is a CRL'],
  ['a place on an internal host', 'public-tls-server', { ...server, crl: ['http://ca.internal/crl.der'] }, 'places are on hosts'],
  ['a place on an address', 'public-tls-server', { ...server, crl: ['http://192.0.2.1:8080/crl.der'] }, 'places are on hosts'],
  ['a practice statement on an internal host', 'public-smime', { ...mail, cps: 'https://wiki.corp/cps' }, 'places are on hosts'],
])('%s is found', (_, profile, said, finding) => {
  expect(() => check(profile, said)).toThrow(
    expect.objectContaining({ code: 'ERR_CA_LINT_FAILED', message: expect.stringContaining(finding) }) as Error,
  );
}); // prettier-ignore

test('only what says that it is public-style is held against them', () => {
  expect(certificateRulesFor({ publicStyle: true })).toEqual(expect.arrayContaining([...publicRules]));
  expect(certificateRulesFor({ publicStyle: false }).some((rule) => publicRules.includes(rule))).toBe(false);
});
