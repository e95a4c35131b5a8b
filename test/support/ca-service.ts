import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { auditRecords } from './audit-records.js';
import { TestToken } from './token.js';

const root = repositoryRoot();
/** Starts the same service, but kills its process at a step: `node … CONFIG STEP PHASE`. */
const killedMain = join(root, 'test', 'support', 'ca-killed-at.mjs');
/** Starts the same service, but without much patience: `node … CONFIG MILLISECONDS`. */
const impatientMain = join(root, 'test', 'support', 'ca-impatient.mjs');

const clientScopes = ['issue', 'read', 'revoke', 'approve'].map((may) => `certificates:${may}`);

/** A directory, a SoftHSM token and a configuration file for the CA app. */
export class CaHome {
  readonly directory = mkdtempSync(join(tmpdir(), 'nest-hsm-ca-'));
  readonly token = new TestToken('ca');
  readonly configFile = join(this.directory, 'ca.yaml');
  readonly audit = { directory: join(this.directory, 'audit') };
  readonly database = join(this.directory, 'ca.sqlite');
  readonly setupTokenFile = join(this.directory, 'setup-token');
  /** Of a client that may do everything but make API tokens. */
  readonly clientTokenFile = join(this.directory, 'client-token');

  readonly services: CaService[] = [];
  readonly authority = {
    root: { label: 'root', subject: { commonName: 'Test Root CA', organization: 'Example', country: 'DE' } },
    issuing: {
      label: 'issuing',
      subject: { commonName: 'Test Issuing CA', organization: 'Example', country: 'DE' },
      algorithm: 'ec-p256',
    },
    initialize: true,
  };

  constructor(readonly overrides: Record<string, unknown> = {}) {
    this.configure({});
  }

  /** Writes the configuration file anew, with these top-level sections replaced. */
  configure(sections: Record<string, unknown>): void {
    const config = {
      listen: { port: 0 },
      hsm: this.token.config({ audit: this.audit }),
      database: { type: 'better-sqlite3', database: this.database },
      setupTokenFile: this.setupTokenFile,
      access: { clients: [{ name: 'test', tokenFile: this.clientTokenFile, scopes: clientScopes }] },
      allowedNames: { dns: ['*.example.test', 'localhost'], ip: ['127.0.0.0/8', '2001:db8::/32'] },
      publicUrl: 'http://ca.example.test',
      authority: this.authority,
      ...this.overrides,
      ...sections,
    };
    writeFileSync(this.configFile, stringify(config));
  }

  /** A file of this home. */
  file(name: string, content?: string | Uint8Array): string {
    const path = join(this.directory, name);
    if (content !== undefined) writeFileSync(path, content);
    return path;
  }

  /** A PIN file of its own. */
  pinFile(pin: string): string {
    const path = join(this.directory, 'pin');
    writeFileSync(path, pin, { mode: 0o600 });
    return path;
  }

  /** Makes a CSR with the openssl command. @returns the path of its PEM */
  opensslCsr(name: string, newKey: string[], extra: string[]): string {
    const csr = this.file(`${name}.csr`);
    const args = ['req', '-new', '-nodes', ...newKey, '-keyout', this.file(`${name}.key`), '-out', csr, ...extra];
    run('openssl', ...args);
    return csr;
  }

  /** Correlation ids of every signature of the CA's own keys, in order. */
  async signedDigests(): Promise<string[]> {
    const results = (await auditRecords(this.audit.directory)).filter(({ kind }) => kind === 'result');
    const signatures = results.filter(({ operation, key }) => operation === 'sign' && key?.label !== 'nest-hsm-probe');
    return signatures.map(({ correlationId }) => correlationId ?? '');
  }

  /** Rows of the SQLite file, as the sqlite3 command sees them. */
  sql(query: string): Record<string, string | number | null>[] {
    const output = run('sqlite3', '-json', '-readonly', this.database, query);
    return output === '' ? [] : (JSON.parse(output) as Record<string, string | number | null>[]);
  }

  /** Ends what a failed test left running. */
  remove(): void {
    for (const service of this.services) service.process.kill('SIGKILL');
    // What was killed may still be making a file.
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 10 });
    this.token.remove();
  }
}

/** The CA app as a process of its own. */
export class CaService {
  static readonly main = join(root, 'dist', 'apps', 'ca', 'main.js');

  stdout = '';
  stderr = '';
  readonly exited: Promise<{ code: number | null; signal: string | null }>;

  private constructor(
    private readonly home: CaHome,
    readonly process: ChildProcess,
  ) {
    process.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    process.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    home.services.push(this);
    this.exited = once(process, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as string | null,
    }));
  }

  /** Spawns the app and returns at once. */
  static spawn(home: CaHome): CaService {
    return CaService.#run(home, CaService.main, '--config', home.configFile);
  }

  /** Spawns the app with a kill -9 of itself when it reaches a step, in its start or in a request. */
  static spawnKilledAt(home: CaHome, step: string, phase: 'start' | 'request'): CaService {
    return CaService.#run(home, killedMain, home.configFile, step, phase);
  }

  /** Spawns the app, which cuts off what is silent for so long. */
  static spawnImpatient(home: CaHome, milliseconds: number): CaService {
    return CaService.#run(home, impatientMain, home.configFile, String(milliseconds));
  }

  static #run(home: CaHome, ...args: string[]): CaService {
    return new CaService(home, spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  static async start(home: CaHome): Promise<CaService> {
    return CaService.spawn(home).listening();
  }

  async listening(): Promise<this> {
    const ended = this.exited.then(() => {
      throw new Error(`CA app: want it to listen, got its end\n${this.stdout}\n${this.stderr}`);
    });
    ended.catch(() => undefined);
    while (!/listening on http/.test(this.stdout))
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 20))]);
    return this;
  }

  get url(): string {
    return /listening on (https?:\/\/[^"\s]+)/.exec(this.stdout)?.[1] ?? '';
  }

  get setupToken(): string {
    return readFileSync(this.home.setupTokenFile, 'utf8').trim();
  }

  /** The token of the test's client. */
  get token(): string {
    return readFileSync(this.home.clientTokenFile, 'utf8').trim();
  }

  async post(
    body: string | Uint8Array,
    type: string,
    { profile = 'tls-server', headers = {} }: { profile?: string; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    return fetch(`${this.url}/v1/certificates?profile=${profile}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.token}`, 'content-type': type, ...headers },
      body: typeof body === 'string' ? body : new Uint8Array(body),
    });
  }

  async get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { headers: { authorization: `Bearer ${this.token}`, ...headers } });
  }

  async stop(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill('SIGTERM');
    await this.exited;
  }
}

/** What a command prints; it throws with what the command complained of. */
export function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' });
}

export function hasCommand(command: string): boolean {
  return (process.env.PATH ?? '').split(':').some((directory) => existsSync(join(directory, command)));
}

/** Benches run this from where they are built to, which is deeper. */
function repositoryRoot(): string {
  let directory = fileURLToPath(new URL('.', import.meta.url));
  while (!existsSync(join(directory, 'nest-cli.json'))) {
    if (directory === dirname(directory))
      throw new Error('want a nest-cli.json in a directory above this file, got none');
    directory = dirname(directory);
  }
  return directory;
}
