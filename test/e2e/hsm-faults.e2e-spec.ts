/**
 * Faults at the PKCS#11 boundary, injected by the virtual HSM. The promise under test: a retry-safe call is answered within its
 * deadline whenever the token still can; anything else is one typed error; and the next call finds a sound provider.
 */
import { randomBytes, verify } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Hsm, HsmError, type HsmKey } from '@nest-hsm/hsm';
import type { SteerableFunction } from '../chaos/control-file.js';
import type { ReturnValue } from '../chaos/return-values.js';
import { type Strikes, VirtualHsm } from '../chaos/virtual-hsm.js';
import { auditRecords } from '../support/audit-records.js';
import { childrenOf } from '../support/processes.js';
import type { Overrides } from '../support/token.js';

let device: VirtualHsm;
let hsm: Hsm;
let ec: HsmKey;
let rsa: HsmKey;
let kek: HsmKey;

beforeAll(async () => {
  device = new VirtualHsm('faults');
  await open();
  ec = await hsm.generateKeyPair({ label: 'ec', algorithm: 'ec-p256' });
  rsa = await hsm.generateKeyPair({ label: 'rsa', algorithm: 'rsa-2048' });
  kek = await hsm.generateSecretKey({ label: 'kek', algorithm: 'aes-256', usage: 'encrypt' });
});
afterAll(async () => {
  await hsm.close();
  device.remove();
});

// One provider for all tests that want it no other way: each finds it as the fault before has left it.
afterEach(async () => {
  device.thaw();
  device.heal();
  await expectSound();
});

async function open(overrides: Overrides = {}): Promise<void> {
  hsm = await Hsm.open(device.config({ hangMilliseconds: 400, ...overrides }));
}

/** With a new agent, which has no session yet. */
async function reopen(overrides: Overrides = {}): Promise<void> {
  await hsm.close();
  await open(overrides);
}

/** The tests of a `describe` share a provider that is opened this way. */
function opened(overrides: Overrides): void {
  beforeAll(() => reopen(overrides));
  afterAll(() => reopen());
}

const message = Buffer.from('a message');
const sign = (options = {}) => hsm.sign(ec, 'ecdsa-sha256', message, { deadlineMilliseconds: 15_000, ...options });
const isValid = (signature: Buffer) => verify('sha256', message, ec.publicKey ?? '', signature);

/** Whatever a fault did to sessions, login and agent, every operation works again. */
async function expectSound(): Promise<void> {
  expect(isValid(await sign())).toBe(true);
  const data = randomBytes(32);
  expect(await hsm.decrypt(kek, await hsm.encrypt(kek, data))).toEqual(data);
}

/** A fault that nothing ran into would prove nothing. */
async function expectCalled(name: SteerableFunction, work: () => Promise<void>): Promise<void> {
  const before = device.calls(name);
  await work();
  expect(device.calls(name)).toBeGreaterThan(before);
}

test('each try with an issuer’s key is in the trail, with its intent and its result', async () => {
  const directory = join(device.token.directory, 'audit');
  await reopen({ name: 'ca', audit: { directory } });
  device.fail('C_Sign', 'CKR_SESSION_HANDLE_INVALID', { times: 1 });
  expect(isValid(await sign({ correlationId: 'order-7' }))).toBe(true);
  await hsm.close();
  const ours = (await auditRecords(directory)).filter(({ correlationId }) => correlationId === 'order-7');
  const [first, failed, second, done] = ours;
  expect(ours.map(({ kind, result, intent }) => [kind, result, intent])).toEqual([
    ['intent', undefined, undefined],
    ['result', 'ERR_HSM_UNAVAILABLE', first.seq],
    ['intent', undefined, undefined],
    ['result', 'ok', second.seq],
  ]);
  expect(failed).toMatchObject({ returnValue: 'CKR_SESSION_HANDLE_INVALID', digest: done.digest });
  await open();
});

describe('one bad return value, and a retry-safe call is still answered', () => {
  test.each<[string, SteerableFunction, ReturnValue]>([
    ['session dead', 'C_SignInit', 'CKR_SESSION_HANDLE_INVALID'],
    ['session dead', 'C_Sign', 'CKR_SESSION_CLOSED'],
    ['session poisoned', 'C_SignInit', 'CKR_OPERATION_ACTIVE'],
    ['session forgot its operation', 'C_Sign', 'CKR_OPERATION_NOT_INITIALIZED'],
    ['login lost', 'C_SignInit', 'CKR_USER_NOT_LOGGED_IN'],
    ['login lost, as SoftHSM says it', 'C_SignInit', 'CKR_OBJECT_HANDLE_INVALID'],
    ['login lost, as others say it', 'C_SignInit', 'CKR_KEY_HANDLE_INVALID'],
    ['device error', 'C_Sign', 'CKR_DEVICE_ERROR'],
    ['device error', 'C_SignInit', 'CKR_DEVICE_ERROR'],
    ['device removed', 'C_Sign', 'CKR_DEVICE_REMOVED'],
    ['token not present', 'C_Sign', 'CKR_TOKEN_NOT_PRESENT'],
    ['module not initialised', 'C_Sign', 'CKR_CRYPTOKI_NOT_INITIALIZED'],
    ['sessions run out', 'C_OpenSession', 'CKR_SESSION_COUNT'],
  ])('%s: %s returns %s', async (_name, name, returnValue) => {
    if (name === 'C_OpenSession') await reopen();
    await sign();
    device.fail(name, returnValue, { times: 1 });
    await expectCalled(name, async () => {
      const calls = Array.from({ length: 16 }, () => sign());
      expect((await Promise.all(calls)).map(isValid)).toEqual(Array(16).fill(true));
    });
  });

  test.each<[SteerableFunction, () => Promise<unknown>]>([
    ['C_Encrypt', () => hsm.encrypt(kek, message)],
    ['C_GenerateRandom', () => hsm.random(16)],
    ['C_FindObjects', () => hsm.listKeys()],
    ['C_FindObjectsInit', () => hsm.listKeys()],
    ['C_GetAttributeValue', () => hsm.findKey({ id: ec.id })],
  ])('CKR_DEVICE_ERROR from %s', async (name, call) => {
    device.fail(name, 'CKR_DEVICE_ERROR', { times: 1 });
    await expectCalled(name, () => expect(call()).resolves.toBeDefined());
  });
});

describe('a return value that no retry mends is one typed error', () => {
  test.each<[ReturnValue, string, string, boolean]>([
    ['CKR_GENERAL_ERROR', 'CKR_GENERAL_ERROR', 'ERR_HSM_TOKEN_ERROR', false],
    [0x8000_0063, 'CKR_0x80000063', 'ERR_HSM_TOKEN_ERROR', false],
    ['CKR_FUNCTION_FAILED', 'CKR_FUNCTION_FAILED', 'ERR_HSM_TOKEN_ERROR', false],
    ['CKR_KEY_FUNCTION_NOT_PERMITTED', 'CKR_KEY_FUNCTION_NOT_PERMITTED', 'ERR_HSM_TOKEN_ERROR', false],
    ['CKR_DATA_LEN_RANGE', 'CKR_DATA_LEN_RANGE', 'ERR_HSM_TOKEN_ERROR', false],
    ['CKR_MECHANISM_INVALID', 'CKR_MECHANISM_INVALID', 'ERR_HSM_MECHANISM_UNSUPPORTED', false],
    ['CKR_HOST_MEMORY', 'CKR_HOST_MEMORY', 'ERR_HSM_TOKEN_FULL', true],
  ])('%s', async (injected, returnValue, code, retryable) => {
    device.fail('C_Sign', injected, { times: 1 });
    const expected = { name: 'HsmError', code, returnValue, pkcs11Function: 'C_Sign', retryable, member: 'faults' };
    await expect(sign()).rejects.toMatchObject(expected);
  });

  test('no session at all is ERR_HSM_TOKEN_FULL', async () => {
    await reopen();
    device.fail('C_OpenSession', 'CKR_SESSION_COUNT');
    await expect(sign()).rejects.toMatchObject({ code: 'ERR_HSM_TOKEN_FULL', retryable: true });
  });
});

describe('a session on which an operation failed half-way is never used again', () => {
  opened({ sessions: 1 });

  test.each<[SteerableFunction, () => Promise<unknown>]>([
    ['C_Sign', () => sign()],
    ['C_Encrypt', () => hsm.encrypt(kek, message)],
    ['C_Decrypt', async () => hsm.decrypt(kek, await hsm.encrypt(kek, message))],
    ['C_FindObjects', () => hsm.listKeys()],
  ])('%s', async (name, call) => {
    device.fail(name, 0x8000_0001, { times: 1 });
    await expect(call()).rejects.toMatchObject({ name: 'HsmError' });
    for (let turn = 0; turn < 3; turn++) await expect(call()).resolves.toBeDefined();
  });
});

describe('throttled, as CloudHSM says it (CKR_FUNCTION_FAILED)', () => {
  test('for a moment: the call is made again', async () => {
    await reopen({ vendor: 'cloudhsm' });
    device.fail('C_Sign', 'CKR_FUNCTION_FAILED', { times: 2 });
    expect(isValid(await sign())).toBe(true);
    await reopen();
  });

  test('for longer: ERR_HSM_THROTTLED after at most three tries', async () => {
    await reopen({ vendor: 'cloudhsm' });
    await sign();
    const before = device.calls('C_Sign');
    device.fail('C_Sign', 'CKR_FUNCTION_FAILED');
    await expect(sign()).rejects.toMatchObject({ code: 'ERR_HSM_THROTTLED', retryable: true });
    expect(device.calls('C_Sign') - before).toBeLessThanOrEqual(3);
    await reopen();
  });
});

describe('a hung function ends with its agent, not with the caller', () => {
  test.each<SteerableFunction>(['C_SignInit', 'C_Sign', 'C_OpenSession', 'C_FindObjects'])('%s, once', async (name) => {
    // One that has the key and a session calls only the other two.
    if (name === 'C_OpenSession' || name === 'C_FindObjects') await reopen();
    device.freeze(name, { times: 1 });
    await expectCalled(name, async () => {
      const calls = Array.from({ length: 16 }, () => sign());
      expect((await Promise.all(calls)).map(isValid)).toEqual(Array(16).fill(true));
    });
  });

  test('other operations are held up no longer than it takes to notice', async () => {
    device.freeze('C_Encrypt', { times: 1 });
    const hung = hsm.encrypt(kek, message);
    const others = await Promise.all(Array.from({ length: 20 }, () => sign()));
    expect(others.map(isValid)).toEqual(Array(20).fill(true));
    await expect(hung).resolves.toBeInstanceOf(Buffer);
  });

  test.each<[string, () => void]>([
    ['C_Sign, for good', () => device.freeze('C_Sign')],
    ['the whole device, for good', () => device.freeze()],
  ])('%s: a typed error by the deadline', async (_name, freeze) => {
    freeze();
    const start = performance.now();
    const error = await failure(sign({ deadlineMilliseconds: 2_500 }));
    expect(['ERR_HSM_TIMEOUT', 'ERR_HSM_UNAVAILABLE']).toContain(error.code);
    expect(error.retryable).toBe(true);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  test('a frozen device that thaws is served again without anybody’s help', async () => {
    device.freeze();
    const call = sign();
    await pause(1_500);
    device.thaw();
    expect(isValid(await call)).toBe(true);
  });
});

describe('a slow device is not a hung one', () => {
  afterAll(() => reopen());

  test.each<[string, Overrides, number, number]>([
    ['each call just below the limit', { sessions: 16 }, 250, 32],
    ['many calls waiting for few sessions, far beyond the limit together', { sessions: 2 }, 50, 64],
  ])('%s', async (_name, overrides, milliseconds, count) => {
    await reopen({ hangMilliseconds: 800, ...overrides });
    await sign();
    const agents = childrenOf(process.pid);
    device.delay('C_Sign', milliseconds);
    const calls = Array.from({ length: count }, () => sign());
    expect((await Promise.all(calls)).map(isValid)).toEqual(Array(count).fill(true));
    expect(childrenOf(process.pid)).toEqual(agents);
  });
});

describe('the vendor’s library crashes', () => {
  // An agent that a busy machine keeps waiting must not be lost for that as well.
  opened({ hangMilliseconds: 5_000 });

  test.each<['abort' | 'segmentation fault', SteerableFunction]>([
    ['abort', 'C_Sign'],
    ['segmentation fault', 'C_Sign'],
    ['segmentation fault', 'C_SignInit'],
  ])('%s in %s, once: all calls are answered', async (how, name) => {
    device.crash(name, how, { times: 1 });
    const calls = Array.from({ length: 16 }, () => sign());
    expect((await Promise.all(calls)).map(isValid)).toEqual(Array(16).fill(true));
  });

  test('each time: ERR_HSM_UNAVAILABLE, and no endless loop', async () => {
    device.crash('C_Sign', 'abort');
    const before = device.calls('C_Sign');
    await expect(sign()).rejects.toMatchObject({ code: 'ERR_HSM_UNAVAILABLE', retryable: true });
    expect(device.calls('C_Sign') - before).toBeLessThanOrEqual(2);
  });
});

describe('the device goes away', () => {
  test('restarted, it is dead until the module is initialised again, which happens by itself', async () => {
    await sign();
    device.restart();
    const calls = Array.from({ length: 16 }, () => sign());
    expect((await Promise.all(calls)).map(isValid)).toEqual(Array(16).fill(true));
  });

  test('switched off and on again: callers with time see latency', async () => {
    await sign();
    device.powerOff();
    const call = sign();
    await pause(700);
    device.powerOn();
    expect(isValid(await call)).toBe(true);
  });

  test('switched off: callers without time get a typed error that says why', async () => {
    await sign();
    device.powerOff();
    const error = await failure(sign({ deadlineMilliseconds: 1_500 }));
    expect(['ERR_HSM_TIMEOUT', 'ERR_HSM_UNAVAILABLE']).toContain(error.code);
    device.powerOn();
  });
});

describe('a wrong signature is never released', () => {
  test.each<[string, () => Promise<Buffer>]>([
    ['RSA PKCS#1', () => hsm.sign(rsa, 'rsa-pkcs1-sha256', message)],
    ['RSA PKCS#1 of a digest', () => hsm.sign(rsa, 'rsa-pkcs1-sha256', Buffer.alloc(32, 7), { input: 'digest' })],
    ['RSA-PSS', () => hsm.sign(rsa, 'rsa-pss-sha256', message)],
    ['ECDSA where asked', () => hsm.sign(ec, 'ecdsa-sha256', message, { verify: true })],
    ['ECDSA in r ‖ s where asked', () => hsm.sign(ec, 'ecdsa-sha256', message, { verify: true, format: 'p1363' })],
  ])('%s', async (_name, call) => {
    device.corrupt('C_Sign');
    await expect(call()).rejects.toMatchObject({ code: 'ERR_HSM_SIGNATURE_INVALID', fault: 'token' });
  });
});

describe('what may not be done twice', () => {
  // Agents that die one after the other are replaced ever later.
  beforeEach(() => reopen());

  const make = () => hsm.generateKeyPair({ label: `made-${randomBytes(4).toString('hex')}`, algorithm: 'ec-p256' });

  test.each<[string, SteerableFunction, Strikes]>([
    ['before the key was made', 'C_GenerateKeyPair', { times: 1 }],
    ['after it was made, while it is read back', 'C_GetAttributeValue', { times: 1 }],
  ])('an agent that crashes %s leaves one key or none, and says which', async (_name, name, strikes) => {
    const before = (await hsm.listKeys()).length;
    device.crash(name, 'abort', strikes);
    const result = await make().then(
      (key) => key.label,
      (error: HsmError) => error.code,
    );
    const made = (await hsm.listKeys()).length - before;
    if (made === 0) expect(result).toBe('ERR_HSM_OUTCOME_UNKNOWN');
    else expect([made, result]).toEqual([1, expect.stringMatching(/^made-/)]);
  });

  test('a destruction that was interrupted goes on, once it was seen how far it came', async () => {
    const key = await make();
    device.crash('C_DestroyObject', 'abort', { after: 1, times: 1 });
    const { receipt } = await hsm.destroyKey(key);
    expect(receipt).toMatchObject({ state: 'destroyed', members: [{ found: 2, left: 0 }] });
  });

  test('a generation that the token refuses is its error, with nothing left behind', async () => {
    const before = (await hsm.listKeys()).length;
    device.fail('C_GenerateKeyPair', 'CKR_DEVICE_MEMORY', { times: 1 });
    await expect(make()).rejects.toMatchObject({ code: 'ERR_HSM_TOKEN_FULL', pkcs11Function: 'C_GenerateKeyPair' });
    expect((await hsm.listKeys()).length).toBe(before);
  });
});

async function failure(promise: Promise<unknown>): Promise<HsmError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HsmError);
  return error as HsmError;
}
