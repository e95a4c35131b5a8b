/** A configuration that is read again while its application works, in processes of their own. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { HsmMemberConfig } from '@nest-hsm/hsm';
import { stringify } from 'yaml';
import { Application } from '../support/application.js';
import { CaHome, CaService } from '../support/ca-service.js';
import { eventually } from '../support/eventually.js';
import { childrenOf } from '../support/processes.js';
import { TestToken } from '../support/token.js';

describe('the CA app, while it issues certificates', () => {
  const home = new CaHome({ rateLimit: { requests: 1_000_000, seconds: 60 } });
  const member = (name: string): HsmMemberConfig => home.token.member({ name });
  const hsm = (...members: HsmMemberConfig[]) => ({ hsm: { ...home.token.config(), members } });
  const statuses: number[] = [];
  let isOver = false;
  let service: CaService;
  let callers: Promise<void>[];

  beforeAll(async () => {
    home.configure(hsm(member('m1')));
    service = await CaService.start(home);
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    const csr = readFileSync(home.opensslCsr('reload', newKey, ['-subj', '/CN=www.example.test']));
    callers = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const response = await service.post(csr, 'application/x-pem-file');
        statuses.push(response.status);
        await response.arrayBuffer();
      }
    });
  });
  afterAll(async () => {
    isOver = true;
    await Promise.all(callers);
    await service.stop();
    home.remove();
  });

  /** Waits for a line of the log that the reload writes. */
  async function reload(expected: RegExp): Promise<void> {
    const from = service.stdout.length;
    service.process.kill('SIGHUP');
    const said = () => service.stdout.slice(from);
    await eventually(() => expected.test(said()), said);
  }

  test('takes members in, drains them and lets them go, and no call fails', async () => {
    home.configure(hsm(member('m1'), member('m2')));
    await reload(/the members are m1, m2/);
    home.configure({ ...hsm(member('m3'), member('m2')), listen: { port: 1 } });
    await reload(/the members are m2, m3[^]*waiting for a restart: listen\.port/);
    // What was drained and let go is gone.
    expect(childrenOf(service.process.pid!)).toHaveLength(2);
    expect(await (await fetch(`${service.url}/metrics`)).text()).toMatch(/member="m3",state="serving"} 1/);
  });

  test.each<[string, () => void, RegExp]>([
    ['is no YAML', () => home.file('ca.yaml', 'hsm: [PIN: 12345678'), /not reloaded[^]*ca\.yaml:1:20: want YAML/],
    [
      'has faults',
      () => home.configure({ hsm: {}, listen: { port: -1 } }),
      /not reloaded[^]*listen\.port[^]*hsm\.name/,
    ],
    [
      'names no member that can be reached',
      () => home.configure(hsm(home.token.member({ name: 'm4', token: { label: 'another' } }))),
      /not reloaded[^]*another/,
    ],
  ])('keeps everything as it was when the configuration %s', async (_what, write, complaint) => {
    write();
    await reload(complaint);
    expect(service.stdout).not.toContain('12345678');
    expect(await (await fetch(`${service.url}/health`)).json()).toMatchObject({
      details: { 'hsm-ca': { status: 'up', members: { m2: 'serving', m3: 'serving' } } },
    });
  });

  test('with every call answered', async () => {
    const before = statuses.length;
    await eventually(() => statuses.length >= before + 8);
    expect(new Set(statuses)).toEqual(new Set([201]));
  });
});

describe.each<[string, object]>([
  ['records', { listen: { port: 0 }, kekLabel: 'kek', createKek: true }],
  [
    'tls-sidecar',
    { listeners: [{ listen: { port: 0 }, l4: { upstream: { host: '127.0.0.1', port: 1 } } }], admin: { port: 0 } },
  ],
])('the %s app', (name, sections) => {
  const token = new TestToken(name);
  let app: Application;

  afterEach(async () => {
    await app.stop();
    token.remove();
  });

  test('takes a member in on SIGHUP, and ends on SIGTERM', async () => {
    const file = `${token.directory}/app.yaml`;
    const configure = (...names: string[]): void => {
      const hsm = { ...token.config(), members: names.map((each) => token.member({ name: each })) };
      writeFileSync(file, stringify({ hsm, ...sections, ...filesOf(name, token) }));
    };
    configure('m1');
    app = new Application(name, file);
    await app.says(/(listening|admin) on http/);
    configure('m1', 'm2');
    app.process.kill('SIGHUP');
    await app.says(/the members are m1, m2/);
    expect(await app.stop()).toBe('SIGTERM');
  });
});

function filesOf(name: string, { directory, pinFile }: TestToken): object {
  if (name === 'records') return { database: { type: 'better-sqlite3', database: `${directory}/records.sqlite` } };
  // An issuer that is away is waited for.
  const ca = { url: 'http://127.0.0.1:1', dnsNames: ['localhost'], keyLabel: 'sidecar' };
  return { certificates: [{ ca: { ...ca, tokenFile: pinFile, certificateFile: `${directory}/sidecar.pem` } }] };
}
