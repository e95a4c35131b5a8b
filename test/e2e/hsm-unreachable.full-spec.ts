/** Applications whose HSM is away when they start: they wait for it, and nobody starts them again. */
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { stringify } from 'yaml';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { Application } from '../support/application.js';

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

  beforeEach(async () => {
    device = new VirtualHsm(name);
    const { directory } = device.token;
    writeFileSync(
      `${directory}/app.yaml`,
      stringify({ listen: { port: 0 }, hsm: device.config(), ...sections(directory) }),
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

  test('waits for it, and serves once it is there', async () => {
    await pause(2_000);
    expect([app.output, app.process.exitCode]).toEqual(['', null]);
    device.powerOn();
    await app.says(/listening on http/);
    const url = /listening on (http:\/\/[^"\s]+)/.exec(app.output)?.[1];
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });
});
