import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  buildCsr,
  commonName,
  dns,
  email,
  extensionRequest,
  mustStaple,
  oid,
  sequence,
  set,
  subjectAltName,
  tlv,
  uri,
} from '../../../../test/support/csr.js';
import { hasCommand } from '../../../../test/support/ca-service.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CertificateAuthority } from '../certificate-authority.js';
import type { CaConfig } from '../config.js';

const rsa = generateKeyPairSync('rsa', { modulusLength: 3072 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const named = (...names: Buffer[]): Buffer[] => [extensionRequest(subjectAltName(...names))];
const attribute = (type: string, text: string, tag = 0x0c): Buffer =>
  set(sequence(oid(type), tlv(tag, Buffer.from(text))));
const [cn, o, serialNumber] = ['550403', '55040a', '550405'];

const root = { label: 'root', subject: { commonName: 'Test Root' } };
const issuing = { label: 'issuing', subject: { commonName: 'Test Issuing' }, algorithm: 'ec-p256' } as const;
/** What the public is to trust has a CA of its own for each purpose. */
const publicIssuer = (name: string, purpose: string, profiles: string[]) => ({
  label: name,
  subject: { commonName: `Test ${name}`, organization: 'Example', country: 'DE' },
  algorithm: 'ec-p256' as const,
  extendedKeyUsage: [purpose],
  profiles,
});

const config: Partial<CaConfig> = {
  authority: {
    root,
    issuing,
    issuers: {
      servers: publicIssuer('servers', 'serverAuth', ['public', 'public-tls-server']),
      mail: publicIssuer('mail', 'emailProtection', ['public-smime']),
      code: publicIssuer('code', 'codeSigning', ['public-code-signing']),
    },
    initialize: true,
  },
  publicUrl: 'http://ca.example.com',
  profileFile: undefined,
  profiles: {
    'tls-server': {},
    'tls-client': {},
    mutual: {},
    'code-signing': {},
    smime: { subject: { commonName: 'optional', emailAddress: 'optional' } },
    'document-signing': { policies: [{ oid: '1.3.6.1.4.1.55555.1', cps: 'https://example.com/cps' }] },
    device: { subjectAltName: { allowed: ['dns'], add: ['uri:urn:device:{serialNumber}'] } },
    'ocsp-responder': {},
    'short-lived': { extends: 'tls-server', validityHours: 24, noRevocation: true },
    public: {
      extends: 'tls-server',
      publicStyle: true,
      validityDays: 200,
      keys: ['rsa', 'ec-p256', 'ec-p384'],
      policies: [{ oid: '1.3.6.1.4.1.55555.2' }, { oid: '2.23.140.1.2.1' }],
      ocsp: ['http://ocsp.example.com'],
      mustStaple: true,
    },
    'public-tls-server': {},
    'public-smime': {},
    'public-code-signing': {},
    'thirty-year': { extends: 'tls-server', validityDays: 36_500 },
  },
  allowedNames: undefined,
  nameRules: [
    { dns: ['*.example.com'], email: ['@example.com'], uri: ['spiffe://example.com/*'], subject: { commonName: ['*'], serialNumber: ['*'] } },
    { profiles: ['public-code-signing'], subject: { organization: ['Example'], locality: ['Berlin'], country: ['DE'] } },
    { profiles: ['ocsp-responder'], subject: { organization: ['Example'], country: ['DE'], commonName: ['*'] } },
  ],
}; // prettier-ignore

const hasNss = ['certutil', 'crlutil', 'vfychain'].every(hasCommand);

interface Case {
  readonly profile: string;
  readonly csr: Buffer;
  /** What `openssl x509 -text` says, among other things. */
  readonly says: readonly (string | RegExp)[];
  readonly saysNot?: readonly string[];
  readonly purpose?: string;
  /** As vfychain of NSS numbers them. */
  readonly nssUsages?: readonly number[];
}
const tlsName = { subject: sequence(attribute(cn, 'a.example.com')), attributes: named(dns('A.example.com')) };
const person = sequence(attribute(cn, 'Ada Lovelace'));
const ofBank = sequence(attribute(cn, 'Ada Lovelace'), attribute(o, 'Bank'));

const cases: Case[] = [
  { profile: 'tls-server', csr: buildCsr(tlsName), says: ['TLS Web Server Authentication\n', 'Policy: 1.3.6.1.4.1.32473.1\n', 'CN = a.example.com', 'DNS:a.example.com\n', 'http://ca.example.com/'], purpose: 'sslserver', nssUsages: [1] },
  { profile: 'tls-client', csr: buildCsr({ ...tlsName, key: ec }), says: ['TLS Web Client Authentication\n', 'Digital Signature\n'], purpose: 'sslclient', nssUsages: [0] },
  { profile: 'mutual', csr: buildCsr({ subject: sequence(), attributes: named(uri('spiffe://example.com/ns/a')) }), says: ['TLS Web Server Authentication, TLS Web Client Authentication', 'Policy: 1.3.6.1.4.1.32473.1\n', 'Alternative Name: critical', 'URI:spiffe://example.com/ns/a'], purpose: 'sslclient', nssUsages: [0, 1] },
  { profile: 'code-signing', csr: buildCsr({ subject: person, key: rsa }), says: ['Code Signing', 'Subject: CN = Ada Lovelace\n'], saysNot: ['Alternative Name'] },
  { profile: 'smime', csr: buildCsr({ subject: ofBank, attributes: named(email('Ada@EXAMPLE.com')), key: rsa }), says: ['E-mail Protection', 'email:Ada@example.com', 'Digital Signature, Key Encipherment\n'], purpose: 'smimesign', nssUsages: [4] },
  { profile: 'smime', csr: buildCsr({ subject: sequence(attribute('2a864886f70d010901', 'ada@example.com', 0x16)) }), says: ['Digital Signature, Key Agreement\n', 'emailAddress = ada@example.com', 'email:ada@example.com'], purpose: 'smimesign', nssUsages: [4] },
  { profile: 'document-signing', csr: buildCsr({ subject: person }), says: ['1.3.6.1.5.5.7.3.36', 'Digital Signature, Non Repudiation\n', 'Policy: 1.3.6.1.4.1.55555.1', 'CPS: https://example.com/cps'] },
  { profile: 'device', csr: buildCsr({ subject: sequence(attribute(serialNumber, 'SN-0042', 0x13)) }), says: ['serialNumber = SN-0042', 'URI:urn:device:SN-0042'], purpose: 'sslclient', nssUsages: [0] },
  { profile: 'ocsp-responder', csr: buildCsr({ subject: sequence(attribute('550406', 'DE', 0x13), attribute(o, 'Example'), attribute(cn, 'Responder')) }), says: ['C = DE, O = Example, CN = Responder', 'OCSP Signing', 'OCSP No Check'], saysNot: ['CRL Distribution', 'OCSP - URI'], purpose: 'ocsphelper', nssUsages: [10] },
  { profile: 'short-lived', csr: buildCsr(tlsName), says: [/No Revocation Available|2\.5\.29\.56/], saysNot: ['CRL Distribution', 'OCSP - URI'], purpose: 'sslserver', nssUsages: [1] },
  { profile: 'public', csr: buildCsr({ ...tlsName, attributes: [extensionRequest(subjectAltName(dns('a.example.com')), mustStaple)] }), says: [/Policy: 2\.23\.140\.1\.2\.1\s+Policy: 1\.3\.6\.1\.4\.1\.55555\.2/, 'TLS Feature', 'status_request', 'OCSP - URI:http://ocsp.example.com'], purpose: 'sslserver', nssUsages: [1] },
  { profile: 'public-tls-server', csr: buildCsr(tlsName), says: ['2.23.140.1.2.1', 'http://ca.example.com/v1/crl/'], purpose: 'sslserver', nssUsages: [1] },
  { profile: 'public-smime', csr: buildCsr({ subject: sequence(attribute(cn, 'ada@example.com')) }), says: ['2.23.140.1.5.1.3', 'CN = ada@example.com', 'email:ada@example.com'], purpose: 'smimesign', nssUsages: [4] },
  { profile: 'public-code-signing', csr: buildCsr({ subject: sequence(attribute('550406', 'DE', 0x13), attribute('550407', 'Berlin'), attribute(o, 'Example'), attribute(cn, 'Example')), key: rsa }), says: ['2.23.140.1.4.1', 'C = DE, L = Berlin, O = Example, CN = Example'] },
]; // prettier-ignore

describe('a certificate of each profile', () => {
  let ca: TestCa;
  let authority: CertificateAuthority;
  let directory: string;
  const file = (name: string, content: string): string => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  const pem = (der: Buffer): string => new X509Certificate(der).toString();
  /** A tool of NSS on its database; what it says, whatever it thinks. */
  const nss = (tool: string, ...args: string[]): string => {
    const { stdout, stderr } = spawnSync(tool, ['-d', `sql:${directory}`, ...args], { encoding: 'utf8' });
    return stdout + stderr;
  };

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'nest-hsm-profiles-'));
    ca = await TestCa.create();
    ca.now = new Date();
    authority = await ca.open(config);
    file('root.pem', pem(authority.root.der));
    file('issuing.pem', authority.generations.map(({ issuer }) => pem(issuer.certificate.der)).join(''));
    if (!hasNss) return;
    nss('certutil', '-N', '--empty-password');
    nss('certutil', '-A', '-n', 'root', '-t', 'CT,C,C', '-i', join(directory, 'root.pem'));
    for (const { name, issuer } of authority.generations)
      nss('certutil', '-A', '-n', name, '-t', ',,', '-i', file('issuer.pem', pem(issuer.certificate.der)));
  });
  afterAll(async () => {
    rmSync(directory, { recursive: true });
    await ca.remove();
  });

  test.each(cases)('$profile: openssl and certtool verify it, and it says what it should', async (each) => {
    const { profile, csr, says, saysNot = [], purpose } = each;
    const { der, issuerId } = await authority.issue(csr, profile);
    const certificate = file('leaf.pem', pem(der));
    const text = execFileSync('openssl', ['x509', '-in', certificate, '-noout', '-text'], { encoding: 'utf8' });
    for (const part of says) expect(text).toMatch(typeof part === 'string' ? new RegExp(part.replace(/[.*+?()]/g, '\\$&')) : part); // prettier-ignore
    for (const part of saysNot) expect(text).not.toContain(part);
    const trust = [
      '-x509_strict',
      '-CAfile',
      join(directory, 'root.pem'),
      '-untrusted',
      join(directory, 'issuing.pem'),
    ];
    const forPurpose = purpose === undefined ? [] : ['-purpose', purpose];
    expect(execFileSync('openssl', ['verify', ...trust, ...forPurpose, certificate], { encoding: 'utf8' })).toContain(
      'OK',
    );
    if (!hasCommand('certtool')) return;
    const chain = file('chain.pem', pem(der) + pem(authority.chainOf(issuerId)[0].der));
    const verify = ['--verify', '--load-ca-certificate', join(directory, 'root.pem'), '--infile', chain];
    expect(execFileSync('certtool', verify, { encoding: 'utf8' })).toContain('Verified. The certificate is trusted.');
  });

  (hasNss ? test.each(cases) : test.skip.each(cases))('$profile: NSS verifies it for its usages', async (each) => {
    const { der } = await authority.issue(each.csr, each.profile);
    const certificate = file('leaf.pem', pem(der));
    for (const usage of each.nssUsages ?? [])
      expect(nss('vfychain', '-pp', '-u', String(usage), '-a', certificate)).toContain('Chain is good!');
  });

  (hasNss ? test : test.skip)('NSS takes the CRL, and knows by it what is revoked', async () => {
    const [revoked, good] = [await authority.issue(buildCsr(tlsName), 'tls-server'), await authority.issue(buildCsr(tlsName), 'tls-server')]; // prettier-ignore
    await authority.status.revoke(revoked.serial, { reason: 'superseded' });
    await authority.status.refreshCrls();
    const crl = join(directory, 'crl.der');
    writeFileSync(crl, authority.crl.der);
    expect(nss('crlutil', '-I', '-i', crl, '-t', '1')).not.toMatch(/unable|error/i);
    const check = (der: Buffer): string => nss('vfychain', '-pp', '-g', 'leaf', '-m', 'crl', '-s', 'forbidFetching', '-u', '1', '-a', file('leaf.pem', pem(der))); // prettier-ignore
    expect(check(good.der)).toContain('Chain is good!');
    expect(check(revoked.der)).toMatch(/revoked/i);
  });

  test('no profile outlives its issuer', async () => {
    const { notAfter } = await authority.issue(buildCsr(tlsName), 'thirty-year');
    expect(notAfter).toEqual(authority.issuer.certificate.validity.notAfter);
  });

  test('the validity of a public-style profile shortens on the days the limits do', async () => {
    const now = ca.now;
    const days = async (day: string): Promise<number> => {
      ca.now = new Date(day);
      const { notAfter } = await authority.issue(buildCsr(tlsName), 'public');
      return (notAfter.getTime() + 1000 - (ca.now.getTime() - 60_000)) / 86_400_000;
    };
    expect([await days('2027-03-15T00:00:30Z'), await days('2027-03-15T00:01:00Z'), await days('2029-03-15T12:00:00Z')]).toEqual([200, 99, 46]); // prettier-ignore
    ca.now = now;
  });

  test('a certificate under a policy of the Forum is revoked for reasons that the Forum knows', async () => {
    const { serial } = await authority.issue(buildCsr(tlsName), 'public-tls-server');
    for (const reason of ['certificateHold', 'aACompromise', 'cACompromise'] as const)
      await expect(authority.status.revoke(serial, { reason })).rejects.toMatchObject({ code: 'ERR_CA_REVOCATION_INVALID' }); // prettier-ignore
    expect(await authority.status.revoke(serial, { reason: 'superseded' })).toMatchObject({ state: 'revoked' });
  });

  test.each<[string, string, Buffer, string]>([
    ['a reserved domain for the public', 'public', buildCsr({ subject: sequence(), attributes: named(dns('a.example.com'), dns('x.example.com.test')) }), 'ERR_CA_NAME_NOT_ALLOWED'],
    ['a small RSA key for code', 'code-signing', buildCsr({ subject: person, key: generateKeyPairSync('rsa', { modulusLength: 2048 }) }), 'ERR_CA_KEY_WEAK'],
    ['Ed25519 for the public', 'public', buildCsr({ ...tlsName, key: generateKeyPairSync('ed25519'), hash: null, signatureAlgorithm: sequence(oid('2b6570')) }), 'ERR_CA_KEY_UNSUPPORTED'],
    ['stapling where the profile has none', 'tls-server', buildCsr({ attributes: [extensionRequest(subjectAltName(dns('a.example.com')), mustStaple)] }), 'ERR_CA_CSR_CONTENT_REFUSED'],
    ['a serial number that is missing', 'device', buildCsr({ subject: sequence() }), 'ERR_CA_NAME_MISSING'],
    ['an e-mail address of another host', 'smime', buildCsr({ subject: sequence(), attributes: named(email('a@example.org')) }), 'ERR_CA_NAME_NOT_ALLOWED'],
    ['a SPIFFE ID of another trust domain', 'mutual', buildCsr({ subject: sequence(), attributes: named(uri('spiffe://example.org/a')) }), 'ERR_CA_NAME_NOT_ALLOWED'],
    ['an organization that no rule allows', 'code-signing', buildCsr({ subject: ofBank, key: rsa }), 'ERR_CA_NAME_NOT_ALLOWED'],
    ['a profile that is not offered', 'intermediate', buildCsr({ subject: person }), 'ERR_CA_PROFILE_UNKNOWN'],
  ])('refuses %s, and stores nothing', async (_, profile, csr, code) => {
    const states = await ca.states();
    await expect(authority.issue(csr, profile)).rejects.toMatchObject({ code });
    expect(await ca.states()).toEqual(states);
  }); // prettier-ignore
});

describe('a CA below', () => {
  let ca: TestCa;
  beforeEach(async () => (ca = await TestCa.create()));
  afterEach(() => ca.remove());

  const partner: Partial<CaConfig> = {
    profiles: {
      partner: {
        extends: 'intermediate',
        subject: { commonName: 'required' },
        approval: true,
        authority: { pathLength: 0, nameConstraints: { permitted: { dns: ['partner.example'], email: ['.partner.example'], uri: ['partner.example'], ip: ['10.0.0.0/8'] } } },
      },
    },
    nameRules: [{ profiles: ['partner'], subject: { commonName: ['Partner *'] } }],
  }; // prettier-ignore
  const asked = { requester: 'ada', approver: 'grace' };

  test('says in its certificate what it is for, and certifies nothing else, whoever wrote the limit', async () => {
    const limited: Partial<CaConfig> = {
      publicUrl: 'http://ca.example.com',
      ocsp: {},
      authority: {
        root,
        intermediates: { tls: { label: 'tls', subject: { commonName: 'TLS' }, extendedKeyUsage: ['serverAuth', 'clientAuth'] } },
        issuing: { ...issuing, parent: 'tls' },
        issuers: { servers: { label: 'servers', subject: { commonName: 'Servers' }, parent: 'tls', extendedKeyUsage: ['serverAuth'], profiles: ['tls-server', 'mutual'] } },
        initialize: true,
      },
      profiles: { 'tls-server': {}, 'tls-client': {}, mutual: {}, 'public-tls-server': {}, mailing: { extends: 'tls-client', extendedKeyUsage: ['clientAuth', 'emailProtection'] } },
      allowedNames: { dns: ['*.example.test', '*.example.com'] },
    }; // prettier-ignore
    const authority = await ca.open(limited);
    const text = (der: Buffer): string =>
      execFileSync('openssl', ['x509', '-noout', '-ext', 'extendedKeyUsage'], { input: new X509Certificate(der).toString(), encoding: 'utf8', stdio: 'pipe' }); // prettier-ignore
    const [servers, tls] = authority.activeIssuer('servers').chain;
    expect(text(servers.der)).toMatch(/Extended Key Usage: \s+TLS Web Server Authentication\s*$/);
    expect(text(tls.der)).toMatch(/TLS Web Server Authentication, TLS Web Client Authentication\s*$/);
    expect(text(authority.issuer.certificate.der)).toBe('');
    const [server, client] = [await authority.issue(buildCsr(), 'tls-server'), await authority.issue(buildCsr(), 'tls-client')]; // prettier-ignore
    expect([server.issuerId, client.issuerId]).toEqual([authority.activeIssuer('servers').id, authority.issuer.id]);
    const states = await ca.states();
    for (const profile of ['mutual', 'public-tls-server', 'mailing'])
      await expect(authority.issue(buildCsr(tlsName), profile)).rejects.toMatchObject({ code: 'ERR_CA_CONSTRAINT_VIOLATED' }); // prettier-ignore
    expect(await ca.states()).toEqual(states);
    const written = { ...limited.authority, issuing: { ...issuing, parent: 'tls', extendedKeyUsage: ['clientAuth'] } };
    await expect(ca.open({ ...limited, authority: written as CaConfig['authority'] })).rejects.toMatchObject({ code: 'ERR_CA_ISSUER_UNUSABLE', message: expect.stringMatching(/extended key usage/) as string }); // prettier-ignore
  });

  test.each([
    ['nobody', { commonName: 'Servers' }, 'country, organization,'],
    ['a department', { commonName: 'Servers', organizationalUnit: 'IT', organization: 'Example', country: 'DE' }, 'no organizationalUnit,'],
  ])('issues nothing to the public in the name of %s', async (_, subject, fault) => {
    const authority = await ca.open({
      publicUrl: 'http://ca.example.com',
      authority: { root, issuing, issuers: { servers: { ...publicIssuer('servers', 'serverAuth', ['public-tls-server']), subject } }, initialize: true },
      profiles: { 'public-tls-server': {} },
      allowedNames: { dns: ['*.example.com'] },
    });
    await expect(authority.issue(buildCsr(tlsName), 'public-tls-server')).rejects.toMatchObject({ code: 'ERR_CA_CONSTRAINT_VIOLATED', message: expect.stringContaining(`want an issuer whose name has ${fault}`) as string });
    expect(await ca.states()).toHaveLength(3);
  }); // prettier-ignore

  test('is not certified for more than the CA above it', async () => {
    const authority = {
      root,
      intermediates: { tls: { label: 'tls', subject: { commonName: 'TLS' }, extendedKeyUsage: ['serverAuth'] } },
      issuing: { ...issuing, parent: 'tls', extendedKeyUsage: ['serverAuth', 'clientAuth'] },
      initialize: true,
    };
    await expect(ca.open({ authority })).rejects.toMatchObject({ code: 'ERR_CA_CONSTRAINT_VIOLATED' }); // prettier-ignore
  });

  test('is not certified by an issuer whose path length has no room for it', async () => {
    const authority = await ca.open(partner);
    await expect(authority.issue(buildCsr({ subject: commonName('Partner CA') }), 'partner', asked)).rejects.toMatchObject({ code: 'ERR_CA_CONSTRAINT_VIOLATED' }); // prettier-ignore
    expect(await ca.states()).toHaveLength(2);
  });

  test.each([
    ['nobody', undefined],
    ['the requester', 'ada'],
  ])('is not certified with the approval of %s', async (_, approver) => {
    const authority = await ca.open(partner);
    const options = { requester: 'ada', approver };
    await expect(authority.issue(buildCsr({ subject: commonName('Partner CA') }), 'partner', options)).rejects.toMatchObject({ code: 'ERR_CA_APPROVAL_REQUIRED' }); // prettier-ignore
  });
});
