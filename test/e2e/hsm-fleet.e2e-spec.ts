/**
 * What a fleet does beside surviving (hsm-fleet-survival.e2e-spec.ts): it starts with members away, takes them in and lets them
 * go, and sends each call where it can be served. With virtual HSMs that hold the same keys, as devices that replicate do.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Hsm, type HsmConfig, type HsmError, HsmHealthIndicator, type HsmKey, type KeyId } from '@nest-hsm/hsm';
import { signDuring } from '../chaos/signers.js';
import { signMilliseconds, VirtualFleet } from '../chaos/virtual-fleet.js';
import { eventually } from '../support/eventually.js';
import type { VirtualHsm } from '../chaos/virtual-hsm.js';
import { childrenOf } from '../support/processes.js';

const message = Buffer.from('to be signed by a fleet');
const callers = 16;

let virtual: VirtualFleet;
let devices: readonly VirtualHsm[];
let hsm: Hsm;
let ec: HsmKey;

beforeAll(() => {
  virtual = new VirtualFleet('fleet', 3);
  ({ devices } = virtual);
});
afterAll(() => {
  virtual.remove();
  expect(childrenOf(process.pid)).toEqual([]);
});

beforeEach(async () => {
  hsm = await Hsm.open(fleet(2));
  await settled(2);
  const [found] = await hsm.listKeys({ label: 'ec' });
  ec = found ?? (await hsm.generateKeyPair({ label: 'ec', algorithm: 'ec-p256' }));
});
afterEach(async () => {
  for (const device of devices) {
    device.heal();
    device.thaw();
    device.powerOn();
    device.delay('C_Sign', signMilliseconds);
  }
  await hsm.close();
});

function fleet(members: number, overrides: Partial<HsmConfig> = {}, vendor?: 'softhsm'): HsmConfig {
  const config = virtual.config(overrides, vendor);
  return { ...config, members: config.members.slice(0, members) };
}

const states = () => hsm.members.map(({ state }) => state);

/** Until so many members serve. */
function settled(serving: number): Promise<void> {
  return eventually(() => states().filter((state) => state === 'serving').length >= serving);
}

it('goes on with the last member when the others are away, and waits when all are', async () => {
  await hsm.close();
  hsm = await Hsm.open(fleet(3));
  devices[0].powerOff();
  devices[1].powerOff();
  const { failed } = await signDuring(hsm, ec, () => pause(500));
  expect(failed).toEqual([]);
  devices[2].powerOff();
  await expect(hsm.sign(ec, 'ecdsa-sha256', message, { deadlineMilliseconds: 300 })).rejects.toMatchObject({
    code: expect.stringMatching(/^ERR_HSM_(TIMEOUT|UNAVAILABLE)$/),
    retryable: true,
  });
  const waiting = hsm.sign(ec, 'ecdsa-sha256', message, { deadlineMilliseconds: 20_000 });
  devices[2].powerOn();
  await expect(waiting).resolves.toBeInstanceOf(Buffer);
});

it('starts with a member away, and takes it in when it is back', async () => {
  await hsm.close();
  devices[1].powerOff();
  hsm = await Hsm.open(fleet(2));
  expect(await hsm.findKey({ label: 'ec' })).toMatchObject({ id: ec.id, members: ['m1'] });
  expect(await hsm.sign(ec, 'ecdsa-sha256', message)).toBeInstanceOf(Buffer);
  while (hsm.members[1].trouble === undefined) await pause(20);
  expect(hsm.members[1]).toMatchObject({ state: 'starting', trouble: { code: 'ERR_HSM_UNAVAILABLE' } });
  devices[1].powerOn();
  await settled(2);
  expect(await hsm.findKey({ label: 'ec' })).toMatchObject({ members: ['m1', 'm2'] });
});

it('starts with no member up: not ready, and ready by itself when one is', async () => {
  await hsm.close();
  for (const device of devices) device.powerOff();
  hsm = await Hsm.open(fleet(2));
  const health = async () => Object.values(await new HsmHealthIndicator(hsm).isHealthy())[0].status;
  expect(await health()).toBe('down');
  const waiting = hsm.sign(ec, 'ecdsa-sha256', message, { deadlineMilliseconds: 30_000 });
  devices[1].powerOn();
  await expect(waiting).resolves.toBeInstanceOf(Buffer);
  await settled(1);
  expect(await health()).toBe('degraded');
  devices[0].powerOn();
  await settled(2);
  expect(await health()).toBe('up');
});

it('sheds a storm of callers at the queue at once, and serves those that it took', async () => {
  await hsm.close();
  const queueLimit = 100;
  hsm = await Hsm.open(fleet(2, { queueLimit, deadlineMilliseconds: 30_000 }));
  await settled(2);
  const storm = Array.from({ length: 2_000 }, () =>
    hsm.sign(ec, 'ecdsa-sha256', message).then(
      () => 'signed',
      ({ code, retryable }: HsmError) => `${code} ${retryable}`,
    ),
  );
  const outcomes = await Promise.all(storm);
  const signed = outcomes.filter((each) => each === 'signed').length;
  // Those in the queue, of which one key takes as many places as it leaves free, and those that went to the 16 sessions of each
  // member; a probe may be on one, and while that takes long its member is asked for nothing else.
  expect(signed).toBeGreaterThanOrEqual(queueLimit / 2 + 15);
  expect(signed).toBeLessThanOrEqual(queueLimit / 2 + 1 + 2 * 16);
  expect(new Set(outcomes)).toEqual(new Set(['signed', 'ERR_HSM_OVERLOADED true']));
  expect(await hsm.sign(ec, 'ecdsa-sha256', message)).toBeInstanceOf(Buffer);
});

it('takes no notice of a clock that jumps', async () => {
  const now = Date.now.bind(Date);
  const losses: string[] = [];
  await hsm.close();
  hsm = await Hsm.open(fleet(2), { agentLost: (reason) => void losses.push(reason.message) });
  await settled(2);
  try {
    const { failed } = await signDuring(hsm, ec, async () => {
      for (const hours of [24, -24, 0, 8_760]) {
        Date.now = () => now() + hours * 3_600_000;
        await pause(100);
      }
    });
    expect([failed, losses]).toEqual([[], []]);
  } finally {
    Date.now = now;
  }
});

it('starts with a member whose PIN is refused, without a second attempt', async () => {
  await hsm.close();
  const config = fleet(2);
  const wrong = { command: ['/bin/echo', '00000000'] };
  hsm = await Hsm.open({ ...config, members: [{ ...config.members[0], pin: wrong }, config.members[1]] });
  while (hsm.members[0].state === 'starting') await pause(20);
  const logins = devices[0].calls('C_Login');
  const { failed } = await signDuring(hsm, ec, () => pause(300));
  expect(failed).toEqual([]);
  expect(hsm.members).toMatchObject([
    { state: 'refused', trouble: { code: 'ERR_HSM_PIN_INCORRECT' } },
    { state: 'serving' },
  ]);
  expect(devices[0].calls('C_Login')).toBe(logins);
});

it('takes members in and lets them go while callers sign', async () => {
  const [first, second, third] = fleet(3).members;
  const names = () => hsm.members.map(({ name }) => name);
  const { failed } = await signDuring(hsm, ec, async () => {
    for (const members of [[first, second, third], [third], [third, second], [second, first]]) {
      await hsm.setMembers(members);
      expect(names().toSorted()).toEqual(members.map(({ name }) => name).toSorted());
      await pause(100);
    }
  });
  expect(failed).toEqual([]);
  await expect(hsm.setMembers([second, second])).rejects.toMatchObject({ code: 'ERR_HSM_CONFIG_INVALID' });
  await expect(hsm.setMembers([])).rejects.toMatchObject({ code: 'ERR_HSM_CONFIG_INVALID' });
  expect(names().toSorted()).toEqual(['m1', 'm2']);
});

it('takes a member anew whose settings have changed', async () => {
  const [first, second] = fleet(2).members;
  const { failed } = await signDuring(hsm, ec, () => hsm.setMembers([{ ...first, sessions: 3 }, second]));
  expect(failed).toEqual([]);
  await settled(2);
});

it('sends no call that waits for its key to a member without it', async () => {
  devices[0].fail('C_FindObjectsInit', 'CKR_GENERAL_ERROR');
  const { failed } = await signDuring(hsm, ec, () => pause(300));
  expect(failed).toEqual([]);
});

it('makes every other operation on another member too', async () => {
  await hsm.close();
  hsm = await Hsm.open(fleet(2, {}, 'softhsm'));
  await settled(2);
  const kek = await hsm.generateSecretKey({ label: 'kek', algorithm: 'aes-256', usage: 'encrypt' });
  const envelope = await hsm.encrypt(kek, message);
  devices[0].fail('C_Decrypt', 'CKR_GENERAL_ERROR');
  devices[1].fail('C_Encrypt', 'CKR_GENERAL_ERROR');
  for (let turn = 0; turn < 6; turn++) {
    expect(await hsm.decrypt(kek, envelope)).toEqual(message);
    expect(await hsm.encrypt(kek, message)).toBeInstanceOf(Buffer);
  }
  // What is wrong with the call itself is wrong on every member.
  await expect(hsm.decrypt(kek, Buffer.alloc(40))).rejects.toMatchObject({ code: 'ERR_HSM_DECRYPTION_FAILED' });
});

describe('a call that no member can serve now', () => {
  const absent = () => ({ ...ec, id: '0'.repeat(32) as KeyId });

  it('is refused for what it is, again and again, and holds up no other', async () => {
    await hsm.close();
    devices[1].powerOff();
    hsm = await Hsm.open(fleet(2));
    const waits = Array.from({ length: 3 }, () =>
      hsm
        .sign(absent(), 'ecdsa-sha256', message, { deadlineMilliseconds: 1_000 })
        .catch((error: HsmError) => error.code),
    );
    const { failed, signed } = await signDuring(hsm, ec, () => pause(600));
    expect(failed).toEqual([]);
    expect(signed).toBeGreaterThan(callers);
    // The other member might have it, so it is waited for; then the caller is told what the first one said.
    expect(await Promise.all(waits)).toEqual(Array(3).fill('ERR_HSM_KEY_NOT_FOUND'));
    devices[1].powerOn();
    await settled(2);
    for (let turn = 0; turn < 3; turn++) {
      await expect(hsm.sign(absent(), 'ecdsa-sha256', message)).rejects.toMatchObject({
        code: 'ERR_HSM_KEY_NOT_FOUND',
      });
    }
  });

  it('is refused at once when the member that might is refused itself', async () => {
    await hsm.close();
    const config = fleet(2);
    const wrong = { command: ['/bin/echo', '00000000'] };
    hsm = await Hsm.open({ ...config, members: [config.members[0], { ...config.members[1], pin: wrong }] });
    while (hsm.members[1].state === 'starting') await pause(20);
    await expect(hsm.sign(absent(), 'ecdsa-sha256', message)).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
    await expect(hsm.mac(ec, message)).rejects.toMatchObject({ code: 'ERR_HSM_ARGUMENT_INVALID' });
  });
});

it('keeps its members when none of the new ones can be reached, and makes one change after the other', async () => {
  const [first, second] = fleet(2).members;
  const gone = devices[2].member({ name: 'gone', token: { label: 'gone' } });
  const { failed } = await signDuring(hsm, ec, async () => {
    await expect(hsm.setMembers([gone])).rejects.toMatchObject({ code: 'ERR_HSM_TOKEN_NOT_FOUND' });
    await Promise.all([hsm.setMembers([second]), hsm.setMembers([first]), hsm.setMembers([first, second])]);
  });
  expect(failed).toEqual([]);
  expect(hsm.members.map(({ name }) => name).toSorted()).toEqual(['m1', 'm2']);
});

it.each([
  ['a call of an application', 'tls', true],
  ['no call with a key of an issuer', 'ca', false],
])('makes %s on a second member too when the first takes long', async (_what, name, isHedged) => {
  await hsm.close();
  let hedged = 0;
  hsm = await Hsm.open(fleet(2, { name }), { callHedged: () => hedged++ });
  await settled(2);
  for (const device of devices) device.delay('C_Sign', 300);
  await hsm.sign(ec, 'ecdsa-sha256', message, { hedge: true, deadlineMilliseconds: 30_000 });
  expect(hedged > 0).toBe(isHedged);
});

it('probes its members whatever the policy allows the application', async () => {
  await hsm.close();
  hsm = await Hsm.open(fleet(2, { policy: [{ label: 'ec', operations: ['sign', 'find'] }] }));
  await settled(2);
  const before = devices[0].calls('C_Sign') + devices[1].calls('C_Sign');
  await hsm.probe();
  expect(devices[0].calls('C_Sign') + devices[1].calls('C_Sign')).toBeGreaterThan(before);
});

it('does not use a key that too few members have', async () => {
  await hsm.close();
  hsm = await Hsm.open(fleet(2, { quorum: 3 }));
  await settled(2);
  await expect(
    hsm.generateKeyPair({ label: 'lonely', algorithm: 'ec-p256' }, { deadlineMilliseconds: 1_500 }),
  ).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_REPLICATED', retryable: true });
});

it('destroys a key on every member, and goes on by itself with one that was away', async () => {
  const key = await hsm.generateSecretKey({ label: 'doomed', algorithm: 'hmac-sha256', usage: 'mac' });
  expect(key.members).toEqual(['m1', 'm2']);
  devices[1].powerOff();
  const { receipt } = await hsm.destroyKey(key, { deadlineMilliseconds: 500 });
  expect(receipt).toMatchObject({ state: 'pending', members: [{ state: 'destroyed' }, { state: 'unreachable' }] });
  await expect(hsm.mac(key, message)).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
  devices[1].powerOn();
  await settled(2);
  const states = async () => (await hsm.receipts()).filter((each) => each.receipt.key.id === key.id);
  while ((await states()).at(-1)?.receipt.state !== 'destroyed') await pause(100);
  await expect(hsm.findKey({ id: key.id })).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
});
