import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { faultsOfDer } from '../../../../test/support/canonical-der.js';
import { buildCsr } from '../../../../test/support/csr.js';
import { TestCa } from '../../../../test/support/test-ca.js';
import type { CaConfig } from '../config.js';
import { encodePem } from '../der/pem.js';
import { CaAdministration } from './ca-administration.js';

const issuing = { label: 'issuing', subject: { commonName: 'Ours', organization: 'Example' }, algorithm: 'ec-p256' } as const; // prettier-ignore
const minute = 60_000;

/** An external CA of openssl, and what it makes of our requests. */
class ExternalCa {
  readonly directory = mkdtempSync(join(tmpdir(), 'nest-hsm-external-ca-'));

  constructor(
    extensions: readonly string[] = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'],
  ) {
    this.root('root', extensions);
  }

  root(name: string, extensions: readonly string[], subject = '/C=DE/O=Elsewhere/CN=External Root'): void {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-nodes', '-keyout', this.path(`${name}.key`)];
    const added = extensions.flatMap((each) => ['-addext', each]);
    // Our own section of no extensions: the system's file has others.
    writeFileSync(this.path('none.cnf'), '[req]\ndistinguished_name=dn\n[dn]\n');
    this.openssl('req', '-x509', '-config', this.path('none.cnf'), ...key, '-subj', subject, '-days', '3650', ...added, '-out', this.path(`${name}.crt`)); // prettier-ignore
  }

  /** Certifies a request. @returns DER */
  certify(request: Buffer, extensions = standard, ...options: string[]): Buffer {
    writeFileSync(this.path('request.csr'), encodePem('CERTIFICATE REQUEST', request));
    writeFileSync(this.path('extensions.cnf'), extensions.join('\n'));
    this.openssl('x509', '-req', '-in', this.path('request.csr'), '-CA', this.path('root.crt'), '-CAkey', this.path('root.key'), '-days', '1825', '-extfile', this.path('extensions.cnf'), '-out', this.path('ours.crt'), ...options); // prettier-ignore
    return this.der('ours.crt');
  }

  der(name: string): Buffer {
    return new X509Certificate(readFileSync(this.path(name))).raw;
  }

  fingerprint(name = 'root.crt'): string {
    return new X509Certificate(readFileSync(this.path(name))).fingerprint256;
  }

  openssl(...args: string[]): string {
    return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  path(name: string, content?: string): string {
    const path = join(this.directory, name);
    if (content !== undefined) writeFileSync(path, content);
    return path;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const standard = [
  'basicConstraints=critical,CA:TRUE,pathlen:0',
  'keyUsage=critical,keyCertSign,cRLSign',
  'subjectKeyIdentifier=hash',
  'authorityKeyIdentifier=keyid',
];
const without = (start: string, ...instead: string[]): string[] => [
  ...standard.filter((each) => !each.startsWith(start)),
  ...instead,
];

describe('an issuing CA below an external root', () => {
  let ca: TestCa;
  let external: ExternalCa;
  let config: Partial<CaConfig>;
  let administration: CaAdministration;
  beforeAll(() => (external = new ExternalCa()));
  afterAll(() => external.remove());
  beforeEach(async () => {
    ca = await TestCa.create();
    ca.now = new Date(Date.now() + minute);
    config = { authority: { root: { external: true, sha256: external.fingerprint() }, issuing } };
    administration = administrationOf(config);
  });
  afterEach(() => ca.remove());

  const administrationOf = (change: Partial<CaConfig>): CaAdministration =>
    new CaAdministration({
      token: ca.token,
      ...ca.stores,
      config: { allowedNames: { dns: ['*.example.test'] }, ...change } as CaConfig,
      now: () => ca.now,
    });

  test('asks by CSR, takes in what comes back, and issues what openssl verifies', async () => {
    await expect(ca.open({ ...config, authority: { ...config.authority!, initialize: true } })).rejects.toMatchObject({
      code: 'ERR_CA_NOT_INITIALIZED',
      message: expect.stringMatching(/nest-hsm ca csr/),
    });
    const request = await administration.request('issuing');
    const csr = external.path('ours.csr', encodePem('CERTIFICATE REQUEST', request));
    const text = external.openssl('req', '-in', csr, '-noout', '-text', '-verify');
    expect(text).toMatch(/Subject: O ?= ?Example, CN ?= ?Ours/);
    expect(text).toMatch(/CA:TRUE, pathlen:0[\s\S]*Certificate Sign, CRL Sign/);
    await expect(ca.open(config)).rejects.toMatchObject({ code: 'ERR_CA_NOT_INITIALIZED' });

    const der = external.certify(request);
    const chain = await administration.import('issuing', [external.der('root.crt'), der]);
    expect(chain.map((each) => each.der)).toEqual([der, external.der('root.crt')]);
    // Again, it is nothing new.
    await administration.import('issuing', [der, external.der('root.crt')]);

    const open = await ca.open(config);
    const leaf = external.path('leaf.pem', encodePem('CERTIFICATE', (await open.issue(buildCsr(), 'tls-server')).der));
    const untrusted = external.path('chain.pem', open.chain.map((each) => encodePem('CERTIFICATE', each.der)).join(''));
    const crl = external.path('crl.pem', encodePem('X509 CRL', open.crl.der));
    const at = String(Math.floor(ca.now.getTime() / 1000));
    const verify = ['verify', '-x509_strict', '-crl_check', '-attime', at, '-CRLfile', crl, '-CAfile', external.path('root.crt'), '-untrusted', untrusted, leaf]; // prettier-ignore
    expect(external.openssl(...verify)).toContain('OK');
  });

  test.each<[string, (request: Buffer) => Buffer[] | Promise<Buffer[]>, RegExp]>([
    ['the certificate of another key', () => [external.der('root.crt')], /want a certificate of key issuing/],
    ['no certificate at all', () => [], /want 1 to 8 certificates, got 0/],
    ['nine certificates', (r) => Array.from({ length: 9 }, () => external.certify(r)), /want 1 to 8/],
    ['no DER', () => [Buffer.from('3000', 'hex')], /want CA certificates of RFC 5280/],
    ['no root', (r) => [external.certify(r)], /want a chain to the root/],
    ['an end entity', (r) => [external.certify(r, without('basic', 'basicConstraints=critical,CA:FALSE')), external.der('root.crt')], /CA rights/],
    ['no keyUsage', (r) => [external.certify(r, without('keyUsage')), external.der('root.crt')], /keyCertSign/],
    ['no keyCertSign', (r) => [external.certify(r, without('keyUsage', 'keyUsage=critical,cRLSign')), external.der('root.crt')], /keyCertSign/],
    ['no cRLSign', (r) => [external.certify(r, without('keyUsage', 'keyUsage=critical,keyCertSign')), external.der('root.crt')], /cRLSign/],
    ['no subject key identifier', (r) => [external.certify(r, without('subjectKey', 'subjectKeyIdentifier=none')), external.der('root.crt')], /subject key identifier/],
    ['an unknown critical extension', (r) => [external.certify(r, [...standard, '1.2.3.4=critical,ASN1:NULL']), external.der('root.crt')], /unknown critical extension, got 1\.2\.3\.4/],
    ['another subject', async () => [external.certify(await administrationOf({ authority: { ...config.authority!, issuing: { ...issuing, subject: { commonName: 'Somebody' } } } }).request('issuing')), external.der('root.crt')], /configured subject/],
    ['SHA-1', (r) => [external.certify(r, standard, '-sha1'), external.der('root.crt')], /signature algorithm 1\.2\.840\.10045\.4\.1/],
    ['a signature that does not verify', (r) => [spoil(external.certify(r)), external.der('root.crt')], /want a chain to the root/],
    ['a negative pathLenConstraint', (r) => [external.certify(r, without('basic', 'basicConstraints=critical,DER:30060101FF0201FF')), external.der('root.crt')], /pathLenConstraint from 0/],
    ['name constraints that are not configured', (r) => [external.certify(r, [...standard, 'nameConstraints=critical,permitted;DNS:example.test']), external.der('root.crt')], /name constraints/],
  ])('refuses %s, and keeps nothing', async (_, make, message) => {
    const request = await administration.request('issuing');
    await expect(administration.import('issuing', await make(request))).rejects.toMatchObject({
      code: 'ERR_CA_IMPORT_REFUSED',
      message: expect.stringMatching(message),
    });
    expect(await ca.dataSource.query('SELECT * FROM ca_imported_certificate')).toEqual([]);
  }); // prettier-ignore

  test.each<[string, string[], number, RegExp]>([
    ['a root that allows no CA below it', ['basicConstraints=critical,CA:TRUE,pathlen:0', 'keyUsage=critical,keyCertSign'], 0, /pathLenConstraint of at least 1/],
    ['a root that may not certify', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,cRLSign'], 0, /chain to the root|keyCertSign/],
    ['a root that has expired', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'], 4000, /valid now/],
  ])('refuses %s', async (_, extensions, days, message) => {
    const other = new ExternalCa(extensions);
    const pinned = administrationOf({ authority: { root: { external: true, sha256: other.fingerprint() }, issuing } });
    const request = await pinned.request('issuing');
    const der = [other.certify(request), other.der('root.crt')];
    ca.now = new Date(ca.now.getTime() + days * 86_400_000);
    await expect(pinned.import('issuing', der)).rejects.toMatchObject({
      code: 'ERR_CA_IMPORT_REFUSED',
      message: expect.stringMatching(message),
    });
    other.remove();
  }); // prettier-ignore

  test('of another root than the pinned one is refused, unless that root is named', async () => {
    const other = new ExternalCa();
    const request = await administration.request('issuing');
    const der = [other.certify(request), other.der('root.crt')];
    await expect(administration.import('issuing', der)).rejects.toMatchObject({ code: 'ERR_CA_IMPORT_REFUSED' });
    await administration.import('issuing', der, { rootSha256: other.fingerprint() });
    // It is a chain of the key, and none that this CA trusts.
    await expect(ca.open(config)).rejects.toMatchObject({ code: 'ERR_CA_ISSUER_UNUSABLE' });
    other.remove();
  });

  test('rolls over in the same way: request, import, and then the row', async () => {
    await administration.import('issuing', [
      external.certify(await administration.request('issuing')),
      external.der('root.crt'),
    ]);
    const at = new Date(ca.now.getTime() + minute);
    await expect(administration.rollOver('issuing', at)).rejects.toMatchObject({ code: 'ERR_CA_NOT_INITIALIZED' });
    const request = await administration.request('issuing', 2);
    await administration.import('issuing', [external.certify(request), external.der('root.crt')], { generation: 2 });
    expect(await administration.rollOver('issuing', at)).toMatchObject({ generation: 2 });
    ca.now = at;
    const { der } = await (await ca.open(config)).issue(buildCsr(), 'tls-server');
    expect(new X509Certificate(der).issuer).toBe('O=Example\nCN=Ours G2');
  });
});

describe('cross-signing', () => {
  test('gives a second chain of the same subject and key, which openssl verifies up to the other root', async () => {
    const [old, next] = await Promise.all([TestCa.create(), TestCa.create()]);
    const tools = new ExternalCa();
    const authorityOf = (name: string): CaConfig['authority'] => ({
      root: { label: 'root', subject: { commonName: `Root ${name}` }, algorithm: 'ec-p384' },
      issuing,
      initialize: true,
    });
    const administrationOf = (of: TestCa, name: string) =>
      new CaAdministration({
        token: of.token,
        ...of.stores,
        config: { authority: authorityOf(name) },
        now: () => of.now,
      });
    const oldRoot = (await old.open({ authority: authorityOf('R1') })).root.der;
    const newRoot = (await next.open({ authority: authorityOf('R2') })).root.der;
    const crossed = await administrationOf(old, 'R1').crossSign('root', newRoot, 365);
    expect(faultsOfDer(crossed.der)).toEqual([]);
    const { fingerprint256 } = new X509Certificate(oldRoot);
    await administrationOf(next, 'R2').import('root', [crossed.der, oldRoot], { rootSha256: fingerprint256 });

    const open = await next.open({ authority: authorityOf('R2') });
    expect(open.root.der).toEqual(newRoot);
    const [alternative, ...others] = open.alternativeChainsOf(open.issuer.id);
    expect([alternative.map(({ der }) => der), others]).toEqual([
      [open.issuer.certificate.der, crossed.der, oldRoot],
      [],
    ]);
    const { der } = await open.issue(buildCsr(), 'tls-server');
    const leaf = tools.path('leaf.pem', encodePem('CERTIFICATE', der));
    const at = String(Math.floor(next.now.getTime() / 1000));
    for (const [trusted, chain] of [[newRoot, open.chain], [oldRoot, alternative]] as const) {
      const anchor = tools.path('anchor.pem', encodePem('CERTIFICATE', trusted));
      const untrusted = tools.path('chain.pem', chain.slice(0, -1).map((each) => encodePem('CERTIFICATE', each.der)).join(''));
      expect(tools.openssl('verify', '-x509_strict', '-attime', at, '-CAfile', anchor, '-untrusted', untrusted, leaf)).toContain('OK');
    } // prettier-ignore
    // An issuing CA may not certify another CA.
    await expect(administrationOf(old, 'R1').crossSign('issuing', newRoot, 365)).rejects.toMatchObject({ code: 'ERR_CA_CONSTRAINT_VIOLATED' }); // prettier-ignore
    await expect(administrationOf(old, 'R1').crossSign('root', tools.der('root.crt'), 365)).rejects.toMatchObject({ code: 'ERR_CA_IMPORT_REFUSED' }); // prettier-ignore
    for (const refused of [oldRoot, der])
      await expect(administrationOf(old, 'R1').crossSign('root', refused, 365)).rejects.toMatchObject({ code: 'ERR_CA_IMPORT_REFUSED', message: expect.stringContaining('cross-signing: want') }); // prettier-ignore
    await Promise.all([old.remove(), next.remove()]);
    tools.remove();
  });
});

/** Another last octet of the signature. */
function spoil(der: Buffer): Buffer {
  const spoilt = Buffer.from(der);
  spoilt[spoilt.length - 1] ^= 1;
  return spoilt;
}
