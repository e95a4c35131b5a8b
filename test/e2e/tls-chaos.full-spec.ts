/** Handshakes while HSMs misbehave: what clients see of it is time, and of a token that is alone and frozen its own alert. */
import { readFileSync } from 'node:fs';
import { connect, type TLSSocket } from 'node:tls';
import { Hsm } from '@nest-hsm/hsm';
import { Credential, TlsTerminator } from '@nest-hsm/tls-offload';
import { connectTls, eventually, listen, readAll } from '../../libs/tls-offload/test/listen.js';
import { OpensslCa } from '../../libs/tls-offload/test/openssl-ca.js';
import { makeCertificateRequest } from '../../libs/tls-offload/src/credential-source/certificate-request.js';

import { VirtualFleet } from '../chaos/virtual-fleet.js';
import { VirtualHsm } from '../chaos/virtual-hsm.js';

const ca = new OpensslCa();
const trusted = readFileSync(ca.rootFile, 'utf8');
let fleet: VirtualFleet;
let alone: VirtualHsm;
let two: Hsm;
let one: Hsm;

beforeAll(async () => {
  fleet = new VirtualFleet('tls', 2);
  alone = new VirtualHsm('tls-alone');
  [two, one] = await Promise.all([Hsm.open(fleet.config()), Hsm.open(alone.config({ hangMilliseconds: 500 }))]);
});
afterAll(async () => {
  alone.thaw();
  await Promise.all([two.close(), one.close()]);
  fleet.remove();
  alone.remove();
  ca.remove();
});

async function credentialFrom(hsm: Hsm, name: string): Promise<Credential> {
  const key = await hsm.generateKeyPair({ label: name, algorithm: 'ec-p256' });
  const request = await makeCertificateRequest(hsm, key, { dnsNames: [name], ipAddresses: [] });
  return Credential.fromPem(ca.issue(request), key, hsm);
}

/** In order: a client that breaks off right after its last message may take that with it. */
async function leave(client: TLSSocket): Promise<void> {
  client.end();
  await readAll(client);
}

it('a member that freezes, and one that is killed, cost waiting handshakes time and nothing else', async () => {
  const credential = await credentialFrom(two, 'fleet.example');
  const terminator = new TlsTerminator({ credentials: [credential], handshakeTimeoutMilliseconds: 60_000 });
  await using listener = await listen(terminator, (socket) => void socket.pipe(socket));
  const handshakes = () =>
    Promise.all(
      Array.from({ length: 8 }, () => connectTls({ port: listener.port, ca: trusted, servername: 'fleet.example' })),
    );
  const [first] = fleet.devices;

  first.freeze('C_Sign');
  for (const client of await handshakes()) await leave(client);
  first.unstrike('C_Sign');

  await eventually(() => two.members.every(({ state }) => state === 'serving'));
  for (const device of fleet.devices) device.delay('C_Sign', 300);
  const waiting = handshakes();
  await eventually(() => terminator.statistics.signatures['fleet.example'].pending === 8);
  for (const pid of first.agents) process.kill(pid, 'SIGKILL');
  for (const client of await waiting) await leave(client);
  for (const device of fleet.devices) device.delay('C_Sign', 0);

  expect(terminator.statistics.failed).toEqual({});
  expect(terminator.statistics.completed).toEqual({ 'TLSv1.3': 16 });
});

it.each([
  ['its key', { pendingSignatureLimit: 3 }, 'ERR_TLS_OFFLOAD_SIGNATURES_SATURATED'],
  ['their source', { sourceLimits: { handshakesAtOnce: 3 } }, 'ERR_TLS_OFFLOAD_SOURCE_LIMITED'],
] as const)('clients that leave at once put no more on a slow token than %s may', async (_, limits, code) => {
  const label = `left.${code.length}.example`;
  const hsm = await Hsm.open(alone.config({ hangMilliseconds: 60_000 }));
  const credential = await credentialFrom(hsm, label);
  const terminator = new TlsTerminator({ credentials: [credential], ...limits });
  const visit = () => connectTls({ port: listener.port, ca: trusted, servername: label });
  await using listener = await listen(terminator, (socket) => void socket.pipe(socket));
  const before = alone.calls('C_Sign');
  try {
    alone.freeze('C_Sign');
    for (let client = 1; client <= 12; client++) {
      const socket = connect({ port: listener.port, host: '127.0.0.1', servername: label, ca: trusted });
      socket.on('error', () => undefined);
      await eventually(
        () => terminator.statistics.signatures[label].pending === client || listener.failures.length >= client,
      );
      socket.destroy();
      await eventually(() => listener.failures.length === client);
    }
    expect(alone.calls('C_Sign') - before).toBe(3);
    expect(listener.failures.filter((failure) => failure.code === code)).toHaveLength(9);
    expect(terminator.statistics).toMatchObject({
      handshaking: 0,
      signatures: { [label]: { pending: 3, cancelled: 3 } },
    });

    alone.unstrike('C_Sign');
    await eventually(() => terminator.statistics.signatures[label].pending === 0);
    await leave(await visit());
    expect(alone.calls('C_Sign') - before).toBe(4);
  } finally {
    alone.unstrike('C_Sign');
    await hsm.close();
  }
});

it('a frozen token delays nobody whose key is elsewhere, and its alert touches no other connection', async () => {
  const frozen = await credentialFrom(one, 'alone.example');
  const other = await credentialFrom(two, 'other.example');
  const terminator = new TlsTerminator({
    credentials: [other],
    serverNames: { 'alone.example': [frozen] },
    handshakeTimeoutMilliseconds: 4_000,
  });
  await using listener = await listen(terminator, (socket) => void socket.pipe(socket));
  const visit = (servername: string) => connectTls({ port: listener.port, ca: trusted, servername });
  const open = await visit('alone.example');

  alone.freeze();
  const stuck = Promise.allSettled(Array.from({ length: 4 }, () => visit('alone.example')));
  await eventually(() => terminator.statistics.signatures['alone.example'].pending === 4);
  for (let round = 0; round < 10; round++) await leave(await visit('other.example'));
  expect(terminator.statistics.signatures['alone.example'].pending).toBe(4);

  for (const outcome of await stuck) {
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { message: expect.stringMatching(/alert number 80/) },
    });
  }
  expect(listener.failures.every(({ fault }) => fault === 'token')).toBe(true);
  open.end('still here');
  expect((await readAll(open)).toString()).toBe('still here');

  alone.thaw();
  let served = false;
  for (const deadline = Date.now() + 60_000; !served && Date.now() < deadline;) {
    served = await visit('alone.example').then(
      (client) => Boolean(client.destroy()),
      () => false,
    );
  }
  expect(served).toBe(true);
});
