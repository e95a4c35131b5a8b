import { randomBytes } from 'node:crypto';
import type { HsmError, HsmKey } from '@nest-hsm/hsm';
import { ContractSubject } from './contract-subject.js';

let subject: ContractSubject;
let kek: HsmKey;
let otherKek: HsmKey;
let macKey: HsmKey;

beforeAll(async () => {
  subject = await ContractSubject.open();
  kek = await subject.secretKey({ label: 'kek', algorithm: 'aes-256', usage: 'encrypt' });
  otherKek = await subject.secretKey({ label: 'other-kek', algorithm: 'aes-256', usage: 'encrypt' });
  macKey = await subject.secretKey({ algorithm: 'hmac-sha256', usage: 'mac' });
});
afterAll(() => subject.close());

describe('encrypt and decrypt (AES-256-GCM)', () => {
  const sizes = [0, 1, 15, 16, 17, 32, 1_000, 16 * 1024];
  const associated = { 'no associated data': undefined, 'a byte': Buffer.of(7), '4 kB': randomBytes(4096) };
  const rows = sizes.flatMap((size) => Object.entries(associated).map(([name, aad]) => ({ size, name, aad })));

  test.each(rows)('$size bytes with $name come back', async ({ size, aad }) => {
    const data = randomBytes(size);
    const envelope = await subject.hsm.encrypt(kek, data, { aad });
    expect(envelope).toHaveLength(1 + envelope[0] + size + 16);
    expect(envelope[0]).toBeGreaterThanOrEqual(12);
    expect(await subject.hsm.decrypt(kek, envelope, { aad })).toEqual(data);
  });

  test('no nonce comes twice', async () => {
    const envelopes = await Promise.all(Array.from({ length: 200 }, () => subject.hsm.encrypt(kek, Buffer.from('x'))));
    const nonces = new Set(envelopes.map((envelope) => envelope.subarray(1, 1 + envelope[0]).toString('hex')));
    expect(nonces.size).toBe(200);
  });

  test('no associated data is the same as an empty one', async () => {
    const envelope = await subject.hsm.encrypt(kek, Buffer.from('x'));
    expect(await subject.hsm.decrypt(kek, envelope, { aad: Buffer.alloc(0) })).toEqual(Buffer.from('x'));
  });

  test('more than 16 KiB is the caller’s fault', async () => {
    await expect(subject.hsm.encrypt(kek, Buffer.alloc(16 * 1024 + 1))).rejects.toMatchObject({
      code: 'ERR_HSM_ARGUMENT_INVALID',
    });
  });
});

describe('decrypt fails without saying why', () => {
  const aad = Buffer.from('table, column, row');
  const data = randomBytes(32);
  const nonceBytes = 12;

  /** One altered copy of an envelope: nonce length ‖ nonce ‖ ciphertext ‖ tag. */
  const alterations: Record<string, (envelope: Buffer) => Buffer> = {
    'the nonce, first bit': (e) => flip(e, 1),
    'the nonce, last bit': (e) => flip(e, e[0]),
    'the ciphertext, first bit': (e) => flip(e, 1 + e[0]),
    'the ciphertext, last bit': (e) => flip(e, e.length - 17),
    'the tag, first bit': (e) => flip(e, e.length - 16),
    'the tag, last bit': (e) => flip(e, e.length - 1),
    'a tag shorter by a byte': (e) => e.subarray(0, -1),
    'a tag of 4 bytes': (e) => e.subarray(0, -12),
    'no tag': (e) => e.subarray(0, -16),
    'a byte more': (e) => Buffer.concat([e, Buffer.of(0)]),
    'an empty nonce': (e) => Buffer.concat([Buffer.of(0), e.subarray(1 + e[0])]),
    'a nonce length of one more': (e) => Buffer.concat([Buffer.of(e[0] + 1), e.subarray(1)]),
    'a nonce length of one less': (e) => Buffer.concat([Buffer.of(e[0] - 1), e.subarray(1)]),
    'a nonce longer than the envelope': (e) => Buffer.concat([Buffer.of(255), e.subarray(1)]),
    'nothing but the nonce length': () => Buffer.of(nonceBytes),
    'nothing at all': () => Buffer.alloc(0),
    'random bytes': () => Buffer.concat([Buffer.of(nonceBytes), randomBytes(60)]),
  };

  test.each(Object.entries(alterations))('%s', async (_name, alter) => {
    const envelope = await subject.hsm.encrypt(kek, data, { aad });
    const altered = alter(Buffer.from(envelope));
    expect(await failure(subject.hsm.decrypt(kek, altered, { aad }))).toEqual(plainFailure);
    expect(await subject.hsm.decrypt(kek, envelope, { aad })).toEqual(data);
  });

  test.each([
    ['other associated data', Buffer.from('table, column, rov')],
    ['longer associated data', Buffer.concat([aad, Buffer.of(0)])],
    ['no associated data', undefined],
  ])('%s', async (_name, other) => {
    const envelope = await subject.hsm.encrypt(kek, data, { aad });
    expect(await failure(subject.hsm.decrypt(kek, envelope, { aad: other }))).toEqual(plainFailure);
  });

  test('another key', async () => {
    const envelope = await subject.hsm.encrypt(kek, data, { aad });
    expect(await failure(subject.hsm.decrypt(otherKek, envelope, { aad }))).toEqual(plainFailure);
  });

  const plainFailure = { code: 'ERR_HSM_DECRYPTION_FAILED', fault: 'caller', retryable: false, isSilent: true };

  async function failure(promise: Promise<unknown>) {
    const error = await promise.then(
      () => undefined,
      (reason: unknown) => reason as HsmError,
    );
    const isSilent = error?.returnValue === undefined && !/tag|nonce|aad|length|short/i.test(error?.message ?? '');
    return { code: error?.code, fault: error?.fault, retryable: error?.retryable, isSilent };
  }
});

describe('mac (HMAC-SHA-256)', () => {
  test.each([0, 1, 63, 64, 65, 1_000, 1_000_000])('of %d bytes is 32 bytes, the same each time', async (size) => {
    const data = randomBytes(size);
    const mac = await subject.hsm.mac(macKey, data);
    expect(mac).toHaveLength(32);
    expect(await subject.hsm.mac(macKey, data)).toEqual(mac);
    expect(await subject.hsm.mac(macKey, Buffer.concat([data, Buffer.of(0)]))).not.toEqual(mac);
  });
});

describe('random', () => {
  test.each([1, 16, 4096])('%d bytes', async (size) => {
    expect(await subject.hsm.random(size)).toHaveLength(size);
  });

  test('does not repeat', async () => {
    const draws = await Promise.all(Array.from({ length: 50 }, () => subject.hsm.random(16)));
    expect(new Set(draws.map((draw) => draw.toString('hex'))).size).toBe(50);
  });

  test.each([0, -1, 4097, 1.5, Number.NaN, 2 ** 32])('%d bytes are refused', async (size) => {
    await expect(subject.hsm.random(size)).rejects.toMatchObject({ code: 'ERR_HSM_ARGUMENT_INVALID' });
  });
});

function flip(bytes: Buffer, at: number): Buffer {
  bytes[at] ^= 1;
  return bytes;
}
