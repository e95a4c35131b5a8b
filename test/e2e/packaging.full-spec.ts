import { execFileSync, spawn } from 'node:child_process';
import { verify, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from 'pg';
import { TestPostgres } from '../support/postgres.js';
import { runProcess } from '../support/scratch-workspace.js';
import { softHsmModule, TestToken } from '../support/token.js';

const libraries = ['hsm', 'ca', 'tls-offload', 'data-encryption'];
/** What the consumer has beside our packages: their peers, a driver that is not ours, and a compiler. */
const companions = [
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/platform-fastify',
  '@nestjs/terminus',
  '@nestjs/typeorm',
  '@types/node',
  'pg',
  'reflect-metadata',
  'rxjs',
  'typeorm',
  'typescript',
];
const headers = join(process.cwd(), 'node_modules', `node-linux-${process.arch}`);
const environment = { ...process.env, ...(process.platform === 'linux' && { npm_config_nodedir: headers }) };

/** An empty project somewhere else, with our packages installed as npm would install them from a registry. */
let consumer: string;
let packed: Record<string, string[]>;

beforeAll(() => {
  consumer = mkdtempSync(join(tmpdir(), 'nest-hsm-consumer-'));
  const npm = (...args: string[]) =>
    execFileSync('npm', args, { cwd: consumer, encoding: 'utf8', env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const tarballs = JSON.parse(
    npm(
      'pack',
      '--json',
      '--pack-destination',
      consumer,
      ...libraries.map((name) => join(process.cwd(), 'libs', name)),
    ),
  ) as { name: string; filename: string; files: { path: string }[] }[];
  packed = Object.fromEntries(tarballs.map(({ name, files }) => [name, files.map(({ path }) => path)]));

  const version = (name: string) =>
    (JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')) as { version: string }).version;
  const project = {
    name: 'consumer',
    private: true,
    type: 'module',
    dependencies: {
      ...Object.fromEntries(companions.map((name) => [name, version(name)])),
      ...Object.fromEntries(tarballs.map(({ name, filename }) => [name, `file:${filename}`])),
    },
    allowScripts: { pkcs11js: true },
  };
  writeFileSync(join(consumer, 'package.json'), JSON.stringify(project));
  npm('install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error');
}, 600_000);

afterAll(() => rmSync(consumer, { recursive: true, force: true }));

describe('the packages', () => {
  it.each(libraries)('%s holds what it needs and nothing else', (name) => {
    const files = packed[`@nest-hsm/${name}`];
    expect(files).toEqual(expect.arrayContaining(['package.json', 'dist/index.js', 'dist/index.d.ts']));
    const strays = files.filter(
      (file) => !/^(package\.json|README\.md|LICENSE|dist\/|native\/|prebuilds\/)/.test(file),
    );
    expect(strays).toEqual([]);
    expect(files.filter((file) => /spec\.|\.tsbuildinfo$|native\/build/.test(file))).toEqual([]);
  });

  it('bring the consumer one copy each, and no database driver of ours', () => {
    expect(readdirSync(join(consumer, 'node_modules/@nest-hsm')).sort()).toEqual([...libraries].sort());
    const lock = JSON.parse(readFileSync(join(consumer, 'package-lock.json'), 'utf8')) as { packages: object };
    const installed = Object.keys(lock.packages);
    expect(installed.filter((path) => path.endsWith('@nest-hsm/hsm'))).toHaveLength(1);
    expect(installed.filter((path) => path.endsWith('node_modules/typeorm'))).toHaveLength(1);
    expect(installed.filter((path) => path.endsWith('node_modules/better-sqlite3'))).toEqual([]);
  });
});

describe("the README's examples in the consumer's project", () => {
  beforeAll(async () => {
    cpSync('test/e2e/consumer', join(consumer, 'src'), { recursive: true });
    const compilerOptions = {
      target: 'es2023',
      module: 'nodenext',
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      rootDir: 'src',
      outDir: 'dist',
      types: ['node'],
    };
    writeFileSync(join(consumer, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
    const compiled = await runProcess('node', ['node_modules/typescript/bin/tsc'], { cwd: consumer });
    expect(compiled).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
  }, 120_000);

  it('compile under strict and do what they say, with pg as the driver', async () => {
    const tokens = ['receipts', 'devices', 'patients', 'web', 'ca'].map((label) => new TestToken(label));
    const [receipts, devices, patients, web, ca] = tokens;
    const postgres = await TestPostgres.start();
    const certifier = await startCa(ca);
    try {
      const databases = { devices: await postgres.database('devices'), patients: await postgres.database('patients') };
      const csr = makeCsr('lamp.devices.example');
      const task = {
        tokens: { devices: devices.config(), patients: patients.config(), web: web.config() },
        databases,
        csr,
        rootFile: certifier.rootFile,
      };
      const outcome = await runProcess('node', ['dist/run.js', JSON.stringify(task)], {
        cwd: consumer,
        env: {
          ...process.env,
          PKCS11_MODULE: softHsmModule(),
          PIN_FILE: receipts.pinFile,
          SOFTHSM2_CONF: receipts.softHsmConf,
          STATE_DIRECTORY: join(receipts.directory, 'state'),
          CA_URL: certifier.url,
          CA_TOKEN_FILE: certifier.tokenFile,
          CERTIFICATE_FILE: join(web.directory, 'certificate.pem'),
        },
      });
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
    } finally {
      await certifier.stop();
      await postgres.stop();
      for (const token of tokens) token.remove();
    }
  }, 120_000);
});

interface Done {
  readonly receipt: { readonly signature: string; readonly publicKey: string };
  readonly patient: unknown;
  readonly device: Readonly<Record<'certificate' | 'issuing' | 'root', string>>;
  readonly greeting: string;
}

interface Certifier {
  readonly url: string;
  readonly tokenFile: string;
  readonly rootFile: string;
  stop(): Promise<void>;
}

/** The CA application of this repository, which certifies the consumer's web service. */
async function startCa(token: TestToken): Promise<Certifier> {
  const [configFile, tokenFile, rootFile, database] = ['ca.yaml', 'setup-token', 'root.pem', 'ca.sqlite'].map((name) =>
    join(token.directory, name),
  );
  const subject = (commonName: string) => ({ label: commonName, subject: { commonName } });
  const config = {
    listen: { port: 0 },
    hsm: token.config(),
    database: { type: 'better-sqlite3', database },
    setupTokenFile: tokenFile,
    allowedNames: { dns: ['localhost'] },
    authority: { root: subject('root'), issuing: subject('issuing'), initialize: true },
  };
  writeFileSync(configFile, JSON.stringify(config));
  const child = spawn(process.execPath, ['dist/apps/ca/main.js', '--config', configFile], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`apps/ca: want it to start, got exit code ${code}`)));
    createInterface(child.stdout).on('line', (line) => {
      const listening = /listening on (http:\/\/[\d.:]+)/.exec(line);
      if (listening) resolve(listening[1]);
    });
  });
  writeFileSync(rootFile, await (await fetch(`${url}/v1/ca/root.pem`)).text());
  const stop = async () => {
    const exited = once(child, 'exit');
    child.kill();
    await exited;
  };
  return { url, tokenFile, rootFile, stop };
}

function makeCsr(name: string): string {
  const directory = join(consumer, 'csr');
  mkdirSync(directory, { recursive: true });
  const args = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    join(directory, 'key.pem'),
  ];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  return execFileSync('openssl', ['req', '-new', ...args, ...subject], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
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
  const write = (name: string, der: string) => {
    const file = join(consumer, name);
    writeFileSync(file, new X509Certificate(Buffer.from(der, 'base64')).toString());
    return file;
  };
  const files = [
    '-CAfile',
    write('root.pem', root),
    '-untrusted',
    write('issuing.pem', issuing),
    write('leaf.pem', certificate),
  ];
  const args = ['verify', '-x509_strict', '-verify_hostname', 'lamp.devices.example', ...files];
  return execFileSync('openssl', args, { encoding: 'utf8' });
}
