/** Floods of handshake signatures: what else a token is for keeps its share, in one process and through a shared agent. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type CallEvent, Hsm, type HsmError, type HsmKey, SharedAgent } from '@nest-hsm/hsm';
import { eventually } from '../support/eventually.js';
import { VirtualHsm } from '../chaos/virtual-hsm.js';

const digest = Buffer.alloc(32, 1);
const dataKey = Buffer.alloc(32, 2);
const sessions = 4;
const patient = { deadlineMilliseconds: 60_000 };

let device: VirtualHsm;
let hsm: Hsm;
let tlsKey: HsmKey;
let issuerKey: HsmKey;
let kek: HsmKey;
let envelope: Buffer;
const ended: CallEvent[] = [];

beforeAll(async () => {
  device = new VirtualHsm('classes');
  hsm = await Hsm.open(device.config({ sessions, queueLimit: 512 }), { callEnded: (call) => void ended.push(call) });
  tlsKey = await hsm.generateKeyPair({ label: 'tls', algorithm: 'ec-p256' });
  issuerKey = await hsm.generateKeyPair({ label: 'issuer', algorithm: 'ec-p256' });
  kek = await hsm.generateSecretKey({ label: 'kek', algorithm: 'aes-256', usage: 'encrypt' });
  envelope = await hsm.encrypt(kek, dataKey);
  device.delay('C_Sign', 5);
});
afterEach(() => device.unstrike('C_Sign'));
afterAll(async () => {
  await hsm.close();
  device.remove();
});

const unwrap = (through = hsm) => through.decrypt(kek, envelope, patient);
const issue = (through = hsm) => through.sign(issuerKey, 'ecdsa-sha256', digest, { ...patient, input: 'digest' });
const handshake = (through = hsm, key = tlsKey) =>
  through.sign(key, 'ecdsa-sha256', digest, { ...patient, input: 'digest', trafficClass: 'interactive' });

/** Signs handshakes, so many at once, until it is stopped. */
class Flood {
  signed = 0;
  #stopped = false;
  readonly #clients: Promise<void>[];

  constructor(count: number, sign: () => Promise<unknown> = () => handshake()) {
    this.#clients = Array.from({ length: count }, async () => {
      while (!this.#stopped) {
        await sign();
        this.signed++;
      }
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }
}

test('an unwrap and an issuance are next, however many handshakes wait, and the rest is theirs', async () => {
  const floods = Array.from({ length: 8 }, () => new Flood(30));
  await eventually(() => hsm.load.queuedByClass.interactive >= 200);
  const signed = () => floods.reduce((sum, flood) => sum + flood.signed, 0);
  const during = async (work: () => Promise<unknown>): Promise<number> => {
    const before = signed();
    await work();
    return signed() - before;
  };
  for (const work of [unwrap, issue, () => hsm.findKey({ label: 'tls' })]) {
    // Those on the token, and as many again while it is there itself.
    expect(await during(() => work())).toBeLessThanOrEqual(3 * sessions);
  }
  // One session of five, when handshakes want the others.
  const meanwhile = await during(() => Promise.all(Array.from({ length: 20 }, () => issue())));
  expect(meanwhile).toBeGreaterThanOrEqual(40);
  expect(meanwhile).toBeLessThanOrEqual(160);
  await Promise.all(floods.map((flood) => flood.stop()));
  expect(hsm.load).toMatchObject({ queued: 0, queuedByClass: { interactive: 0, issuance: 0 } });
});

test('a line that is full sheds its own class alone, and that is counted', async () => {
  device.freeze('C_Sign');
  const storm = Array.from({ length: 600 }, () => handshake());
  const outcomes = Promise.allSettled(storm);
  // Half of the line is for other keys.
  await eventually(() => hsm.load.queuedByClass.interactive === 257);
  const data = hsm.random(16, patient);
  const other = handshake(hsm, issuerKey);
  await eventually(() => hsm.load.queued === 259);
  device.unstrike('C_Sign');
  await Promise.all([data, other]);
  const shed = (await outcomes).filter(({ status }) => status === 'rejected');
  expect(shed).toHaveLength(600 - 257 - sessions);
  const codes = new Set(shed.map((outcome) => ((outcome as PromiseRejectedResult).reason as HsmError).code));
  expect(codes).toEqual(new Set(['ERR_HSM_OVERLOADED']));
  const told = ended.filter(({ attempts, code }) => attempts === 0 && code === 'ERR_HSM_OVERLOADED');
  expect(told).toHaveLength(shed.length);
  expect(new Set(told.map(({ trafficClass }) => trafficClass))).toEqual(new Set(['interactive']));
});

test('a frozen HSM delays nobody whose key is elsewhere, and takes no place from them', async () => {
  const elsewhere = new VirtualHsm('elsewhere');
  const own = await Hsm.open(elsewhere.config());
  const key = await own.generateKeyPair({ label: 'own', algorithm: 'ec-p256' });
  await own.close();
  const members = [device.member({ name: 'frozen' }), elsewhere.member({ name: 'sound' })];
  const both = await Hsm.open({ ...device.config({ quorum: 1, queueLimit: 64, hangMilliseconds: 60_000 }), members });
  try {
    await eventually(() => both.members.every(({ state }) => state === 'serving'));
    device.freeze();
    const stuck = Promise.allSettled(Array.from({ length: 200 }, () => handshake(both)));
    // The other member has said by then that it lacks the key.
    await eventually(() => both.load.queued >= 32 && both.members[1].inFlight === 0);
    for (let round = 0; round < 5; round++) {
      const signatures = Array.from({ length: 20 }, () => handshake(both, key));
      expect(await Promise.all(signatures)).toHaveLength(20);
    }
    expect(both.members[0].inFlight).toBe(16);
    device.thaw();
    const served = (await stuck).filter(({ status }) => status === 'fulfilled');
    expect(served.length).toBeGreaterThanOrEqual(48);
  } finally {
    device.thaw();
    await both.close();
    elsewhere.remove();
  }
});

test('the handshakes of one process leave the unwraps of another their share of an agent that both use', async () => {
  const directory = join(device.token.directory, 'run', 'all');
  mkdirSync(join(device.token.directory, 'run'));
  const { name: _, ...token } = device.member({ sessions: 2 });
  const agent = await SharedAgent.start({
    ...token,
    stateDirectory: join(device.token.directory, 'agent'),
    roles: [{ name: 'all', directory, policy: [{ label: '*', operations: ['find', 'sign', 'decrypt'] }] }],
  });
  const socket = join(directory, 'agent.sock');
  const open = () => Hsm.open({ name: 'client', members: [{ name: 'shared', socket, sessions: 60 }] });
  const [one, other] = await Promise.all([open(), open()]);
  try {
    const floods = [new Flood(60, () => handshake(one)), new Flood(58, () => handshake(other))];
    await eventually(() => one.load.inFlight === 60 && other.load.inFlight === 58);
    const before = floods[0].signed + floods[1].signed;
    for (let each = 0; each < 5; each++) await unwrap(other);
    // In the order of their coming it would be a hundred for each.
    expect(floods[0].signed + floods[1].signed - before).toBeLessThanOrEqual(5 * 8);
    await Promise.all(floods.map((flood) => flood.stop()));

    // Nor does a probe wait for what its own process signs besides.
    const issuing = [one, other].map((through) => new Flood(58, () => issue(through)));
    await eventually(() => one.load.inFlight >= 58 && other.load.inFlight >= 58);
    const beforeProbe = issuing[0].signed + issuing[1].signed;
    await other.probe();
    expect(issuing[0].signed + issuing[1].signed - beforeProbe).toBeLessThanOrEqual(2 * 8);
    await Promise.all(issuing.map((flood) => flood.stop()));
  } finally {
    await Promise.all([one.close(), other.close()]);
    await agent.close();
  }
});
