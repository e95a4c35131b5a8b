import { verify, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { CaHome, CaService, run } from '../support/ca-service.js';
import { Consumer, libraries } from '../support/consumer.js';
import { TestPostgres } from '../support/postgres.js';
import { softHsmModule, TestToken } from '../support/token.js';

let consumer: Consumer;
/** The CA application of this repository, which certifies the consumer's web service. */
let certifierHome: CaHome;
let certifier: CaService;
let postgres: TestPostgres;

beforeAll(async () => {
  certifierHome = new CaHome({ allowedNames: { dns: ['localhost'] } });
  [consumer, certifier, postgres] = await Promise.all([
    Consumer.install(),
    CaService.start(certifierHome),
    TestPostgres.start(),
  ]);
}, 600_000);

afterAll(async () => {
  await certifier?.stop();
  await postgres?.stop();
  certifierHome.remove();
  consumer?.remove();
});

describe('the packages', () => {
  it.each(libraries)('%s holds what it needs and nothing else', (name) => {
    const files = consumer.packed[`@nest-hsm/${name}`];
    const wanted = ['package.json', 'README.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts'];
    expect(files).toEqual(expect.arrayContaining(wanted));
    const strays = files.filter(
      (file) => !/^(package\.json|README\.md|LICENSE|dist\/|native\/|prebuilds\/)/.test(file),
    );
    expect(strays).toEqual([]);
    expect(files.filter((file) => /spec\.|\.tsbuildinfo$|native\/build/.test(file))).toEqual([]);
    expect(consumer.read('node_modules/@nest-hsm', name, 'LICENSE')).toBe(readFileSync('LICENSE', 'utf8'));
  });

  it('bring the consumer one copy each, and no database driver of ours', () => {
    expect(readdirSync(join(consumer.directory, 'node_modules/@nest-hsm')).sort()).toEqual([...libraries].sort());
    const lock = JSON.parse(consumer.read('package-lock.json')) as { packages: object };
    const installed = Object.keys(lock.packages);
    expect(installed.filter((path) => path.endsWith('@nest-hsm/hsm'))).toHaveLength(1);
    expect(installed.filter((path) => path.endsWith('node_modules/typeorm'))).toHaveLength(1);
    expect(installed.filter((path) => path.endsWith('node_modules/better-sqlite3'))).toEqual([]);
  });
});

it("the README's examples compile under strict in the consumer's project and do what they say, with pg as the driver", async () => {
  const tokens = ['receipts', 'devices', 'patients', 'web'].map((label) => new TestToken(label));
  const [receipts, devices, patients, web] = tokens;
  try {
    const databases = { devices: await postgres.database('devices'), patients: await postgres.database('patients') };
    const rootFile = certifierHome.file('root.pem', await (await certifier.get('/v1/ca/root.pem')).text());
    const task = {
      tokens: { devices: devices.config(), patients: patients.config(), web: web.config() },
      databases,
      csr: deviceCsr('lamp.devices.example'),
      rootFile,
    };
    const environment = {
      PKCS11_MODULE: softHsmModule(),
      PIN_FILE: receipts.pinFile,
      SOFTHSM2_CONF: receipts.softHsmConf,
      STATE_DIRECTORY: join(receipts.directory, 'state'),
      CA_URL: certifier.url,
      CA_TOKEN_FILE: certifierHome.clientTokenFile,
      CERTIFICATE_FILE: join(web.directory, 'certificate.pem'),
      CLIENT_CERTIFICATE_FILE: join(web.directory, 'client.pem'),
    };
    const clean = { code: 0, signal: null, stdout: '', stderr: '' };
    // The same output as that of the compilation proper, which takes as long as the programs do.
    expect(await consumer.compile('--noCheck')).toEqual(clean);
    const [compiled, outcome] = await Promise.all([consumer.compile('--noEmit'), consumer.run(task, environment)]);
    expect(compiled).toEqual(clean);
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    const done = JSON.parse(outcome.stdout) as Done;

    const { signature, publicKey } = done.receipt;
    expect(verify('sha256', Buffer.from('one coffee'), publicKey, Buffer.from(signature, 'base64'))).toBe(true);

    expect(done.patient).toEqual({ diagnosis: 'hay fever', bornOn: '1815-12-10T00:00:00.000Z' });
    const { diagnosis, name } = await onlyRow(databases.patients);
    expect(name).toBe('Ada');
    // The magic of a cell's envelope, in base64.
    expect(diagnosis).toMatch(/^nhsm[\w+/]+=*$/);

    expect(verifiedByOpenssl(done.device)).toMatch(/leaf\.pem: OK/);
    // curl trusted the CA's root and nothing else.
    expect(done.greeting).toBe('signed in the HSM');
    expect(done.call).toBe('known by a key in the HSM');
  } finally {
    for (const token of tokens) token.remove();
  }
}, 300_000);

interface Done {
  readonly receipt: { readonly signature: string; readonly publicKey: string };
  readonly patient: unknown;
  readonly device: Readonly<Record<'certificate' | 'issuing' | 'root', string>>;
  readonly greeting: string;
  readonly call: string;
}

function deviceCsr(name: string): string {
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const names = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  return readFileSync(certifierHome.opensslCsr('device', newKey, names), 'utf8');
}

async function onlyRow(url: string): Promise<Record<string, unknown>> {
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<Record<string, unknown>>('SELECT * FROM patient');
  await client.end();
  expect(rows).toHaveLength(1);
  return rows[0];
}

function verifiedByOpenssl({ certificate, issuing, root }: Done['device']): string {
  const write = (name: string, der: string) =>
    certifierHome.file(name, new X509Certificate(Buffer.from(der, 'base64')).toString());
  const trust = ['-CAfile', write('device-root.pem', root), '-untrusted', write('device-issuing.pem', issuing)];
  const hostname = ['-verify_hostname', 'lamp.devices.example'];
  return run('openssl', 'verify', '-x509_strict', ...hostname, ...trust, write('leaf.pem', certificate));
}
