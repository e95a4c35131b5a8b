/** Applications whose HSM is away when they start: they say so, wait for it, and nobody starts them again. */
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { stringify } from 'yaml';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { Application } from '../support/application.js';
import { freePort } from '../support/server-process.js';

const authority = {
  root: { label: 'root', subject: { commonName: 'Test Root CA' } },
  issuing: { label: 'issuing', subject: { commonName: 'Test Issuing CA' }, algorithm: 'ec-p256' },
  initialize: true,
};

describe.each<[string, (directory: string) => object]>([
  [
    'ca',
    (directory) => ({
      database: { type: 'better-sqlite3', database: `${directory}/ca.sqlite` },
      setupTokenFile: `${directory}/setup-token`,
      allowedNames: { dns: ['*.example.test'] },
      publicUrl: 'http://ca.example.test',
      authority,
    }),
  ],
  [
    'records',
    (directory) => ({
      kekLabel: 'kek',
      createKek: true,
      database: { type: 'better-sqlite3', database: `${directory}/records.sqlite` },
    }),
  ],
])('the %s app', (name, sections) => {
  let device: VirtualHsm;
  let app: Application;
  let url: string;

  beforeEach(async () => {
    device = new VirtualHsm(name);
    const { directory } = device.token;
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    writeFileSync(
      `${directory}/app.yaml`,
      stringify({ listen: { port }, hsm: device.config(), ...sections(directory) }),
    );
    // What it makes at its first start is there at the second.
    app = new Application(name, `${directory}/app.yaml`);
    await app.says(/listening on http/);
    await app.stop();
    device.powerOff();
    app = new Application(name, `${directory}/app.yaml`);
  });
  afterEach(async () => {
    await app.stop();
    device.remove();
  });

  test('answers 503 while it waits for it, and serves once it is there', async () => {
    const unready = await firstAnswer(`${url}/health`);
    expect([unready.status, unready.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await unready.json()).toMatchObject({ status: 'error', error: { start: { status: 'down' } } });
    expect((await fetch(`${url}/ready`)).status).toBe(503);
    const refused = await fetch(`${url}/v1/anything`, { method: 'POST', body: 'x' });
    expect([refused.status, refused.headers.get('content-type')]).toEqual([503, 'application/problem+json']);
    await app.says(/no agent: ERR_HSM_UNAVAILABLE/);
    // A reload, which may bring another HSM, is no end.
    for (const giveUpAt = performance.now() + 30_000; !app.output.includes('configuration read again');) {
      expect(performance.now()).toBeLessThan(giveUpAt);
      app.process.kill('SIGHUP');
      await pause(200);
    }

    device.powerOn();
    await app.says(/listening on http/);
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });
});

/** What is said there as soon as anybody listens. */
async function firstAnswer(url: string): Promise<Response> {
  for (const giveUpAt = performance.now() + 30_000; performance.now() < giveUpAt;) {
    const response = await fetch(url).catch(() => undefined);
    if (response !== undefined) return response;
    await pause(50);
  }
  throw new Error(`${url}: want an answer, got none`);
}
