import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CaHome, CaService, run } from '../support/ca-service.js';
import { atHome, describeStartFaults, type StartFault } from '../support/ca-start-faults.js';
import { buildCsr } from '../support/csr.js';
import { eventually } from '../support/eventually.js';
import { childrenOf } from '../support/processes.js';

const cli = join(fileURLToPath(new URL('../..', import.meta.url)), 'dist', 'apps', 'cli', 'main.js');

const faults: StartFault[] = [
  ['a configuration file that is missing', (home) => renameSync(home.configFile, `${home.configFile}.gone`), [/ERR_API_CONFIG/, /ENOENT/]],
  [
    'faults in the configuration, all at once',
    (home) => home.configure({ listen: { host: '0.0.0.0', port: 70_000 }, publicUrl: 'https://x', allowedNames: { dns: ['a..b'] }, surplus: 1, database: {} }),
    [/ERR_API_CONFIG/, /listen\.port/, /publicUrl/, /ca\.yaml:\d+:\d+: allowedNames\.dns\.0: /, /surplus/, /database/],
  ],
  ['a PostgreSQL server that is not there', (home) => home.configure({ database: { type: 'postgres', url: 'postgres://nobody@127.0.0.1:1/ca' } }), [/ERR_CA_STORE_UNUSABLE/, /ECONNREFUSED/]],
  ['a wrong PIN', (home) => home.configure({ hsm: home.token.config({ pin: { file: home.pinFile('00000000') } }) }), [/ERR_HSM_PIN_INCORRECT/]],
  ['a CA that was never initialised', (home) => home.configure({ authority: { ...home.authority, initialize: false } }), [/ERR_CA_NOT_INITIALIZED/, /nest-hsm ca init/]],
  ['a set-up token others may read', (home) => chmodSync(home.file('setup-token', 'x'.repeat(43)), 0o644), [/ERR_API_CONFIG/, /mode 0600, got 0644/]],
]; // prettier-ignore

describeStartFaults(faults);

describe('the CA app does not start and says why, for', () => {
  test.concurrent(
    'a port that is taken',
    atHome(async (home) => {
      const taken = createServer().listen(0, '127.0.0.1');
      await once(taken, 'listening');
      const { port } = taken.address() as AddressInfo;
      home.configure({ listen: { port } });
      const service = CaService.spawn(home);
      expect(await service.exited).toEqual({ code: 1, signal: null });
      expect(service.stderr).toContain(
        `ca: ERR_API_LISTEN: listen: want 127.0.0.1:${port} free, got listen EADDRINUSE`,
      );
      taken.close();
    }),
  );

  test('no arguments: how to call it', () => {
    const { status, stderr } = spawnSync(process.execPath, [CaService.main], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([1, 'usage: node main.js --config FILE\n']);
  });
});

describe('the CA app', () => {
  test.concurrent(
    'makes its set-up token for its owner alone, and starts again with the same CA',
    atHome(async (home) => {
      const first = await CaService.start(home);
      expect(statSync(home.setupTokenFile).mode & 0o777).toBe(0o600);
      expect(first.setupToken).toMatch(/^[\w-]{43}$/);
      const [token, root] = [first.setupToken, await (await first.get('/v1/ca/root.pem')).text()];
      const children = childrenOf(first.process.pid ?? 0);
      await first.stop();
      expect(children.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);

      home.configure({ authority: { ...home.authority, initialize: false } });
      const second = await CaService.start(home);
      expect(second.setupToken).toBe(token);
      expect(await (await second.get('/v1/ca/root.pem')).text()).toBe(root);
      await second.stop();
      expect(home.sql('SELECT count(*) AS crls FROM ca_crl')).toEqual([{ crls: 2 }]);
    }),
  );

  test.concurrent(
    'refuses a configuration that disagrees with what was certified',
    atHome(async (home) => {
      await (await CaService.start(home)).stop();
      const { authority } = home;
      home.configure({
        authority: { ...authority, issuing: { ...authority.issuing, subject: { commonName: 'Renamed' } } },
      });
      const renamed = CaService.spawn(home);
      expect((await renamed.exited).code).toBe(1);
      expect(renamed.stderr).toContain('ERR_CA_ISSUER_UNUSABLE');
    }),
  );

  test.concurrent.each(['ec-p384', 'rsa-2048'])(
    'issues under CA keys of %s',
    atHome(async (home, algorithm: string) => {
      const { root, issuing } = home.authority;
      home.configure({
        authority: { root: { ...root, algorithm }, issuing: { ...issuing, algorithm }, initialize: true },
      });
      const service = await CaService.start(home);
      const chain = await (
        await service.post(buildCsr(), 'application/pkcs10', { headers: { accept: 'application/x-pem-file' } })
      ).text();
      const trust = home.file('root.pem', await (await service.get('/v1/ca/root.pem')).text());
      expect(
        run(
          'openssl',
          'verify',
          '-x509_strict',
          '-CAfile',
          trust,
          '-untrusted',
          home.file('chain.pem', chain),
          home.file('chain.pem'),
        ),
      ).toContain('OK');
      await service.stop();
    }),
  );

  test.concurrent(
    'keeps its own name constraints, and openssl finds them in the chain',
    atHome(async (home) => {
      const { authority } = home;
      const nameConstraints = {
        permitted: { dns: ['a.example.test'], ip: ['127.0.0.0/8'] },
        excluded: { dns: ['secret.a.example.test'] },
      };
      home.configure({ authority: { ...authority, issuing: { ...authority.issuing, nameConstraints } } });
      const service = await CaService.start(home);
      const csr = (name: string): Buffer =>
        readFileSync(
          home.opensslCsr(
            'constrained',
            ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
            ['-subj', `/CN=${name}`],
          ),
        );
      const inside = await service.post(csr('x.a.example.test'), 'text/plain', {
        headers: { accept: 'application/x-pem-file' },
      });
      expect(inside.status).toBe(201);
      for (const name of ['b.example.test', 'secret.a.example.test', '*.a.example.test', '2001:db8::1']) {
        const outside = await service.post(csr(name), 'text/plain');
        expect([name, outside.status, ((await outside.json()) as { code: string }).code]).toEqual([
          name,
          403,
          'ERR_CA_CONSTRAINT_VIOLATED',
        ]);
      }
      const trust = home.file('root.pem', await (await service.get('/v1/ca/root.pem')).text());
      const chain = home.file('chain.pem', await inside.text());
      expect(run('openssl', 'verify', '-CAfile', trust, '-untrusted', chain, chain)).toContain('OK');
      expect(
        run(
          'openssl',
          'x509',
          '-noout',
          '-text',
          '-in',
          home.file('issuing.pem', await (await service.get('/v1/ca/issuing.pem')).text()),
        ),
      ).toMatch(
        /Name Constraints: critical\s+Permitted:\s+DNS:a.example.test\s+IP:127.0.0.0\/255.0.0.0\s+Excluded:\s+DNS:secret.a.example.test/,
      );
      await service.stop();
    }),
  );

  test(
    'answers 503 with Retry-After while its HSM is gone, keeps what it committed, and goes on when it is back',
    atHome(async (home) => {
      home.configure({ hsm: home.token.config({ deadlineMilliseconds: 1_500, audit: home.audit }) });
      const service = await CaService.start(home);
      const tokens = join(home.token.directory, 'tokens');
      renameSync(tokens, `${tokens}.gone`);
      for (const agent of childrenOf(service.process.pid ?? 0)) process.kill(agent, 'SIGKILL');

      const refused = await service.post(buildCsr(), 'application/pkcs10');
      const problem = (await refused.json()) as { code: string; detail: string };
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
      expect(problem.code).toMatch(/^ERR_HSM_/);
      expect(problem.detail).toBe('The service cannot sign now; try again later.');
      expect((await service.get('/health')).status).toBe(503);
      expect((await service.get('/v1/crl.pem')).status).toBe(200);

      renameSync(`${tokens}.gone`, tokens);
      let status = 503;
      await eventually(async () => {
        status = (await service.post(buildCsr(), 'application/pkcs10')).status;
        return status !== 503;
      });
      expect(status).toBe(201);
      await service.stop();
    }),
  );
});

describe('nest-hsm ca init', () => {
  let home: CaHome;
  beforeAll(() => {
    home = new CaHome();
    home.configure({ authority: { ...home.authority, initialize: false } });
  });
  afterAll(() => home.remove());

  const init = (...options: string[]): string =>
    execFileSync(process.execPath, [cli, 'ca', 'init', '--config', home.configFile, ...options], {
      encoding: 'utf8',
      stdio: 'pipe',
    });

  test('makes the CA once, the app then serves it', async () => {
    const first = init();
    expect(first).toMatch(/CN=Test Root CA\n {2}valid to .*\n {2}SHA-256 [0-9A-F:]{95}\n/);
    expect(init()).toBe(first);
    const { root, issuing } = JSON.parse(init('--json')) as Record<
      string,
      { certificate: string; fingerprint256: string }
    >;
    const service = await CaService.start(home);
    expect(await (await service.get('/v1/ca/root.pem')).text()).toBe(root.certificate);
    expect(await (await service.get('/v1/ca/chain.pem')).text()).toBe(issuing.certificate + root.certificate);
    await service.stop();
    expect(home.sql('SELECT profile, state FROM ca_certificate ORDER BY profile')).toEqual([
      { profile: 'issuing-ca', state: 'issued' },
      { profile: 'root-ca', state: 'issued' },
    ]);
  });

  test('says what is wrong with the file, every fault at once', () => {
    const file = home.file('bad.yaml', 'hsm: {}\nauthority: {}\n');
    const { status, stderr } = spawnSync(process.execPath, [cli, 'ca', 'init', '--config', file], { encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^nest-hsm: ERR_CLI_CONFIG: .*at database.*at hsm\.members.*at authority\.root/);
  });
});
