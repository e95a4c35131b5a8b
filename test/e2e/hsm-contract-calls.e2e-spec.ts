import { randomBytes, verify } from 'node:crypto';
import { Hsm, HsmError, type HsmKey } from '@nest-hsm/hsm';
import { ContractSubject } from './contract-subject.js';

let subject: ContractSubject;
let signing: HsmKey;
let rsa: HsmKey;
let kek: HsmKey;
let macKey: HsmKey;

beforeAll(async () => {
  subject = await ContractSubject.open();
  signing = await subject.keyPair({ algorithm: 'ec-p256' });
  rsa = await subject.keyPair({ algorithm: 'rsa-2048' });
  kek = await subject.secretKey({ algorithm: 'aes-256', usage: 'encrypt' });
  macKey = await subject.secretKey({ algorithm: 'hmac-sha256', usage: 'mac' });
});
afterAll(() => subject.close());

test('64 callers of different operations each get their own answer', async () => {
  const macOf = await subject.hsm.mac(macKey, Buffer.from('mac'));
  const operations: (() => Promise<boolean>)[] = [
    async () => {
      const message = randomBytes(40);
      const signature = await subject.hsm.sign(signing, 'ecdsa-sha256', message);
      return verify('sha256', message, signing.publicKey ?? '', signature);
    },
    async () => {
      const message = randomBytes(40);
      const signature = await subject.hsm.sign(rsa, 'rsa-pkcs1-sha256', message);
      return verify('sha256', message, rsa.publicKey ?? '', signature);
    },
    async () => {
      const data = randomBytes(100);
      const aad = randomBytes(10);
      const envelope = await subject.hsm.encrypt(kek, data, { aad });
      return (await subject.hsm.decrypt(kek, envelope, { aad })).equals(data);
    },
    async () => (await subject.hsm.mac(macKey, Buffer.from('mac'))).equals(macOf),
    async () => (await subject.hsm.random(33)).length === 33,
    async () => (await subject.hsm.findKey({ id: signing.id })).label === signing.label,
    () => rejectsWith('ERR_HSM_DECRYPTION_FAILED', () => subject.hsm.decrypt(kek, Buffer.alloc(60, 12))),
    () => rejectsWith('ERR_HSM_KEY_NOT_FOUND', () => subject.hsm.findKey({ label: 'nobody' })),
  ];
  const callers = Array.from({ length: 64 }, async (_, caller) => {
    const results: boolean[] = [];
    for (let turn = 0; turn < 10; turn++) results.push(await operations[(caller + turn) % operations.length]());
    return results;
  });
  expect((await Promise.all(callers)).flat()).toEqual(Array(640).fill(true));
});

test('an aborted call rejects with ERR_HSM_ABORTED and disturbs no other', async () => {
  const aborted = AbortSignal.abort();
  await expect(subject.hsm.random(1, { signal: aborted })).rejects.toMatchObject({ code: 'ERR_HSM_ABORTED' });

  const controller = new AbortController();
  const calls = Array.from({ length: 100 }, () =>
    subject.hsm.sign(rsa, 'rsa-pss-sha256', Buffer.of(1), { signal: controller.signal }),
  );
  const others = Array.from({ length: 20 }, () => subject.hsm.random(8));
  controller.abort();
  for (const result of await Promise.allSettled(calls)) {
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'ERR_HSM_ABORTED' });
  }
  expect((await Promise.all(others)).every((bytes) => bytes.length === 8)).toBe(true);
});

test('a deadline that passes rejects with ERR_HSM_TIMEOUT', async () => {
  const calls = Array.from({ length: 400 }, () =>
    subject.hsm.sign(rsa, 'rsa-pss-sha256', Buffer.of(1), { deadlineMilliseconds: 5 }),
  );
  const results = await Promise.allSettled(calls);
  const failed = results
    .filter((result) => result.status === 'rejected')
    .map(({ reason }) => (reason as HsmError).code);
  expect(new Set(failed)).toEqual(new Set(['ERR_HSM_TIMEOUT']));
  expect(await subject.hsm.random(8)).toHaveLength(8);
});

test('calls beyond the queue are refused at once, and the others are answered', async () => {
  const small = await Hsm.open({
    ...subject.config,
    members: [{ ...subject.config.members[0], sessions: 2 }],
    queueLimit: 8,
  });
  try {
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => small.random(16)));
    const refused = results
      .filter((result) => result.status === 'rejected')
      .map(({ reason }) => (reason as HsmError).code);
    expect(new Set(refused)).toEqual(new Set(['ERR_HSM_OVERLOADED']));
    expect(results.length - refused.length).toBeGreaterThanOrEqual(8);
  } finally {
    await small.close();
  }
});

test('a correlation id longer than 64 bytes is the caller’s fault', async () => {
  await expect(subject.hsm.random(1, { correlationId: 'x'.repeat(65) })).rejects.toMatchObject({
    code: 'ERR_HSM_ARGUMENT_INVALID',
  });
  expect(await subject.hsm.random(1, { correlationId: 'x'.repeat(64) })).toHaveLength(1);
});

test('after close, every method fails with ERR_HSM_CLOSED, and close itself does not mind', async () => {
  const closed = await Hsm.open(subject.config);
  const inFlight = closed.random(16);
  await closed.close();
  expect(await inFlight).toHaveLength(16);

  const argumentsOf: Record<string, readonly unknown[]> = {
    generateKeyPair: [{ label: 'x', algorithm: 'ec-p256' }],
    generateSecretKey: [{ label: 'x', algorithm: 'aes-256', usage: 'encrypt' }],
    findKey: [{ label: 'x' }],
    listKeys: [],
    departure: [],
    rotateKey: ['x'],
    keyAges: [],
    destroyKey: [kek],
    checkConsistency: [],
    receipts: [],
    receiptKey: [],
    sign: [signing, 'ecdsa-sha256', Buffer.of(1)],
    encrypt: [kek, Buffer.of(1)],
    decrypt: [kek, Buffer.alloc(60)],
    mac: [macKey, Buffer.of(1)],
    random: [1],
    probe: [],
    enrolMembers: [],
    setMembers: [subject.config.members],
    wrapKey: [kek, kek, 'aes-kwp'],
    unwrapKey: [Buffer.alloc(40), kek, 'aes-kwp', { label: 'x', algorithm: 'aes-256', usage: 'encrypt' }],
  };
  for (const [method, args] of Object.entries(argumentsOf)) {
    const call = (closed as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>)[method];
    expect([method, await codeOf(() => call.apply(closed, [...args]))]).toEqual([method, 'ERR_HSM_CLOSED']);
  }
  const asynchronous = Object.entries(Object.getOwnPropertyDescriptors(Hsm.prototype))
    .filter(([, { value }]) => typeof value === 'function' && (value as object).constructor.name === 'AsyncFunction')
    .map(([name]) => name);
  expect(asynchronous.filter((name) => name !== 'close').sort()).toEqual(Object.keys(argumentsOf).sort());
  await closed.close();
});

async function codeOf(call: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error instanceof HsmError ? error.code : String(error);
  }
}

async function rejectsWith(code: string, call: () => Promise<unknown>): Promise<boolean> {
  return (await codeOf(call)) === code;
}
