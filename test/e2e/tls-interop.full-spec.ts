/**
 * The records service behind the TLS sidecar with its defaults, as clients that are not ours see it, and as those see it who look
 * for weaknesses. `npm test -- --full` installs them where it can; a test whose program is not here is skipped by its name.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { OpensslCa } from '../../libs/tls-offload/test/openssl-ca.js';
import { Application } from '../support/application.js';
import { TestToken } from '../support/token.js';

const run = promisify(execFile);
const patienceMilliseconds = 500_000;
const dataToken = new TestToken('data');
const tlsToken = new TestToken('tls');
const ca = new OpensslCa();
const started: Application[] = [];
let url: string;
let address: string;

beforeAll(async () => {
  await ca.listen();
  // As a public CA's: scanners miss what says where a revocation would be found.
  ca.behaviour.extensions = `
    basicConstraints = critical, CA:FALSE
    keyUsage = critical, digitalSignature
    extendedKeyUsage = serverAuth
    subjectAltName = DNS:localhost, IP:127.0.0.1
    authorityInfoAccess = OCSP;URI:http://127.0.0.1:${ca.port}/ocsp
    crlDistributionPoints = URI:http://127.0.0.1:${ca.port}/crl`.replaceAll(/^ +/gm, '');
  const records = await start('records', /listening on (http:\/\/[^"\s]+)/, {
    listen: { port: 0 },
    hsm: dataToken.config(),
    kekLabel: 'kek',
    createKek: true,
    database: { type: 'better-sqlite3', database: join(dataToken.directory, 'records.sqlite') },
  });
  const certificate = (keyLabel: string, keyAlgorithm: string): object => {
    const { url: caUrl, tokenFile } = ca;
    const names = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
    const certificateFile = join(tlsToken.directory, `${keyLabel}.pem`);
    return { ca: { url: caUrl, tokenFile, ...names, keyLabel, keyAlgorithm, certificateFile } };
  };
  const port = await start('tls-sidecar', /TLS on 127\.0\.0\.1:(\d+)/, {
    hsm: tlsToken.config(),
    listeners: [{ listen: { port: 0 }, l7: { upstreams: [{ url: records }] } }],
    certificates: [certificate('ec', 'ec-p256'), certificate('rsa', 'rsa-2048')],
    admin: { port: 0 },
    drainSeconds: 0,
  });
  url = `https://localhost:${port}`;
  address = `127.0.0.1:${port}`;

  const diagnosis = { code: 'J30.1', grades: [1] };
  const record = JSON.stringify({ name: 'Ada Lovelace', nationalId: '1815-12-10', diagnosis });
  await curl('--json', record, `${url}/records`);
}, patienceMilliseconds);
afterAll(async () => {
  for (const application of started.toReversed()) await application.stop();
  await ca.stop();
  ca.remove();
  tlsToken.remove();
  dataToken.remove();
});

/** @returns what it has said in the brackets of `line` */
async function start(name: string, line: RegExp, config: object): Promise<string> {
  const file = join(tlsToken.directory, `${name}.yaml`);
  writeFileSync(file, stringify(config));
  const application = new Application(name, file);
  started.push(application);
  await application.says(line);
  return line.exec(application.output)?.[1] ?? '';
}

async function curl(...args: string[]): Promise<string> {
  return (await run('curl', ['--silent', '--show-error', '--fail', '--cacert', ca.rootFile, ...args])).stdout;
}

/** A test of what a program finds, or a skip that says that it, or what it needs, is not here. */
function testWith(program: string, what: string, test: () => Promise<void>, needs: readonly string[] = []): void {
  const missing = [program, ...needs].filter((each) => spawnSync('sh', ['-c', `command -v ${each}`]).status !== 0);
  if (missing.length === 0) it(`${program}: ${what}`, test, patienceMilliseconds);
  else it.skip(`${missing.join(', ')} not on this machine, so not ${program}: ${what}`, () => undefined);
}

testWith('curl', 'requests over HTTP/2 and HTTP/1.1', async () => {
  const about = ['--write-out', '\n%{http_version} %{ssl_verify_result}', `${url}/records`];
  expect(await curl('--http2', ...about)).toMatch(/Ada Lovelace[^]*\n2 0$/);
  expect(await curl('--http1.1', '--tls-max', '1.2', ...about)).toMatch(/Ada Lovelace[^]*\n1\.1 0$/);
});

testWith('h2load', 'two thousand requests on twenty connections, of which none fails', async () => {
  const { stdout } = await run('h2load', ['-n', '2000', '-c', '20', '-m', '10', `${url}/records`]);
  expect(stdout).toMatch(/2000 succeeded, 0 failed, 0 errored, 0 timeout/);
  expect(stdout).toMatch(/status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx/);
  expect(stdout).toMatch(/Application protocol: h2/);
});

testWith('openssl', 'both certificates, by what a client can verify', async () => {
  const trust = ['-CAfile', ca.rootFile, '-verify_return_error', '-verify_hostname', 'localhost'];
  for (const [algorithms, signature] of [
    ['ECDSA+SHA256', 'ECDSA'],
    ['RSA-PSS+SHA256', 'RSA-PSS'],
  ]) {
    const args = ['-connect', address, '-servername', 'localhost', ...trust, '-sigalgs', algorithms, '-alpn', 'h2'];
    const child = run('openssl', ['s_client', ...args]);
    child.child.stdin?.end();
    const { stdout } = await child;
    expect(stdout).toContain('Verify return code: 0 (ok)');
    expect(stdout).toContain(`Peer signature type: ${signature}`);
    expect(stdout).toContain('ALPN protocol: h2');
  }
});

testWith(
  'chromium',
  'the records page over HTTP/2 and a hybrid key exchange, by the trust in our root alone',
  async () => {
    const [trusting, other] = ['trusting', 'other'].map((name) => join(tlsToken.directory, name));
    const logOf = (home: string): string => join(home, 'net-log.json');
    const page = async (home: string): Promise<string> => {
      const quiet = [
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ];
      const profile = [`--user-data-dir=${join(home, 'profile')}`, `--log-net-log=${logOf(home)}`];
      const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', ...quiet, ...profile];
      const until = ['--virtual-time-budget=20000', '--dump-dom', `${url}/records`];
      // Where it looks for roots beside its own.
      const env = { ...process.env, HOME: home };
      return (await run('chromium', [...args, ...until], { env })).stdout;
    };
    const store = join(trusting, '.pki/nssdb');
    for (const home of [store, other]) mkdirSync(home, { recursive: true });
    await run('certutil', ['-d', `sql:${store}`, '-N', '--empty-password']);
    await run('certutil', ['-d', `sql:${store}`, '-A', '-n', 'our root', '-t', 'C,,', '-i', ca.rootFile]);

    expect(await page(trusting)).toContain('Ada Lovelace');
    const handshake = /"cipher_suite":\d+[^{}]*"version":"TLS 1.3"/.exec(readFileSync(logOf(trusting), 'utf8'))?.[0];
    expect(handshake).toContain('"next_proto":"h2"');
    expect(handshake).toContain('"key_exchange_group":4588');

    expect(await page(other)).not.toContain('Ada Lovelace');
    // ERR_CERT_AUTHORITY_INVALID
    expect(readFileSync(logOf(other), 'utf8')).toContain('"net_error":-202');
  },
  ['certutil'],
);

testWith('sslscan', 'TLS 1.2 and 1.3 alone, strong ciphers alone, and no known hole', async () => {
  const file = join(tlsToken.directory, 'sslscan.xml');
  await run('sslscan', [`--xml=${file}`, '--sni-name=localhost', address]);
  const report = readFileSync(file, 'utf8');
  const all = (pattern: RegExp): string[] => [...report.matchAll(pattern)].map(([, found]) => found);
  expect(all(/<protocol [^>]*version="([\d.]+)" enabled="1"/g)).toEqual(['1.2', '1.3']);
  // Its word for the ciphers of TLS 1.3 is "acceptable".
  expect(new Set(all(/<cipher [^>]*strength="(\w+)"/g))).toEqual(new Set(['acceptable', 'strong']));
  expect(all(/<cipher [^>]*cipher="(?!TLS_)([\w-]+)"/g).every((name) => /^ECDHE-.*(GCM|POLY1305)/.test(name))).toBe(
    true,
  );
  expect(all(/<(?:heartbleed [^>]*vulnerable|(?:compression|renegotiation) supported)="(\d)"/g)).toEqual([
    '0',
    '0',
    '0',
  ]);
  expect(all(/<(?:expired|self-signed)>(\w+)</g)).toEqual(['false', 'false']);
});

testWith('testssl', 'no finding above "low"', async () => {
  const file = join(tlsToken.directory, 'testssl.json');
  const quiet = ['--quiet', '--color', '0', '--warnings', 'off', '--nodns', 'none', '--ip', '127.0.0.1'];
  // Its exit code counts findings; what they are is in the file.
  await run('testssl', [...quiet, '--add-ca', ca.rootFile, '--jsonfile', file, url]).catch(() => undefined);
  const findings = JSON.parse(readFileSync(file, 'utf8')) as { id: string; severity: string; finding: string }[];
  expect(findings.length).toBeGreaterThan(100);
  // The first is about the openssl that testssl.sh has; the second about fields that an application sends, or does not.
  const notOfTls = ['engine_problem', 'security_headers'];
  const isHarmless = ({ severity }: { severity: string }): boolean => ['OK', 'INFO', 'LOW'].includes(severity);
  expect(findings.filter((each) => !isHarmless(each) && !notOfTls.includes(each.id))).toEqual([]);
  expect(findings.find(({ id }) => id === 'cipherlist_STRONG')?.severity).toBe('OK');
});
