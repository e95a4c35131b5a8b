import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { eventually } from '../support/eventually.js';
import { childrenOf } from '../support/processes.js';
import { TestToken } from '../support/token.js';
import { freePort } from '../support/server-process.js';

const main = fileURLToPath(new URL('../../dist/apps/records/main.js', import.meta.url));
const secret = {
  name: 'SECRET Ada',
  nationalId: 'SECRET-1815',
  diagnosis: { code: 'SECRET J30.1', grades: [1, null] },
};

/** A directory with a SoftHSM token, a SQLite database and a configuration file. */
class RecordsHome {
  readonly directory = mkdtempSync(join(tmpdir(), 'nest-hsm-records-'));
  readonly database = join(this.directory, 'records.sqlite');
  readonly configFile = join(this.directory, 'records.yaml');
  token = new TestToken('data');

  configure(sections: Record<string, unknown> = {}): void {
    const config = {
      listen: { port: 0 },
      hsm: this.token.config(),
      kekLabel: 'kek',
      createKek: true,
      database: { type: 'better-sqlite3', database: this.database },
    };
    writeFileSync(this.configFile, stringify({ ...config, ...sections }));
  }

  /** Asks the database with the sqlite3 command, past the service. */
  sql(statement: string): string {
    return execFileSync('sqlite3', ['-cmd', '.timeout 5000', this.database, statement], { encoding: 'utf8' });
  }

  /** Every byte that the database has written, its log included. */
  get storedBytes(): string {
    const files = readdirSync(this.directory).filter((name) => name.startsWith('records.sqlite'));
    return files.map((name) => readFileSync(join(this.directory, name), 'latin1')).join('');
  }

  remove(): void {
    this.token.remove();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

class RecordsService {
  static readonly all = new Set<RecordsService>();

  static async start(home: RecordsHome): Promise<RecordsService> {
    const service = new RecordsService(home);
    const url = () => /listening on (http:\/\/[^"\s]+)/.exec(service.output)?.[1];
    await eventually(
      () => url() !== undefined || service.process.exitCode !== null,
      () => service.output,
    );
    if (url() === undefined) throw new Error(`records: want it to listen, got its end\n${service.output}`);
    return Object.assign(service, { url: url() });
  }

  readonly process: ChildProcess;
  readonly exited: Promise<unknown[]>;
  url = '';
  output = '';

  constructor(home: RecordsHome, log: 'pipe' | number = 'pipe') {
    this.process = spawn(process.execPath, [main, '--config', home.configFile], { stdio: ['ignore', log, 'pipe'] });
    this.exited = once(this.process, 'exit');
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    }
    RecordsService.all.add(this);
  }

  async request(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; type: string; body: Record<string, unknown> }> {
    const response = await fetch(this.url + path, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { 'x-api-key': 'SECRET', ...(body !== undefined && { 'content-type': 'application/json' }) },
    });
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    return {
      status: response.status,
      type,
      body: (type.includes('json') ? JSON.parse(text) : { text }) as Record<string, unknown>,
    };
  }

  async create(): Promise<string> {
    const { status, body } = await this.request('POST', '/records', secret);
    expect([status, body]).toEqual([201, expect.objectContaining(secret)]);
    return String(body.id);
  }

  async stop(): Promise<void> {
    this.process.kill('SIGTERM');
    await this.exited;
    RecordsService.all.delete(this);
  }
}

/** Takes no byte more. Both ends in one descriptor: it has a reader, who does not read. */
function fullPipe(path: string): number {
  execFileSync('mkfifo', [path]);
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    for (;;) writeSync(pipe, Buffer.alloc(4_096));
  } catch (error) {
    expect(error).toMatchObject({ code: 'EAGAIN' });
  }
  return pipe;
}

describe('the records service', () => {
  let home: RecordsHome;

  beforeEach(() => {
    home = new RecordsHome();
    home.configure();
  });

  afterEach(async () => {
    for (const service of RecordsService.all) await service.stop();
    home.remove();
  });

  it('stores ciphertext and serves plaintext', async () => {
    const service = await RecordsService.start(home);
    const id = await service.create();
    expect((await service.request('GET', `/records/${id}`)).body).toMatchObject({ id, ...secret });
    expect((await service.request('PATCH', `/records/${id}`, { name: 'SECRET Eve' })).body).toMatchObject({
      ...secret,
      name: 'SECRET Eve',
    });
    expect((await service.request('GET', '/records')).body).toMatchObject([{ id, name: 'SECRET Eve' }]);

    expect(home.sql('SELECT name, national_id, diagnosis FROM record')).toMatch(
      /^nhsm[\w+/=]+\|nhsm[\w+/=]+\|nhsm[\w+/=]+\n$/,
    );
    expect(home.sql('SELECT count(*), state FROM data_encryption_key')).toBe('1|active\n');
    expect(home.storedBytes).toContain('nhsm');
    expect(home.storedBytes).not.toContain('SECRET');

    const curl = execFileSync('curl', ['--silent', '--fail', `${service.url}/health`], { encoding: 'utf8' });
    expect(JSON.parse(curl)).toMatchObject({ status: 'ok', info: { 'data-encryption': { state: 'ready' } } });
    const metrics = String((await service.request('GET', '/metrics')).body.text);
    expect(metrics).toContain('nest_hsm_calls_total');
    expect(metrics).toContain('nest_hsm_data_encryption_cells_total{database="records",operation="encrypt"} 4');
    expect((await service.request('GET', '/docs-json')).body).toMatchObject({ openapi: expect.stringMatching(/^3/) });

    expect((await service.request('DELETE', `/records/${id}`)).status).toBe(204);
    expect((await service.request('GET', `/records/${id}`)).status).toBe(404);
    await service.stop();
    expect(service.output).not.toContain('SECRET');
  });

  it('answers bad input with a problem document and stores nothing, and operators at a port of theirs', async () => {
    home.configure({ admin: { port: 0 } });
    const service = await RecordsService.start(home);
    const id = await service.create();
    const admin = /admin on (http:\/\/[^"\s]+)/.exec(service.output)?.[1] ?? '';
    const operatorsPaths = ['/health', '/metrics', '/docs', '/docs/', '/docs-json', '/docs-yaml'];
    for (const path of operatorsPaths) expect([path, (await fetch(admin + path)).status]).toEqual([path, 200]);
    for (const path of [`/records/${id}`, '/records']) expect((await fetch(admin + path)).status).toBe(404);
    const bad: readonly [string, string, unknown, number][] = [
      ['POST', '/records', { name: 'x' }, 400],
      ['POST', '/records', { ...secret, name: 7 }, 400],
      ['POST', '/records', { ...secret, surplus: 'SECRET' }, 400],
      ['POST', '/records', { ...secret, name: 'SECRET \ud800' }, 400],
      ['POST', '/records', { ...secret, name: 'x'.repeat(100_000) }, 413],
      ['PATCH', `/records/${id}`, { name: null }, 400],
      ['GET', '/records/7', undefined, 400],
      ['GET', '/records/a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', undefined, 404],
      ['GET', '/nowhere', undefined, 404],
      ...[...operatorsPaths, '/%68ealth', '/metrics?a=b', '//metrics'].map(
        (path): [string, string, unknown, number] => ['GET', path, undefined, 404],
      ),
    ];
    for (const [method, path, body, status] of bad) {
      const answer = await service.request(method, path, body);
      expect([path, answer.status, answer.type]).toEqual([
        path,
        status,
        expect.stringContaining('application/problem+json'),
      ]);
      expect(answer.body).toMatchObject({ status, code: expect.stringMatching(/^ERR_(RECORDS|DATA_VALUE)_/) });
      expect(JSON.stringify(answer.body)).not.toContain('SECRET');
    }
    expect(home.sql('SELECT count(*) FROM record')).toBe('1\n');
    expect(service.output).not.toContain('SECRET');
  });

  it('goes on when its token agent is killed, and reads old rows after a restart', async () => {
    const service = await RecordsService.start(home);
    const id = await service.create();
    const [agent] = childrenOf(service.process.pid ?? 0);
    process.kill(agent, 'SIGKILL');
    await service.create();
    expect((await service.request('GET', `/records/${id}`)).body).toMatchObject(secret);
    await eventually(async () => (await service.request('GET', '/health')).status === 200);
    await service.stop();

    const again = await RecordsService.start(home);
    expect((await again.request('GET', `/records/${id}`)).body).toMatchObject(secret);
  });

  it('answers 503 while the HSM is away and a key is needed, then serves again', async () => {
    const first = await RecordsService.start(home);
    const id = await first.create();
    await first.stop();
    // Only the key of new cells is loaded at the start: the old record needs the HSM.
    home.sql(`UPDATE data_encryption_key SET state = 'retired'`);
    const service = await RecordsService.start(home);
    const tokens = join(home.token.directory, 'tokens');
    renameSync(tokens, `${tokens}.away`);
    for (const agent of childrenOf(service.process.pid ?? 0)) process.kill(agent, 'SIGKILL');
    const answer = await service.request('GET', `/records/${id}`);
    expect([answer.status, answer.type, answer.body.code]).toEqual([
      503,
      expect.stringContaining('application/problem+json'),
      expect.stringMatching(/^ERR_DATA_KEY_/),
    ]);
    renameSync(`${tokens}.away`, tokens);
    let read = answer;
    await eventually(async () => {
      read = await service.request('GET', `/records/${id}`);
      return read.status === 200;
    });
    expect(read.body).toMatchObject(secret);
  });

  it('never answers with what was not written', async () => {
    const service = await RecordsService.start(home);
    const [one, two] = [await service.create(), await service.create()];
    home.sql(`UPDATE record SET name = (SELECT name FROM record WHERE id = '${one}') WHERE id = '${two}'`);
    const answer = await service.request('GET', `/records/${two}`);
    expect([answer.status, answer.body.code]).toEqual([500, 'ERR_DATA_DECRYPTION_FAILED']);
    expect((await service.request('GET', `/records/${one}`)).status).toBe(200);
  });

  it('does not start under another KEK of the same label', async () => {
    const service = await RecordsService.start(home);
    await service.create();
    await service.stop();
    home.token.remove();
    home.token = new TestToken('data');
    home.configure();
    const other = new RecordsService(home);
    expect(await other.exited).toEqual([1, null]);
    expect(other.output).toContain('ERR_DATA_KEY_REJECTED');
  });

  it.each<[string, (home: RecordsHome) => void, RegExp]>([
    ['a KEK that is missing', (home) => home.configure({ createKek: false }), /ERR_DATA_KEY_REJECTED: KEK kek/],
    [
      'a database that cannot be written',
      (home) => home.configure({ database: { type: 'better-sqlite3', database: `${home.configFile}/x.sqlite` } }),
      /ERR_RECORDS_DATABASE/,
    ],
    [
      'a wrong PIN',
      (home) => {
        const file = join(home.directory, 'pin');
        writeFileSync(file, '00000000', { mode: 0o600 });
        home.configure({ hsm: home.token.config({ pin: { file } }) });
      },
      /ERR_HSM_PIN_INCORRECT/,
    ],
    [
      'faults in its configuration, all at once',
      (home) => home.configure({ kekLabel: '', listen: {}, surplus: 1 }),
      /ERR_RECORDS_CONFIG/,
    ],
  ])('says in one sentence why it cannot start, and exits with 1, for %s', async (_, spoil, message) => {
    spoil(home);
    const service = new RecordsService(home);
    expect(await service.exited).toEqual([1, null]);
    expect(service.output).toMatch(message);
    expect(service.output).not.toMatch(/\n\s+at /);
  });

  it('serves and ends though nobody reads its log', async () => {
    const full = fullPipe(join(home.directory, 'log'));
    const port = await freePort();
    home.configure({ listen: { port } });
    const service = Object.assign(new RecordsService(home, full), { url: `http://127.0.0.1:${port}` });
    closeSync(full);
    await eventually(async () => (await service.request('GET', '/health')).status === 200);
    await service.create();
    expect(String((await service.request('GET', '/metrics')).body.text)).toContain('nest_hsm_log_lines_lost_total 0');
    service.process.kill('SIGTERM');
    expect(await service.exited).toEqual([null, 'SIGTERM']);
    expect(service.output).toBe('');
  });

  it('says so when its port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    home.configure({ listen: { port: (taken.address() as AddressInfo).port } });
    const service = new RecordsService(home);
    expect(await service.exited).toEqual([1, null]);
    expect(service.output).toMatch(/ERR_RECORDS_LISTEN: .*EADDRINUSE/);
    taken.close();
  });
});
