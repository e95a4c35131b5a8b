import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Hsm } from '@nest-hsm/hsm';
import { stringify } from 'yaml';
import { connectTls, readAll } from '../../libs/tls-offload/test/listen.js';
import { OpensslCa } from '../../libs/tls-offload/test/openssl-ca.js';
import { eventually } from '../support/eventually.js';
import { runProcess } from '../support/scratch-workspace.js';
import { TestToken } from '../support/token.js';

const main = fileURLToPath(new URL('../../dist/apps/tls-sidecar/main.js', import.meta.url));
const cli = fileURLToPath(new URL('../../dist/apps/cli/main.js', import.meta.url));
const run = promisify(execFile);

describe('the TLS sidecar', () => {
  const token = new TestToken('tls');
  const ca = new OpensslCa();
  const sidecars: Sidecar[] = [];
  let upstream: Server;
  let listenPort: number;
  let adminPort: number;

  beforeAll(async () => {
    await ca.listen();
    upstream = createServer((request, response) => void answer(request).then((text) => response.end(text)));
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  });
  beforeEach(async () => {
    ca.requests.length = 0;
    [listenPort, adminPort] = await freePorts(2);
  });
  afterEach(async () => {
    await Promise.all(sidecars.splice(0).map((sidecar) => sidecar.stop()));
  });
  afterAll(async () => {
    upstream.closeAllConnections();
    upstream.close();
    await ca.stop();
    ca.remove();
    token.remove();
  });

  /** What a deployment would write. */
  function config(changes: object = {}): object {
    return {
      hsm: token.config(),
      listeners: [listener()],
      certificates: [
        {
          ca: {
            url: ca.url,
            tokenFile: ca.tokenFile,
            dnsNames: ['localhost'],
            ipAddresses: ['127.0.0.1'],
            keyLabel: 'sidecar',
            certificateFile: join(token.directory, 'sidecar.pem'),
          },
        },
      ],
      admin: { host: '127.0.0.1', port: adminPort },
      ...changes,
    };
  }

  function listener(changes: { port?: number; upstream?: number } = {}): object {
    const { port = listenPort, upstream: to = (upstream.address() as AddressInfo).port } = changes;
    return { listen: { host: '127.0.0.1', port }, l4: { upstream: { host: '127.0.0.1', port: to } } };
  }

  /** The same with a key, hence a certificate, of its own. */
  function withKey(keyLabel: string): object {
    const certificateFile = join(token.directory, `${keyLabel}.pem`);
    const { url, tokenFile } = ca;
    return config({ certificates: [{ ca: { url, tokenFile, dnsNames: ['localhost'], keyLabel, certificateFile } }] });
  }

  function start(document: object | string): Sidecar {
    const file = join(token.directory, 'sidecar.yaml');
    writeFileSync(file, typeof document === 'string' ? document : stringify(document));
    const sidecar = new Sidecar(file);
    sidecars.push(sidecar);
    return sidecar;
  }

  const curl = async (...args: string[]): Promise<string> => {
    const { stdout } = await run('curl', [
      '--silent',
      '--show-error',
      '--max-time',
      '20',
      '--cacert',
      ca.rootFile,
      ...args,
    ]);
    return stdout;
  };
  const health = async (): Promise<{ status: number; body: string }> => {
    const response = await fetch(`http://127.0.0.1:${adminPort}/health`);
    return { status: response.status, body: await response.text() };
  };

  it('serves HTTPS before a plain server, with a key made in the token', async () => {
    await start(config()).ready(adminPort);

    expect(await curl(`https://localhost:${listenPort}/path?x=1`)).toBe('GET /path?x=1 0 bytes');
    expect(await curl('--tls-max', '1.2', `https://127.0.0.1:${listenPort}/`)).toBe('GET / 0 bytes');
    const body = randomBytes(8 * 1024 * 1024);
    const bodyFile = join(token.directory, 'body');
    writeFileSync(bodyFile, body);
    const digest = createHash('sha256').update(body).digest('hex');
    const posted = await curl('--data-binary', `@${bodyFile}`, `https://localhost:${listenPort}/`);
    expect(posted).toBe(`POST / ${body.length} bytes ${digest}`);

    const metrics = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
    const handshakes = (protocol: string) =>
      new RegExp(
        `handshakes_total{listener="127.0.0.1:${listenPort}",protocol="${protocol}",cipher=".+",result="OK"} (\\d)`,
      );
    expect(handshakes('TLSv1.3').exec(metrics)?.[1]).toBe('2');
    expect(handshakes('TLSv1.2').exec(metrics)?.[1]).toBe('1');
    expect(metrics).toContain('nest_hsm_tls_signature_wait_seconds_count{key="sidecar",result="signed"} 3');
    expect(metrics).toContain(`nest_hsm_tls_connections_ended_total{listener="127.0.0.1:${listenPort}",result="OK"} 3`);
    const sent = /bytes_total{listener="[\d.:]+",from="client"} (\d+)/.exec(metrics)?.[1];
    expect(Number(sent)).toBeGreaterThan(body.length);
    // 90 days, as the CA has it.
    const left = /nest_hsm_tls_certificate_expiry_seconds{certificate="sidecar"} (\d+)/.exec(metrics)?.[1];
    expect(Number(left)).toBeGreaterThan(89 * 86_400);
    expect(metrics).toContain('nest_hsm_calls_total{hsm="tls",verb="sign",code="OK"}');

    const hsm = await Hsm.open(token.config());
    const key = await hsm.findKey({ label: 'sidecar' });
    await hsm.close();
    const { stdout } = await run('openssl', ['x509', '-in', join(token.directory, 'sidecar.pem'), '-noout', '-pubkey']);
    expect(stdout).toBe(key.publicKey?.export({ format: 'pem', type: 'spki' }));
  });

  it('uses certificate and key again after a restart', async () => {
    await start(config()).ready(adminPort);
    const asked = ca.requests.length;
    const certificate = readFileSync(join(token.directory, 'sidecar.pem'), 'utf8');
    await sidecars[0].stop();
    await start(config()).ready(adminPort);
    expect(ca.requests).toHaveLength(asked);
    expect(readFileSync(join(token.directory, 'sidecar.pem'), 'utf8')).toBe(certificate);
    expect(await curl(`https://localhost:${listenPort}/`)).toContain('GET /');
  });

  it('waits for a CA that is away, and says that it is not ready', async () => {
    const { port } = ca;
    const late = withKey('late');
    await ca.stop();
    const sidecar = start(late);
    await sidecar.says(/ERR_TLS_OFFLOAD_ISSUER_UNAVAILABLE.*trying again in/);
    const unready = await health();
    expect(unready.status).toBe(503);
    expect(unready.body).toContain('waits for its certificate');
    await expect(curl(`https://localhost:${listenPort}/`)).rejects.toThrow(/Failed to connect/);
    await ca.listen(port);
    await sidecar.ready(adminPort);
    expect(await curl(`https://localhost:${listenPort}/`)).toContain('GET /');
  });

  it('serves what any CA makes of a request for a key on the token', async () => {
    const file = join(token.directory, 'application.yaml');
    writeFileSync(file, stringify({ hsm: token.config() }));
    const nestHsm = (...args: string[]) => runProcess(process.execPath, [cli, ...args, '--config', file]);
    expect(await nestHsm('key', 'generate', 'requested', '--algorithm', 'rsa-2048')).toMatchObject({ code: 0 });
    const names = ['--dns', 'localhost', 'shop.example', '--ip', '127.0.0.1'];
    const { stdout: request } = await nestHsm('tls', 'csr', 'requested', ...names);
    const certificateFile = join(token.directory, 'requested.pem');
    // Its openssl verifies the request's signature.
    writeFileSync(certificateFile, ca.issue(request));
    await start(config({ certificates: [{ file: { keyLabel: 'requested', certificateFile } }] })).ready(adminPort);
    for (const host of ['localhost', '127.0.0.1']) {
      expect(await curl(`https://${host}:${listenPort}/`)).toBe('GET / 0 bytes');
    }
    const shown = await run('openssl', [
      'x509',
      '-in',
      certificateFile,
      '-noout',
      '-subject',
      '-ext',
      'subjectAltName',
    ]);
    expect(shown.stdout).toMatch(/CN = localhost[^]*DNS:localhost, DNS:shop\.example, IP Address:127\.0\.0\.1/);

    expect((await nestHsm('tls', 'csr', 'requested')).stderr).toContain('want a name to be certified');
    expect((await nestHsm('tls', 'csr', 'requested', '--dns', 'a b')).stderr).toContain(
      '--dns: want a host name, got a b',
    );
    expect((await nestHsm('tls', 'csr', 'unknown', '--dns', 'localhost')).stderr).toContain('ERR_HSM_KEY_NOT_FOUND');
  });

  it('ends open connections in their own time when it is told to stop', async () => {
    const sidecar = start(config());
    await sidecar.ready(adminPort);
    const client = await connectTls({ port: listenPort, ca: readFileSync(ca.rootFile) });
    client.write('POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 5\r\n\r\n');
    await sidecar.forwards(adminPort, 1);
    sidecar.process.kill('SIGTERM');
    client.write('hello');
    expect((await readAll(client)).toString()).toContain('POST / 5 bytes');
    client.destroy();
    expect(await sidecar.exit).toBe('SIGTERM');
  });

  it('resets the client and stays up when the upstream is away', async () => {
    const [gone] = await freePorts(1);
    const sidecar = start(config({ listeners: [listener({ upstream: gone })] }));
    await sidecar.ready(adminPort);
    await expect(curl(`https://localhost:${listenPort}/`)).rejects.toThrow();
    await sidecar.says(/ERR_TLS_OFFLOAD_UPSTREAM_UNAVAILABLE.*ECONNREFUSED/);
    expect((await health()).status).toBe(200);
  });

  describe('exits with one clear sentence when', () => {
    const rows: readonly [string, () => Promise<object | string> | object | string, RegExp][] = [
      [
        'its port is taken',
        () => config({ listeners: [listener({ port: ca.port })] }),
        /ERR_SIDECAR_LISTEN: listen: want 127\.0\.0\.1:\d+ free, got .*EADDRINUSE/,
      ],
      [
        'its admin port is taken',
        () => config({ admin: { host: '127.0.0.1', port: ca.port } }),
        /ERR_SIDECAR_LISTEN: admin: want 127\.0\.0\.1:\d+ free/,
      ],
      ['its configuration is no YAML', () => 'listeners: [', /ERR_SIDECAR_CONFIG: .*sidecar\.yaml:1:13: want YAML/],
      [
        'the CA refuses',
        () => {
          ca.behaviour = {
            refuse: { status: 401, problem: { code: 'ERR_API_TOKEN', detail: 'want the set-up token' } },
          };
          return withKey('refused');
        },
        /ERR_TLS_OFFLOAD_ISSUANCE_REFUSED: .*status 401: ERR_API_TOKEN: want the set-up token/,
      ],
      [
        'the certificate file is for another key',
        async () => {
          const hsm = await Hsm.open(token.config());
          await hsm.generateKeyPair({ label: 'stranger', algorithm: 'ec-p256' });
          await hsm.close();
          const file = { keyLabel: 'stranger', certificateFile: join(token.directory, 'sidecar.pem') };
          return config({ certificates: [{ file }] });
        },
        /ERR_TLS_OFFLOAD_KEY_MISMATCH/,
      ],
      [
        'the PIN is wrong',
        () => {
          const file = join(token.directory, 'wrong-pin');
          writeFileSync(file, '000000', { mode: 0o600 });
          return config({ hsm: token.config({ pin: { file }, stateDirectory: join(token.directory, 'other-state') }) });
        },
        /ERR_HSM_PIN_INCORRECT/,
      ],
    ];
    afterEach(() => {
      ca.behaviour = {};
    });

    it.each(rows)('%s', async (_what, document, message) => {
      const sidecar = start(await document());
      expect(await sidecar.exit).toBe(1);
      expect(sidecar.errors).toMatch(message);
      expect(sidecar.errors).not.toMatch(/\n {4}at /);
      expect(sidecar.errors).not.toContain('000000');
    });
  });
});

async function answer(request: IncomingMessage): Promise<string> {
  const body = await readAll(request);
  const digest = body.length > 1_000 ? ` ${createHash('sha256').update(body).digest('hex')}` : '';
  return `${request.method} ${request.url} ${body.length} bytes${digest}`;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createTcpServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) =>
          server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
        ),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** The built application as a process. */
class Sidecar {
  readonly process: ChildProcess;
  /** The code, or the signal. */
  readonly exit: Promise<number | string | null>;
  output = '';
  errors = '';

  constructor(configFile: string) {
    if (!existsSync(main)) throw new Error(`want ${main}, got none (node scripts/build.mjs)`);
    this.process = spawn(process.execPath, [main, '--config', configFile], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.process.stderr?.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    this.exit = new Promise((resolve) => this.process.once('close', (code, signal) => resolve(code ?? signal)));
  }

  async ready(adminPort: number): Promise<void> {
    await this.#until(async () => (await fetch(`http://127.0.0.1:${adminPort}/health`)).ok);
  }

  async forwards(adminPort: number, connections: number): Promise<void> {
    const line = `state="open"} ${connections}`;
    await this.#until(async () => (await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()).includes(line));
  }

  async says(pattern: RegExp): Promise<void> {
    await this.#until(() => pattern.test(this.output));
  }

  async stop(): Promise<void> {
    this.process.kill('SIGTERM');
    await this.exit;
  }

  async #until(holds: () => boolean | Promise<boolean>): Promise<void> {
    const said = () => `${this.output}${this.errors}`;
    const isOver = () => this.process.exitCode !== null;
    await eventually(async () => isOver() || (await holds()), said);
    if (isOver()) throw new Error(`sidecar: want ${holds.toString()}, got its end\n${said()}`);
  }
}
