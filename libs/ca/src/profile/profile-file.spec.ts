import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CaError } from '../errors.js';
import { loadProfiles, parseProfiles, readProfileFile } from './profile-file.js';

const page = readFileSync(join(process.cwd(), 'docs/PROFILES.md'), 'utf8');
const example = /<!-- example: profiles\.yaml -->\n```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? '';

test('the example of the page is a profile file', () => {
  const profiles = parseProfiles(example, 'profiles.yaml');
  expect([...profiles.keys()]).toEqual([
    'tls-server',
    'tls-client',
    'mesh',
    'web',
    'device',
    'partner-ca',
    'code-signing',
    'smime',
    'document-signing',
    'ocsp-responder',
  ]);
  expect(profiles.get('tls-server')).toMatchObject({ validitySeconds: 30 * 86_400, allowedNames: ['dns', 'ip'] });
  expect(profiles.get('mesh')).toMatchObject({
    validitySeconds: 86_400,
    noRevocation: true,
    extendedKeyUsage: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'],
    requiredNames: ['uri'],
  });
  expect(profiles.get('partner-ca')).toMatchObject({ approval: true, authority: { pathLength: 0 } });
});

test('the page names every field, built-in profile and default', async () => {
  const { profileInputSchema } = await import('./profile-schema.js');
  const { builtInProfiles } = await import('./built-in-profiles.js');
  for (const name of [...Object.keys(profileInputSchema.shape), ...Object.keys(builtInProfiles)])
    expect(page).toContain(name === 'subjectAltName' ? '`subjectAltName.allowed`' : `\`${name}\``);
});

test('a profile is frozen all the way down, and its version follows its content', () => {
  const [first, same, other] = ['{ validityDays: 7 }', '{ validityHours: 168 }', '{ validityDays: 8 }'].map((text) =>
    parseProfiles(`tls-server: ${text}`, 'f').get('tls-server'),
  );
  expect(first?.version).toMatch(/^[0-9a-f]{64}$/);
  expect(first?.version).toBe(same?.version);
  expect(first?.version).not.toBe(other?.version);
  expect(() => (first?.keys as string[]).push('dsa')).toThrow('not extensible');
  expect(() => Object.assign(first?.subject ?? {}, { commonName: 'optional' })).toThrow('read only');
});

test('all faults are listed together, each with its line and column, and each once', () => {
  const text = `tls-server:
  validityDays: 0
  colour: red
web:
  extends: tls-serverr
  keyUsage: [digitalSignature]
inner: { extends: web }
outer: { extends: tls-server, keyUsage: [] }
mail:
  extends: smime
  subject:
    commonName: sometimes
    country: { value: Germany }
  keys: [rsa, dsa]
smime: { validityDays: 1, validityHours: 24 }
`;
  expect(faultsOf(text)).toEqual([
    '2:3: tls-server.validityDays: Too small: expected number to be >=1',
    '3:3: tls-server.colour: want a field that is known here',
    expect.stringMatching(/^5:3: web\.extends: want a profile that is written or built in .*, got tls-serverr$/),
    expect.stringMatching(/^8:31: outer\.keyUsage: /),
    expect.stringMatching(/^12:5: mail\.subject\.commonName: /),
    expect.stringMatching(/^13:16: mail\.subject\.country\.value: want two upper-case letters/),
    expect.stringMatching(/^14:15: mail\.keys\.1: /),
    '15:27: smime.validityHours: want validityDays or validityHours, got both',
  ]);
});

test.each<[string, string, string]>([
  ['a base that is not there', 'a: { extends: b, extendedKeyUsage: [serverAuth] }', '1:6: a.extends: want a profile that is written or built in'],
  ['a circle', 'a: { extends: b }\nb: { extends: a }', '1:6: a.extends: want no circle, got a extends b extends a'],
  ['CA rights without keyCertSign', 'intermediate: { keyUsage: [digitalSignature] }', '1:17: intermediate.keyUsage: want keyCertSign and cRLSign for a CA'],
  ['keyCertSign without CA rights', 'tls-server: { keyUsage: [digitalSignature, keyCertSign] }', 'keyUsage: want keyCertSign and cRLSign for a CA and nothing else'],
  ['a CA whose key is for more than signatures', 'intermediate: { keys: [rsa], keyUsage: [keyCertSign, cRLSign, keyEncipherment] }', 'keyUsage: want digitalSignature alone beside the bits of a CA'],
  ['anyPolicy beside another policy', 'intermediate: { policies: [{ oid: 2.5.29.32.0 }, { oid: 1.3.6.1.4.1.32473.1 }] }', 'policies: want anyPolicy alone'],
  ['keyEncipherment for EC alone', 'tls-server: { keys: [ec-p256], keyUsage: [keyEncipherment] }', 'keyUsage: want a bit that every allowed kind of key can have'],
  ['a key usage that does not go with the purpose', 'code-signing: { keyUsage: [nonRepudiation] }', 'extendedKeyUsage: want a key usage that goes with each purpose'],
  ['a key usage too many', 'tls-server: { keyUsage: [digitalSignature, nonRepudiation] }', 'keyUsage: want bits that go with one of the purposes'],
  ['an OCSP responder that points somewhere', 'ocsp-responder: { caIssuers: [http://a.test/] }', 'ocspNoCheck: want no CRL, OCSP or issuer URLs'],
  ['a country that is none', 'device: { subject: { country: { value: UK } } }', 'want two upper-case letters of ISO 3166-1'],
  ['text that went through a wrong conversion', 'device: { subject: { organization: { value: "M\u00c3\u00bcller" } } }', 'want text in its own characters'],
  ['text out of a web page', 'device: { subject: { organization: { value: "A &amp; B" } } }', 'want no HTML entities'],
  ['every purpose', 'a: { extends: tls-server, extendedKeyUsage: [2.5.29.37.0] }', 'want neither anyExtendedKeyUsage nor timeStamping'],
  ['no purpose', 'tls-server: { extendedKeyUsage: [] }', 'want a purpose'],
  ['OCSP signing beside another purpose', 'ocsp-responder: { extendedKeyUsage: [ocspSigning, serverAuth] }', 'want ocspSigning alone'],
  ['ocsp-nocheck for a server', 'tls-server: { ocspNoCheck: true }', 'want ocspSigning alone and with ocspNoCheck'],
  ['no revocation with a CRL', 'tls-server: { noRevocation: true, crl: [http://a.test/] }', 'noRevocation: want no CRL'],
  ['no revocation for a CA', 'intermediate: { noRevocation: true }', 'noRevocation: want no CRL'],
  ['must-staple for a client', 'tls-client: { mustStaple: true }', 'mustStaple: want a TLS server'],
  ['a place of two things', 'tls-server: { ocsp: [http://a.test/], caIssuers: [http://A.test/] }', 'ocsp: want every place of OCSP and issuer once'],
  ['a policy with an arc that some tools cannot read', 'tls-server: { policies: [{ oid: 1.2.268435456 }] }', 'policies.0.oid: want arcs below 2^28'],
  ['a purpose of too many arcs', 'tls-client: { extendedKeyUsage: [1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21] }', 'extendedKeyUsage.0'],
  ['a policy below an arc that there is not', 'tls-server: { policies: [{ oid: 1.40.1 }] }', 'policies.0.oid: want an OID'],
  ['a policy twice', 'tls-server: { policies: [{ oid: 1.2.3 }, { oid: 1.2.3 }] }', 'policies: want every policy once'],
  ['a CRL on a host that has no name', 'tls-server: { crl: [http://my_ca.test/crl] }', '1:21: tls-server.crl.0: want a host, a port and a path'],
  ['a CRL behind a password', 'tls-server: { crl: ["http://a:b@ca.test/crl"] }', '1:21: tls-server.crl.0: want a host'],
  ['a practice statement at no URI', 'tls-server: { policies: [{ oid: 1.2.3, cps: "https://a.test/{cps}" }] }', 'cps: want a host, a port and a path'],
  ['an https CRL', 'tls-server: { crl: [https://a.test/crl] }', '1:21: tls-server.crl.0: '],
  ['required names that are not allowed', 'smime: { subjectAltName: { allowed: [dns], required: [email] } }', 'want every required kind of name among the allowed'],
  ['an added name of an attribute that may be missing', 'device: { subjectAltName: { add: ["uri:urn:x:{commonName}"] } }', 'want added names of attributes that every subject has'],
  ['an added name that is none', 'device: { subjectAltName: { add: ["dns:a b"] } }', 'want added names that can be names'],
  ['a public certificate of Ed25519', 'tls-server: { publicStyle: true, policies: [{ oid: 2.23.140.1.2.1 }] }', 'publicStyle: want no Ed25519'],
  ['a public certificate for a year', 'tls-server: { publicStyle: true, validityDays: 365, keys: [rsa], policies: [{ oid: 2.23.140.1.2.1 }] }', 'publicStyle: want a validity of at most 200 days'],
  ['a public certificate without a policy', 'tls-server: { publicStyle: true, keys: [rsa] }', 'publicStyle: want one policy of the CA/Browser Forum'],
  ['two policies of the Forum', 'public-tls-server: { policies: [{ oid: 2.23.140.1.2.1 }, { oid: 2.23.140.1.2.2 }] }', 'publicStyle: want one policy of the CA/Browser Forum, 2.23.140.1.2.1 or 2.23.140.1.2.2'],
  ['extended validation', 'public-tls-server: { policies: [{ oid: 2.23.140.1.1 }] }', 'publicStyle: want one policy of the CA/Browser Forum'],
  ['a policy of the Forum that nobody keeps', 'tls-server: { policies: [{ oid: 2.23.140.1.2.1 }] }', 'publicStyle: want no policy of the CA/Browser Forum without publicStyle'],
  ['an organization that is not validated', 'public-tls-server: { subject: { commonName: name, organization: required } }', 'publicStyle: want no organization in a subject of policy 2.23.140.1.2.1'],
  ['an organization that may be nowhere', 'public-tls-server: { subject: { organization: required, country: optional }, policies: [{ oid: 2.23.140.1.2.2 }] }', 'publicStyle: want country, stateOrProvince or locality in every subject'],
  ['a mailbox with a name', 'public-smime: { subject: { commonName: required } }', 'publicStyle: want a commonName that is one of the names'],
  ['a server that is a client too', 'public-tls-server: { extendedKeyUsage: [serverAuth, clientAuth] }', 'publicStyle: want no purpose 1.3.6.1.5.5.7.3.2 beside policy 2.23.140.1.2.1'],
  ['a strict mailbox for more', 'public-smime: { extendedKeyUsage: [emailProtection, clientAuth] }', 'publicStyle: want no purpose 1.3.6.1.5.5.7.3.2 beside policy 2.23.140.1.5.1.3'],
  ['mail without a CRL', 'public-smime: { crl: [] }', 'publicStyle: want a CRL'],
  ['a public server whose status nobody can ask for', 'public-tls-server: { validityDays: 6, noRevocation: true }', 'publicStyle: want a place to ask for the status'],
  ['a public server without the place of its issuer', 'public-tls-server: { caIssuers: [] }', "publicStyle: want the place of the issuer's certificate"],
  ['a practice statement that the public cannot read', 'public-smime: { policies: [{ oid: 2.23.140.1.5.1.3, cps: https://wiki.corp/cps }] }', 'publicStyle: want a practice statement on a host of the public DNS'],
  ['code without the place of its issuer', 'public-code-signing: { caIssuers: [] }', "publicStyle: want the place of the issuer's certificate"],
  ['code of small keys', 'public-code-signing: { minimumRsaBits: 2048 }', 'publicStyle: want RSA from 3072 bits'],
  ['code for longer', 'public-code-signing: { validityDays: 461 }', 'publicStyle: want a validity of at most 460 days'],
  ['a public server that repudiates nothing', 'public-tls-server: { keyUsage: [digitalSignature, nonRepudiation] }', 'publicStyle: want a key usage of digitalSignature, keyEncipherment'],
  ['a public server with URIs', 'public-tls-server: { subjectAltName: { allowed: [dns, uri], required: [dns] } }', 'publicStyle: want names of the kinds dns, ip alone'],
  ['a public client', 'tls-client: { publicStyle: true }', 'publicStyle: want an end entity for serverAuth, codeSigning or emailProtection'],
  ['a CA without a subject', 'intermediate: { subject: { commonName: optional } }', 'subject: want a subject that is never empty'],
  ['a name that is no profile name', 'Web_1: {}', 'want a name of at most 48'],
  ['a key twice', 'a: {}\na: {}', '2:1: want YAML, got: Map keys must be unique'],
  ['what is no YAML', 'a: [', '1:5: '],
  ['a list', '- a', '1:1: Invalid input'],
  ['a prototype', '__proto__: { validityDays: 1 }', 'want at least one profile'],
  ['nothing', '{}', 'want at least one profile'],
])('%s', (_, text, fault) => {
  expect(faultsOf(text).join('\n')).toContain(fault);
}); // prettier-ignore

test('aliases without end are refused', () => {
  const bomb = [
    'a: &a [x]',
    ...Array.from('bcdefghi', (name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[index]}`).join()}]`),
  ];
  expect(() => parseProfiles(bomb.join('\n'), 'f')).toThrow('want fewer aliases');
});

test('a file that is not there, and two places at once', () => {
  expect(() => readProfileFile('/nowhere/profiles.yaml')).toThrow('/nowhere/profiles.yaml: want a readable YAML file');
  expect(() => loadProfiles({ profiles: {}, profileFile: 'f' })).toThrow('want profiles or profileFile, got both');
});

test('places that a profile promises and the configuration does not have are faults', () => {
  const stapling = { profiles: { 'tls-server': { mustStaple: true } } };
  const publicUrl = 'http://ca.example.com';
  expect(() => loadProfiles({ ...stapling, publicUrl })).toThrow('tls-server.mustStaple: want an OCSP responder');
  expect(() => loadProfiles({ ...stapling, ocsp: {} })).toThrow('tls-server.mustStaple: want an OCSP responder');
  expect(loadProfiles({ ...stapling, publicUrl, ocsp: {} }).size).toBe(1);
  const tls = { publicStyle: true, keys: ['rsa' as const], policies: [{ oid: '2.23.140.1.2.1' }] };
  expect(() => loadProfiles({ profiles: { 'tls-server': tls } })).toThrow('tls-server.publicStyle: want places');
  expect(loadProfiles({ profiles: { 'tls-server': tls }, publicUrl }).size).toBe(1);
  const internal = { profiles: { 'tls-server': tls }, publicUrl: 'http://ca.internal' };
  expect(() => loadProfiles(internal)).toThrow('tls-server.publicStyle: want places on hosts of the public DNS');
  const elsewhere = { crl: ['http://crl.example.com/'], caIssuers: ['http://ca.example.com/'] };
  expect(loadProfiles({ ...internal, profiles: { 'tls-server': { ...tls, ...elsewhere } } }).size).toBe(1);
  const mail = { 'public-smime': { validityDays: 7, caIssuers: elsewhere.caIssuers } };
  expect(() => loadProfiles({ profiles: mail })).toThrow('public-smime.publicStyle: want places of issuer and status');
  const monthly = { profiles: { 'tls-server': tls }, publicUrl, crl: { validityHours: 720 } };
  expect(() => loadProfiles(monthly)).toThrow('want crl.validityHours of at most 240');
});

function faultsOf(text: string): string[] {
  try {
    parseProfiles(text, 'f');
  } catch (error) {
    expect(error).toBeInstanceOf(CaError);
    expect((error as CaError).code).toBe('ERR_CA_CONFIG_INVALID');
    return (error as CaError).message.split('\n').slice(1).map((line) => line.replace(/^f:/, '')); // prettier-ignore
  }
  throw new Error('want faults, got none');
}
