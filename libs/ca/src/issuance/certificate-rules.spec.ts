import { generateKeyPairSync } from 'node:crypto';
import { oid, sequence, tlv } from '../../../../test/support/csr.js';
import { der } from '../der/der-writer.js';
import { oids } from '../der/oid.js';
import { encodeDistinguishedName } from '../name/distinguished-name.js';
import { dnsName } from '../name/general-name.js';
import { NameConstraints } from '../profile/name-constraints.js';
import { type Profile, subordinateProfile } from '../profile/profile.js';
import { resolveProfiles } from '../profile/profiles.js';
import type { CertificateIntent } from './certificate-intent.js';
import { certificateRulesFor } from './certificate-rules.js';
import { viewTbsCertificate } from './certificate-view.js';
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  basicConstraints,
  certificatePolicies,
  crlDistributionPoints,
  extendedKeyUsage,
  keyUsage,
  nameConstraints,
  ocspNoCheck,
  subjectAltName,
  subjectKeyIdentifier,
} from './extensions.js';
import { keyIdentifier } from './key-identifier.js';
import { lint } from './lint.js';
import { signatureAlgorithms } from './signature-algorithm.js';
import { encodeTbsCertificate, type TbsCertificate } from './tbs-certificate.js';

const spki = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' });
const issuerKeyIdentifier = Buffer.alloc(20, 5);
const names = [dnsName('a.example.test')];
const issuerName = encodeDistinguishedName({ commonName: 'Issuing', country: 'DE' });
const { identifier } = signatureAlgorithms['ec-p256'];
const at = (time: string): Date => new Date(time);

const decided: CertificateIntent = {
  profile: resolveProfiles({ 'tls-server': { policies: [] } }).get('tls-server') as Profile,
  selfSigned: false,
  serial: Buffer.alloc(16, 0x41),
  issuerName,
  issuerKeyIdentifier,
  issuerValidity: { notBefore: at('2026-01-01T00:00:00Z'), notAfter: at('2030-01-01T00:00:00Z') },
  signatureAlgorithm: identifier,
  subject: encodeDistinguishedName({ commonName: 'a.example.test' }),
  subjectPublicKeyInfo: spki,
  names,
  fixedExtensions: [],
};
const extensions = {
  keyUsage: keyUsage(['digitalSignature']),
  extendedKeyUsage: extendedKeyUsage([oids.serverAuth]),
  basicConstraints: basicConstraints(undefined),
  authorityKeyIdentifier: authorityKeyIdentifier(issuerKeyIdentifier),
  authorityInfoAccess: authorityInfoAccess({ caIssuers: ['http://ca.test/i.der'] }),
  crlDistributionPoints: crlDistributionPoints(['http://ca.test/crl.der']),
  subjectKeyIdentifier: subjectKeyIdentifier(keyIdentifier(spki)),
  subjectAltName: subjectAltName(names, false),
};
const { subjectKeyIdentifier: _, subjectAltName: __, ...fixed } = extensions;
const intent: CertificateIntent = { ...decided, fixedExtensions: Object.values(fixed) };
const sound: TbsCertificate = {
  serial: decided.serial,
  signatureAlgorithm: identifier,
  issuer: issuerName,
  validity: { notBefore: at('2026-11-22T12:00:00Z'), notAfter: at('2027-02-20T11:59:59Z') },
  subject: encodeDistinguishedName({ commonName: 'a.example.test' }),
  subjectPublicKeyInfo: spki,
  extensions: Object.values(extensions),
};
const withExtensions = (
  changes: Partial<Record<keyof typeof extensions, Buffer | undefined>>,
  ...more: Buffer[]
): Partial<TbsCertificate> => ({
  extensions: [...Object.values({ ...extensions, ...changes }).filter((extension) => extension !== undefined), ...more],
});
const check = (tbs: Buffer, meant: CertificateIntent = intent): void =>
  lint(
    'certificate',
    tbs,
    (node) => ({ view: viewTbsCertificate(node), intent: meant }),
    certificateRulesFor(meant.profile),
  );
const rawExtension = (type: string, ...rest: Buffer[]): Buffer =>
  sequence(
    der((w) => w.oid(type)),
    ...rest,
  );

test('a sound certificate breaks no rule', () => {
  expect(() => check(encodeTbsCertificate(sound))).not.toThrow();
});

test.each<[string, Partial<TbsCertificate>, string]>([
  ['another serial', { serial: Buffer.alloc(16, 0x42) }, 'the serial number is the reserved one'],
  ['a serial of 21 octets', { serial: Buffer.alloc(21, 0x41) }, 'the serial number is positive and of at most 20 octets'],
  ['serial zero', { serial: Buffer.of(0) }, 'the serial number is positive'],
  ['another signature algorithm', { signatureAlgorithm: signatureAlgorithms['ec-p384'].identifier }, "the signature algorithm is the issuer's"],
  ['another issuer', { issuer: encodeDistinguishedName({ commonName: 'Other' }) }, 'the issuer is a non-empty name'],
  ['an empty issuer', { issuer: sequence() }, 'the issuer is a non-empty name'],
  ['dates the wrong way round', { validity: { notBefore: sound.validity.notAfter, notAfter: sound.validity.notBefore } }, 'notBefore is before notAfter'],
  ['a day too many', { validity: { ...sound.validity, notAfter: at('2027-02-21T11:59:59Z') } }, "the validity is at most the profile's"],
  ['a start before the issuer', { validity: { notBefore: at('2025-12-31T00:00:00Z'), notAfter: at('2026-01-31T00:00:00Z') } }, "the validity lies within the issuer's"],
  ['an end after the issuer', { validity: { notBefore: at('2029-12-01T00:00:00Z'), notAfter: at('2030-01-02T00:00:00Z') } }, "the validity lies within the issuer's"],
  ['an organization in the subject', { subject: encodeDistinguishedName({ commonName: 'a.example.test', organization: 'O' }) }, 'the subject has attributes of the profile alone'],
  ['another subject', { subject: sequence() }, 'the subject is the decided one'],
  ['a commonName of 65 characters', { subject: encodeDistinguishedName({ commonName: 'a'.repeat(65) }) }, 'name attributes are non-empty, within bounds'],
  ['a commonName that is not in SubjectAltName', { subject: encodeDistinguishedName({ commonName: 'b.example.test' }) }, 'a commonName that is a name is also in SubjectAltName'],
  ['a country that is none', { subject: encodeDistinguishedName({ commonName: 'a.example.test', country: 'UK' }) }, 'name attributes are non-empty, within bounds'],
  ['a replacement character', { subject: encodeDistinguishedName({ commonName: 'a\ufffdb' }) }, 'name attributes are non-empty, within bounds'],
  ["somebody else's key", { subjectPublicKeyInfo: generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }) }, 'the public key is the requested one'],
  ['an extension twice', withExtensions({}, extensions.keyUsage), 'no extension appears twice'],
  ['an extension nobody meant', withExtensions({}, rawExtension('1.3.6.1.5.5.7.1.24', tlv(0x04, sequence()))), 'every extension is one the profile means'],
  ['a DEFAULT written out', withExtensions({ subjectKeyIdentifier: rawExtension(oids.subjectKeyIdentifier, tlv(0x01, [0]), tlv(0x04, tlv(0x04, keyIdentifier(spki)))) }), 'a DEFAULT is not written out'],
  ['a critical SubjectAltName beside a subject', withExtensions({ subjectAltName: subjectAltName(names, true) }), 'criticality is what each section wants'],
  ['a SubjectAltName not critical under an empty subject', { subject: sequence() }, 'criticality is what each section wants'],
  ['no authority key identifier', withExtensions({ authorityKeyIdentifier: undefined }), "the authority key identifier is the issuer's"],
  ['another authority key identifier', withExtensions({ authorityKeyIdentifier: authorityKeyIdentifier(Buffer.alloc(20)) }), "the authority key identifier is the issuer's"],
  ['no subject key identifier', withExtensions({ subjectKeyIdentifier: undefined }), 'the subject key identifier is there and derived'],
  ['another subject key identifier', withExtensions({ subjectKeyIdentifier: subjectKeyIdentifier(Buffer.alloc(20)) }), 'the subject key identifier is there and derived'],
  ['no key usage', withExtensions({ keyUsage: undefined }), "the key usage is the profile's"],
  ['a key usage too many', withExtensions({ keyUsage: keyUsage(['digitalSignature', 'keyAgreement']) }), "the key usage is the profile's"],
  ['a bit that goes with no purpose', withExtensions({ keyUsage: keyUsage(['digitalSignature', 'nonRepudiation']) }), 'each bit of the key usage goes with a purpose'],
  ['keyCertSign for an end entity', withExtensions({ keyUsage: keyUsage(['keyCertSign']) }), 'keyCertSign goes with cA and nothing else'],
  ['keyEncipherment for an EC key', withExtensions({ keyUsage: keyUsage(['digitalSignature', 'keyEncipherment']) }), 'keyEncipherment and dataEncipherment are not for EC'],
  ['no SubjectAltName', withExtensions({ subjectAltName: undefined }), 'SubjectAltName holds exactly the names allowed'],
  ['a name too many', withExtensions({ subjectAltName: subjectAltName([...names, dnsName('b.test')], false) }), 'SubjectAltName holds exactly the names allowed'],
  ['a name twice', withExtensions({ subjectAltName: subjectAltName([...names, ...names], false) }), 'SubjectAltName holds exactly the names allowed'],
  ['a name in capitals', withExtensions({ subjectAltName: subjectAltName([{ type: 'dns', value: 'A.example.test' }], false) }), 'SubjectAltName holds exactly the names allowed'],
  ['CA rights', withExtensions({ basicConstraints: basicConstraints({}) }), 'BasicConstraints is there and says what the profile says'],
  ['no BasicConstraints', withExtensions({ basicConstraints: undefined }), 'BasicConstraints is there'],
  ['a purpose too many', withExtensions({ extendedKeyUsage: extendedKeyUsage([oids.serverAuth, oids.clientAuth]) }), "the extended key usage is the profile's"],
  ['any purpose', withExtensions({ extendedKeyUsage: extendedKeyUsage([oids.anyExtendedKeyUsage]) }), "the extended key usage is the profile's"],
  ['no purpose', withExtensions({ extendedKeyUsage: undefined }), "the extended key usage is the profile's"],
  ['an https CRL', withExtensions({ crlDistributionPoints: crlDistributionPoints(['https://ca.test/crl']) }), 'CRL, OCSP and issuer locations are http URIs'],
  ['one place for two things', withExtensions({ authorityInfoAccess: authorityInfoAccess({ ocsp: ['http://ca.test/'], caIssuers: ['http://ca.test/'] }) }), 'each place once'],
  ['one place in two spellings', withExtensions({ authorityInfoAccess: authorityInfoAccess({ ocsp: ['http://ca.test/', 'http://CA.test/'] }) }), 'each place once'],
  ['a space in an URI', withExtensions({ authorityInfoAccess: authorityInfoAccess({ caIssuers: ['http://ca.test/a b'] }) }), 'CRL, OCSP and issuer locations are http URIs'],
])('%s is found', (_, change, finding) => {
  const tbs = encodeTbsCertificate({ ...sound, ...change });
  expect(() => check(tbs)).toThrow(expect.objectContaining({ code: 'ERR_CA_LINT_FAILED', message: expect.stringContaining(finding) }) as Error);
}); // prettier-ignore

/** Octets no encoder of ours writes. */
const rewrite = (edit: (hexadecimal: string) => string): Buffer => {
  const body = edit(encodeTbsCertificate(sound).subarray(4).toString('hex'));
  return sequence(Buffer.from(body, 'hex'));
};

test.each([
  ['version v1', rewrite((tbs) => tbs.replace(/^a003020102/, '')), 'the version is v3'],
  ['version v2', rewrite((tbs) => tbs.replace(/^a003020102/, 'a003020101')), 'the version is v3'],
  ['a GeneralizedTime before 2050', rewrite((tbs) => tbs.replace(`301e${utc('261122120000Z')}`, `3020${generalized('20261122120000Z')}`)), 'dates are UTCTime'],
  ['a time without seconds', rewrite((tbs) => tbs.replace(`301e${utc('261122120000Z')}`, `301c${utc('2611221200Z')}`)), 'dates are UTCTime'],
  ['a unique identifier', sequence(encodeTbsCertificate(sound).subarray(4), tlv(0x81, [0])), 'there are no unique identifiers'],
  ['a country in UTF-8', encodeTbsCertificate({ ...sound, subject: sequence(tlv(0x31, sequence(oid('550406'), tlv(0x0c, Buffer.from('DE'))))) }), 'PrintableString for country'],
  ['a set out of order', encodeTbsCertificate({ ...sound, issuer: sequence(tlv(0x31, sequence(oid('550403'), tlv(0x0c, Buffer.from('b'))), sequence(oid('550403'), tlv(0x0c, Buffer.from('a'))))) }), 'X.690 §11.6'],
  ['what is not DER', Buffer.from('3080', 'hex'), 'X.690: the octets are canonical DER'],
  ['what is not a TBSCertificate', sequence(tlv(0x02, [1])), 'X.690: the octets are canonical DER of the type'],
])('%s is found in the octets', (_, tbs, finding) => {
  expect(() => check(tbs)).toThrow(expect.objectContaining({ code: 'ERR_CA_LINT_FAILED', message: expect.stringContaining(finding) }) as Error);
}); // prettier-ignore

test('an issuing CA must have cA, its path length and a subject of its own', () => {
  const profile = subordinateProfile('issuing-ca', 90, 0);
  const subject = encodeDistinguishedName({ commonName: 'Another CA' });
  const fixed = [
    keyUsage(profile.keyUsage),
    extensions.authorityKeyIdentifier,
    certificatePolicies([{ oid: oids.anyPolicy }]),
  ];
  const fixedExtensions = [...fixed, basicConstraints({ pathLength: 0 })];
  const meant: CertificateIntent = { ...intent, profile, subject, names: [], fixedExtensions };
  const tbs = (constraints: Buffer, name = subject, ...more: Buffer[]): Buffer =>
    encodeTbsCertificate({
      ...sound,
      subject: name,
      extensions: [...fixed, constraints, extensions.subjectKeyIdentifier, ...more],
    });
  expect(() => check(tbs(basicConstraints({ pathLength: 0 })), meant)).not.toThrow();
  expect(() => check(tbs(basicConstraints({})), meant)).toThrow(
    'BasicConstraints is there and says what the profile says',
  );
  expect(() => check(tbs(basicConstraints({ pathLength: 1 })), meant)).toThrow('BasicConstraints is there');
  expect(() => check(tbs(basicConstraints({ pathLength: 0 }), issuerName), meant)).toThrow(
    "the subject is the issuer's if and only if it signs itself",
  );
  expect(() => check(tbs(basicConstraints({ pathLength: 0 }), sequence()), meant)).toThrow(
    'the subject of a CA is not empty',
  );
  const ofItsOwn = 'the extensions are octet for octet those decided';
  expect(() => check(tbs(basicConstraints({ pathLength: 1 })), meant)).toThrow(ofItsOwn);
  const location = authorityInfoAccess({ caIssuers: ['http://ca.test/r.der'] });
  expect(() => check(tbs(basicConstraints({ pathLength: 0 }), subject, location), meant)).toThrow(ofItsOwn);
});

test.each([
  ['api.mesh.test', true],
  ['.mesh.test', true],
  ['mesh', false],
  ['.mesh', false],
])('a constraint of URIs to %s', (base, isSound) => {
  const profile = subordinateProfile('issuing-ca', 90, 0);
  const subject = encodeDistinguishedName({ commonName: 'Another CA' });
  const fixedExtensions = [
    keyUsage(profile.keyUsage),
    basicConstraints({ pathLength: 0 }),
    extensions.authorityKeyIdentifier,
    certificatePolicies(profile.policies),
    nameConstraints(NameConstraints.of({ permitted: { uri: [base] } })),
  ];
  const tbs = encodeTbsCertificate({
    ...sound,
    subject,
    extensions: [...fixedExtensions, extensions.subjectKeyIdentifier],
  });
  const linted = expect(() => check(tbs, { ...intent, profile, subject, names: [], fixedExtensions }));
  if (isSound) linted.not.toThrow();
  else linted.toThrow('a constraint of URIs is a fully qualified name');
});

test("an OCSP responder's certificate points nowhere", () => {
  const profile = resolveProfiles({ 'ocsp-responder': {} }).get('ocsp-responder') as Profile;
  const subject = encodeDistinguishedName({ commonName: 'Responder' });
  const fixedExtensions = [
    extensions.keyUsage,
    extendedKeyUsage(profile.extendedKeyUsage),
    extensions.basicConstraints,
    extensions.authorityKeyIdentifier,
    ocspNoCheck(),
  ];
  const meant: CertificateIntent = { ...intent, profile, subject, names: [], fixedExtensions };
  const validity = { notBefore: sound.validity.notBefore, notAfter: at('2026-12-01T00:00:00Z') };
  const tbs = (...more: Buffer[]): Buffer =>
    encodeTbsCertificate({ ...sound, subject, validity, extensions: [...fixedExtensions, extensions.subjectKeyIdentifier, ...more] }); // prettier-ignore
  expect(() => check(tbs(), meant)).not.toThrow();
  for (const pointer of [extensions.authorityInfoAccess, extensions.crlDistributionPoints])
    expect(() => check(tbs(pointer), meant)).toThrow("an OCSP responder's certificate points nowhere");
});

test('every rule of the table cites its source', () => {
  for (const { source } of certificateRulesFor({ publicStyle: true }))
    expect(source).toMatch(/^(RFC \d{4} (§\d|appendix)|CABF (BR|EVG) §|X\.690 §)/);
});

function utc(text: string): string {
  return tlv(0x17, Buffer.from(text)).toString('hex');
}

function generalized(text: string): string {
  return tlv(0x18, Buffer.from(text)).toString('hex');
}
