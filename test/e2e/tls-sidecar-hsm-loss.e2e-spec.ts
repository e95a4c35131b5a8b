/** A sidecar whose HSM dies and comes back, while clients make handshakes without a pause. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { stringify } from 'yaml';
import { connectTls } from '../../libs/tls-offload/test/listen.js';
import { OpensslCa } from '../../libs/tls-offload/test/openssl-ca.js';
import { VirtualHsm } from '../chaos/virtual-hsm.js';
import { Application } from '../support/application.js';
import { eventually } from '../support/eventually.js';

const first = new VirtualHsm('tls');
// Another device with the same keys.
const second = new VirtualHsm(first);
const ca = new OpensslCa();
let upstream: Server;
let sidecar: Application;
const said = (): string => sidecar.output;

beforeAll(async () => {
  await ca.listen();
  upstream = createServer((socket) => socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
});
afterEach(() => sidecar.stop());
afterAll(async () => {
  upstream.close();
  await ca.stop();
  ca.remove();
  second.remove();
  first.remove();
});

/** @returns its port */
async function start(devices: readonly VirtualHsm[], tls: object): Promise<number> {
  const { url, tokenFile } = ca;
  const certificateFile = join(first.token.directory, 'sidecar.pem');
  const { port } = upstream.address() as AddressInfo;
  const file = join(first.token.directory, 'sidecar.yaml');
  writeFileSync(
    file,
    stringify({
      hsm: {
        name: 'tls',
        members: devices.map((device, index) => device.member({ name: `m${index + 1}` })),
        stateDirectory: join(first.token.directory, 'state'),
      },
      listeners: [{ listen: { port: 0 }, tls, l4: { upstream: { host: '127.0.0.1', port } } }],
      certificates: [{ ca: { url, tokenFile, dnsNames: ['localhost'], keyLabel: 'sidecar', certificateFile } }],
      admin: { port: 0 },
      drainSeconds: 0,
    }),
  );
  sidecar = new Application('tls-sidecar', file);
  const line = /TLS on 127\.0\.0\.1:(\d+)/;
  await sidecar.says(line);
  return Number(line.exec(sidecar.output)?.[1]);
}

class Clients {
  succeeded = 0;
  readonly failures: Error[] = [];
  #isOver = false;
  readonly #loops: Promise<void>[];

  constructor(port: number) {
    const trust = readFileSync(ca.rootFile);
    this.#loops = Array.from({ length: 4 }, async () => {
      while (!this.#isOver) {
        try {
          (await connectTls({ port, ca: trust })).destroy();
          this.succeeded++;
        } catch (error) {
          this.failures.push(error as Error);
          await pause(20);
        }
      }
    });
  }

  async more(count: number): Promise<void> {
    const wanted = this.succeeded + count;
    await eventually(() => this.succeeded >= wanted, said);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#loops);
  }
}

test('no handshake fails with two members, one killed and restarted after the other', async () => {
  const clients = new Clients(await start([first, second], {}));
  await clients.more(20);
  for (const device of [first, second]) {
    device.powerOff();
    await clients.more(40);
    device.powerOn();
    const back = sidecar.output.length;
    // Its agent is replaced and logs in.
    await eventually(() => /logged in to token/.test(sidecar.output.slice(back)), said);
    await clients.more(40);
  }
  await clients.stop();
  expect(clients.failures).toEqual([]);
  expect(sidecar.output.match(/agent lost/g)?.length).toBeGreaterThanOrEqual(2);
});

test('with one member handshakes fail while it is away, and no reload is needed when it is back', async () => {
  const clients = new Clients(await start([first], { handshakeTimeoutMilliseconds: 1_000 }));
  await clients.more(10);
  first.powerOff();
  await eventually(() => clients.failures.length > 4, said);
  first.powerOn();
  await clients.more(40);
  await clients.stop();
});
