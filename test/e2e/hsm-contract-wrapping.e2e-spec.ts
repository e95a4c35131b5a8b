import { randomBytes, verify } from 'node:crypto';
import type { HsmKey, WrappingAlgorithm } from '@nest-hsm/hsm';
import { ContractSubject } from './contract-subject.js';

let subject: ContractSubject;
const wrappingKeys = new Map<string, HsmKey>();

beforeAll(async () => {
  subject = await ContractSubject.open();
  wrappingKeys.set('aes', await subject.secretKey({ algorithm: 'aes-256', usage: 'wrap' }));
  wrappingKeys.set('rsa', await subject.keyPair({ label: 'rsa-transport', algorithm: 'rsa-2048', usage: 'unwrap' }));
});
afterAll(() => subject.close());

const algorithms: readonly WrappingAlgorithm[] = ['aes-kw', 'aes-kwp', 'rsa-oaep-sha1', 'rsa-oaep-sha256'];
const kek = { algorithm: 'aes-256', usage: 'encrypt' } as const;
const macKey = { algorithm: 'hmac-sha256', usage: 'mac' } as const;

describe.each(algorithms)('%s', (algorithm) => {
  const wrappingKey = () => wrappingKeys.get(algorithm.startsWith('aes') ? 'aes' : 'rsa') as HsmKey;

  test.each([kek, macKey])('a key of $algorithm goes there and back', async (kind) => {
    const original = await subject.secretKey({ ...kind, label: `wrapped-${kind.usage}`, extractable: true });
    if (!subject.offers(algorithm)) {
      await expect(subject.hsm.wrapKey(original, wrappingKey(), algorithm)).rejects.toMatchObject({
        code: 'ERR_HSM_MECHANISM_UNSUPPORTED',
      });
      return;
    }
    const wrapped = await subject.hsm.wrapKey(original, wrappingKey(), algorithm);
    expect(wrapped).toHaveLength(algorithm.startsWith('aes') ? 40 : 256);

    const unwrap = (name: string) =>
      subject.hsm.unwrapKey(wrapped, wrappingKey(), algorithm, {
        ...kind,
        label: subject.label(`${name}-${kind.usage}`),
      });
    const [one, other] = [await unwrap('one'), await unwrap('other')];
    expect(one).toMatchObject({ ...kind, extractable: false });
    expect(one.id).not.toBe(other.id);
    await expectSameKey(one, other);
    // What came back does not leave again.
    await expect(subject.hsm.wrapKey(one, wrappingKey(), algorithm)).rejects.toMatchObject({ name: 'HsmError' });
  });

  test('a wrapped key that was altered is refused, and leaves nothing on the token', async () => {
    if (!subject.offers(algorithm)) return;
    const original = await subject.secretKey({ ...kek, label: 'to-alter', extractable: true });
    const wrapped = await subject.hsm.wrapKey(original, wrappingKey(), algorithm);
    const alterations = [
      flipped(wrapped, 0),
      flipped(wrapped, wrapped.length - 1),
      wrapped.subarray(0, -8),
      Buffer.alloc(0),
    ];
    for (const altered of alterations) {
      const label = subject.label('altered');
      await expect(subject.hsm.unwrapKey(altered, wrappingKey(), algorithm, { ...kek, label })).rejects.toMatchObject({
        fault: 'caller',
        retryable: false,
      });
      expect(await subject.hsm.listKeys({ label })).toEqual([]);
    }
  });
});

test.each(['ec-p256', 'rsa-2048'] as const)(
  'a private key of %s goes through AES-KWP and signs as before',
  async (name) => {
    const original = await subject.keyPair({ label: `wrapped-${name}`, algorithm: name, extractable: true });
    const wrappingKey = wrappingKeys.get('aes') as HsmKey;
    const wrapped = await subject.hsm.wrapKey(original, wrappingKey, 'aes-kwp');
    const copy = await subject.hsm.unwrapKey(wrapped, wrappingKey, 'aes-kwp', {
      label: subject.label(`unwrapped-${name}`),
      algorithm: name,
      usage: 'sign',
      spki: original.spki,
    });
    expect(copy.spki).toEqual(original.spki);

    const message = randomBytes(100);
    const scheme = name === 'ec-p256' ? 'ecdsa-sha256' : 'rsa-pkcs1-sha256';
    const signature = await subject.hsm.sign(copy, scheme, message);
    expect(verify('sha256', message, original.publicKey ?? '', signature)).toBe(true);
  },
);

test.each(['ec-p256', 'rsa-2048'] as const)('the public half of another %s key is refused', async (name) => {
  const original = await subject.keyPair({ label: `matched-${name}`, algorithm: name, extractable: true });
  const { spki } = await subject.keyPair({ label: `stranger-${name}`, algorithm: name });
  const wrappingKey = wrappingKeys.get('aes') as HsmKey;
  const wrapped = await subject.hsm.wrapKey(original, wrappingKey, 'aes-kwp');
  const label = subject.label(`mismatched-${name}`);
  const key = { label, algorithm: name, usage: 'sign', spki } as const;
  await expect(subject.hsm.unwrapKey(wrapped, wrappingKey, 'aes-kwp', key)).rejects.toMatchObject({ name: 'HsmError' });
  expect(await subject.hsm.listKeys({ label })).toEqual([]);
});

describe('a key made to be wrapped is good for nothing else', () => {
  test.each([
    ['encrypt', kek, (key: HsmKey) => subject.hsm.encrypt(key, Buffer.of(1))],
    ['mac', macKey, (key: HsmKey) => subject.hsm.mac(key, Buffer.of(1))],
  ])('not to %s', async (_name, kind, use) => {
    const key = await subject.secretKey({ ...kind, label: 'one-use', extractable: true });
    expect(key.extractable).toBe(true);
    await expect(use(key)).rejects.toMatchObject({ name: 'HsmError', retryable: false });
  });

  test('a key that is not extractable is not wrapped', async () => {
    const key = await subject.secretKey({ ...kek, label: 'kept' });
    await expect(subject.hsm.wrapKey(key, wrappingKeys.get('aes') as HsmKey, 'aes-kwp')).rejects.toMatchObject({
      name: 'HsmError',
      retryable: false,
    });
  });
});

async function expectSameKey(one: HsmKey, other: HsmKey): Promise<void> {
  const data = randomBytes(32);
  if (one.usage === 'mac') {
    expect(await subject.hsm.mac(one, data)).toEqual(await subject.hsm.mac(other, data));
  } else {
    expect(await subject.hsm.decrypt(other, await subject.hsm.encrypt(one, data))).toEqual(data);
  }
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] ^= 1;
  return copy;
}
