import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Client } from 'pg';
import { CaHome, CaService, hasCommand, run } from '../support/ca-service.js';
import { TestPostgres } from '../support/postgres.js';

interface Issued {
  readonly serial: string;
  readonly certificate: string;
  readonly chain: string[];
  readonly notAfter: string;
}

const newKeys = {
  'EC P-256': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'EC P-384': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  'RSA 2048': ['-newkey', 'rsa:2048'],
  Ed25519: ['-newkey', 'ed25519'],
};

describe.each(['better-sqlite3', 'postgres'])('the CA app on %s', (type) => {
  let postgres: TestPostgres | undefined;
  let home: CaHome;
  let service: CaService;

  beforeAll(async () => {
    postgres = type === 'postgres' ? await TestPostgres.start() : undefined;
    home = new CaHome();
    if (postgres !== undefined)
      home.configure({ database: { type, urlFile: home.file('url', `${await postgres.database('ca')}\n`) } });
    service = await CaService.start(home);
    for (const name of ['root', 'chain']) {
      const path = name === 'root' ? '/v1/ca/root.pem' : '/v1/ca/chain.pem';
      home.file(`${name}.pem`, await (await fetch(`${service.url}${path}`)).text());
    }
  });

  afterAll(async () => {
    await service?.stop();
    await postgres?.stop();
    home?.remove();
  });

  /** Checks with openssl that a certificate leads to the root and is for what it says. @returns its text */
  function verified(name: string, certificate: string, purpose = 'sslserver'): string {
    const file = home.file(`${name}.pem`, certificate);
    const trust = [
      '-x509_strict',
      '-purpose',
      purpose,
      '-CAfile',
      home.file('root.pem'),
      '-untrusted',
      home.file('chain.pem'),
    ];
    expect(run('openssl', 'verify', ...trust, file)).toContain('OK');
    return run('openssl', 'x509', '-in', file, '-noout', '-text');
  }

  test.each(Object.entries(newKeys))('issues to an %s key a certificate openssl verifies', async (kind, newKey) => {
    const name = kind.replaceAll(' ', '');
    const csr = home.opensslCsr(name, newKey, [
      '-subj',
      '/O=Left out/CN=www.example.test',
      '-addext',
      'subjectAltName=DNS:*.Example.TEST,IP:127.0.0.1,IP:2001:db8::1',
    ]);
    const response = await service.post(readFileSync(csr), 'application/x-pem-file');
    expect(response.status).toBe(201);
    const issued = (await response.json()) as Issued;
    expect(response.headers.get('location')).toBe(`/v1/certificates/${issued.serial}`);

    const text = verified(name, issued.certificate);
    expect(text).toContain('Subject: CN = www.example.test\n');
    expect(text).toContain(
      'DNS:www.example.test, DNS:*.example.test, IP Address:127.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1',
    );
    const certificate = new X509Certificate(issued.certificate);
    expect(certificate.serialNumber.toLowerCase()).toBe(issued.serial);
    expect(new Date(certificate.validTo).toISOString()).toBe(issued.notAfter);
    expect(certificate.publicKey.export({ format: 'pem', type: 'spki' })).toBe(
      run('openssl', 'req', '-in', csr, '-noout', '-pubkey'),
    );
    expect(issued.chain).toHaveLength(1);
    expect(new X509Certificate(issued.chain[0]).subject).toContain('Test Issuing CA');
  });

  test('issues for a client, and openssl refuses that certificate for a server', async () => {
    const csr = home.opensslCsr('client', newKeys['EC P-256'], ['-subj', '/CN=client.example.test']);
    const { certificate } = (await (
      await service.post(readFileSync(csr), 'text/plain', { profile: 'tls-client' })
    ).json()) as Issued;
    expect(verified('client', certificate, 'sslclient')).toContain('TLS Web Client Authentication');
    expect(() => verified('client', certificate, 'sslserver')).toThrow('unsuitable certificate purpose');
  });

  test('takes DER, PEM and JSON, and answers in JSON or as a PEM chain', async () => {
    const pem = readFileSync(
      home.opensslCsr('forms', newKeys['EC P-256'], ['-subj', '/CN=forms.example.test']),
      'utf8',
    );
    const der = execFileSync('openssl', ['req', '-in', home.file('forms.csr'), '-outform', 'DER']);
    const bodies: [string | Uint8Array, string][] = [
      [der, 'application/pkcs10'],
      [pem, 'application/x-pem-file'],
      [pem, 'text/plain; charset=utf-8'],
      [JSON.stringify({ csr: pem, profile: 'tls-server' }), 'application/json'],
    ];
    for (const [body, mediaType] of bodies) {
      const response = await service.post(body, mediaType, {
        headers: { accept: 'application/pem-certificate-chain' },
      });
      expect([mediaType, response.status, response.headers.get('content-type')]).toEqual([
        mediaType,
        201,
        'application/pem-certificate-chain',
      ]);
      const chain = await response.text();
      expect(chain.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
      verified('forms', chain);
    }
  });

  test('finds an issued certificate again, in either form, and no other', async () => {
    const csr = home.opensslCsr('found', newKeys['EC P-256'], ['-subj', '/CN=found.example.test']);
    const issued = (await (await service.post(readFileSync(csr), 'text/plain')).json()) as Issued;
    expect(await (await service.get(`/v1/certificates/${issued.serial.toUpperCase()}`)).json()).toEqual(issued);
    const pem = await (
      await service.get(`/v1/certificates/${issued.serial}`, { accept: 'application/x-pem-file' })
    ).text();
    expect(pem).toBe([issued.certificate, ...issued.chain].join(''));
    for (const serial of ['00', 'ff'.repeat(16), '../../etc/passwd', "' OR 1=1"]) {
      const response = await service.get(`/v1/certificates/${encodeURIComponent(serial)}`);
      expect([serial, response.status]).toEqual([serial, 404]);
    }
  });

  test('issues to fifty callers at once, each its own serial', async () => {
    const csr = readFileSync(home.opensslCsr('many', newKeys['EC P-256'], ['-subj', '/CN=many.example.test']));
    const responses = await Promise.all(Array.from({ length: 50 }, () => service.post(csr, 'text/plain')));
    const issued = await Promise.all(responses.map(async (response) => (await response.json()) as Issued));
    expect(responses.map(({ status }) => status)).toEqual(Array(50).fill(201));
    expect(new Set(issued.map(({ serial }) => serial)).size).toBe(50);
    const issuer = new X509Certificate(issued[0].chain[0]).publicKey;
    expect(issued.every(({ certificate }) => new X509Certificate(certificate).verify(issuer))).toBe(true);
  });

  test('publishes an empty CRL that openssl verifies and checks certificates against', async () => {
    const der = Buffer.from(await (await fetch(`${service.url}/v1/crl.der`)).arrayBuffer());
    expect((await fetch(`${service.url}/v1/crl`)).headers.get('content-type')).toBe('application/pkix-crl');
    const pem = await (await fetch(`${service.url}/v1/crl.pem`)).text();
    expect(pem).toMatch(/^-----BEGIN X509 CRL-----\n/);
    const file = home.file('crl.pem', pem);
    expect(execFileSync('openssl', ['crl', '-in', file, '-outform', 'DER']).equals(der)).toBe(true);
    const text = run('openssl', 'crl', '-in', file, '-noout', '-text', '-CAfile', home.file('chain.pem'));
    expect(text).toContain('X509v3 CRL Number: \n                1\n');
    expect(text).toContain('No Revoked Certificates');
    expect(text).toContain('X509v3 Authority Key Identifier');
    const check = [
      'verify',
      '-crl_check',
      '-CRLfile',
      file,
      '-CAfile',
      home.file('root.pem'),
      '-untrusted',
      home.file('chain.pem'),
    ];
    expect(run('openssl', ...check, home.file('found.pem', readFound()))).toContain('OK');
  });

  function readFound(): string {
    return readFileSync(home.file('ECP-256.pem'), 'utf8');
  }

  (hasCommand('certtool') ? test : test.skip)('certtool verifies the chain and the CRL', async () => {
    const chain = [readFound(), readFileSync(home.file('chain.pem'), 'utf8')].join('');
    const verifyChain = [
      '--verify',
      '--load-ca-certificate',
      home.file('root.pem'),
      '--infile',
      home.file('full.pem', chain),
    ];
    expect(run('certtool', ...verifyChain)).toContain(
      'Chain verification output: Verified. The certificate is trusted.',
    );
    const verifyCrl = [
      '--verify-crl',
      '--load-ca-certificate',
      home.file('chain.pem'),
      '--infile',
      home.file('crl.pem'),
    ];
    expect(run('certtool', ...verifyCrl)).toContain('Verification output: Verified');
  });

  test('serves its own certificates where certificates point to', async () => {
    const fetched = async (path: string): Promise<X509Certificate> =>
      new X509Certificate(Buffer.from(await (await fetch(`${service.url}${path}`)).arrayBuffer()));
    const [root, issuing] = [await fetched('/v1/ca/root.der'), await fetched('/v1/ca/issuing.der')];
    expect(issuing.verify(root.publicKey)).toBe(true);
    expect(root.verify(root.publicKey)).toBe(true);
    expect((await fetched('/v1/ca/issuing.pem')).fingerprint256).toBe(issuing.fingerprint256);
    const { chain } = (await (await fetch(`${service.url}/v1/ca/chain`)).json()) as { chain: string[] };
    expect(chain.map((pem) => new X509Certificate(pem).fingerprint256)).toEqual([
      issuing.fingerprint256,
      root.fingerprint256,
    ]);
    const leaf = new X509Certificate(readFound());
    const [, path] =
      /^CA Issuers - URI:http:\/\/ca\.example\.test(\/v1\/ca\/issuers\/[0-9a-f]{40}\.der)$/.exec(
        leaf.infoAccess ?? '',
      ) ?? [];
    expect((await fetched(path)).fingerprint256).toBe(issuing.fingerprint256);
  });

  test('every signature of its keys is in the audit trail with the digest of a stored TBS, and the other way round', async () => {
    const signed = await home.signedDigests();
    const rows = [
      ...(await query('SELECT tbs_sha256 FROM ca_certificate')),
      ...(await query('SELECT tbs_sha256 FROM ca_crl')),
    ];
    expect(signed.length).toBeGreaterThan(50);
    expect(signed.sort()).toEqual(rows.map((row) => row.tbs_sha256).sort());
    const [issued] = await query("SELECT tbs_sha256, certificate FROM ca_certificate WHERE state = 'issued' LIMIT 1");
    expect(tbsDigest(Buffer.from(String(issued.certificate), 'base64'))).toBe(issued.tbs_sha256);
  });

  /** The database as another client sees it. */
  async function query(sql: string): Promise<Record<string, unknown>[]> {
    if (postgres === undefined) return home.sql(sql);
    const client = new Client({ connectionString: readFileSync(home.file('url'), 'utf8').trim() });
    await client.connect();
    const { rows } = await client.query<Record<string, unknown>>(sql);
    await client.end();
    return rows;
  }

  test('describes itself: OpenAPI, health, metrics', async () => {
    const document = (await (await fetch(`${service.url}/docs-json`)).json()) as { paths: Record<string, unknown> };
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/v1/certificates', '/v1/certificates/{serial}', '/v1/ca/chain', '/v1/crl']),
    );
    expect((await fetch(`${service.url}/docs`)).headers.get('content-type')).toContain('text/html');
    const health = (await (await fetch(`${service.url}/health`)).json()) as {
      status: string;
      details: Record<string, { status: string }>;
    };
    expect([health.status, health.details.database.status, health.details.ca.status]).toEqual(['ok', 'up', 'up']);
    const metrics = await (await fetch(`${service.url}/metrics`)).text();
    expect(metrics).toMatch(/ca_certificates_issued_total\{profile="tls-server"\} \d+/);
    expect(metrics).toMatch(/ca_crl_next_update_timestamp_seconds\{issuer="[0-9a-f]{40}",crl="full"\} \d{10}/);
  });

  test('logs every request by an id and never the token', () => {
    expect(service.stdout).toContain('"url":"/v1/certificates?profile=tls-server"');
    expect(service.stdout).toContain('[redacted]');
    expect(service.stdout).not.toContain(service.token);
  });
});

function tbsDigest(certificate: Buffer): string {
  const lengthBytes = certificate[5] & 0x7f;
  const length = certificate.readUIntBE(6, lengthBytes);
  return createHash('sha256')
    .update(certificate.subarray(4, 6 + lengthBytes + length))
    .digest('hex');
}
