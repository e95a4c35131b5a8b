import { randomBytes } from 'node:crypto';
import { type AsymmetricKeyAlgorithm, type HsmKey, type KeyId, type KeyUsage } from '@nest-hsm/hsm';
import { type ImportedKey, importSecretKeys, type RawObject, rawObjects } from '../support/raw-token.js';
import { ContractSubject } from './contract-subject.js';

let subject: ContractSubject;

beforeAll(async () => {
  subject = await ContractSubject.open();
});
afterAll(() => subject.close());

const keyPairs: [AsymmetricKeyAlgorithm, 'sign' | 'unwrap', string][] = [
  ['rsa-2048', 'sign', 'rsa'],
  ['rsa-2048', 'unwrap', 'rsa'],
  ['ec-p256', 'sign', 'ec'],
  ['ec-p384', 'sign', 'ec'],
  ['ec-p521', 'sign', 'ec'],
  ['ed25519', 'sign', 'ed25519'],
];
const secretKeys = [
  ['aes-256', 'encrypt'],
  ['aes-256', 'wrap'],
  ['hmac-sha256', 'mac'],
] as const;

describe('a new key', () => {
  test.each(keyPairs)('%s to %s is described with its public half', async (algorithm, usage, keyType) => {
    if (!subject.offers(algorithm)) return expect(subject.keyPair({ algorithm, usage })).rejects.toThrow();
    const key = await subject.keyPair({ algorithm, usage, label: `described-${algorithm}-${usage}` });
    expect(key).toMatchObject({ algorithm, usage, extractable: false });
    expect(key.id).toMatch(/^[0-9a-f]{32}$/);
    expect(key.publicKey?.asymmetricKeyType).toBe(keyType);
    expect(key.publicKey?.export({ type: 'spki', format: 'der' })).toEqual(key.spki);
    expect(key.uri).toContain('type=private');
    expect(Object.isFrozen(key)).toBe(true);
  });

  test.each(secretKeys)('%s to %s has no public half', async (algorithm, usage) => {
    const key = await subject.secretKey({ algorithm, usage, label: `described-${usage}` });
    expect(key).toMatchObject({ algorithm, usage, extractable: false });
    expect(key.publicKey).toBeUndefined();
    expect(key.uri).toContain('type=secret-key');
  });

  test.each([
    ['an empty label', { label: '', algorithm: 'ec-p256' }],
    ['a label that is too long', { label: 'x'.repeat(300), algorithm: 'ec-p256' }],
    ['an EC key to unwrap with', { label: 'x', algorithm: 'ec-p256', usage: 'unwrap' }],
  ] as const)('%s is refused', async (_name, key) => {
    await expect(subject.hsm.generateKeyPair(key)).rejects.toMatchObject({ code: 'ERR_HSM_ARGUMENT_INVALID' });
  });

  test.each([
    ['an AES key to mac with', { label: 'x', algorithm: 'aes-256', usage: 'mac' }],
    ['an HMAC key to encrypt with', { label: 'x', algorithm: 'hmac-sha256', usage: 'encrypt' }],
  ] as const)('%s is refused', async (_name, key) => {
    await expect(subject.hsm.generateSecretKey(key)).rejects.toMatchObject({ code: 'ERR_HSM_ARGUMENT_INVALID' });
  });
});

describe('finding', () => {
  test('by id, label, URI, and all of them in a list', async () => {
    const key = await subject.secretKey({ label: 'found', algorithm: 'aes-256', usage: 'encrypt' });
    const ways = [{ id: key.id }, { label: key.label }, { label: key.label, usage: 'encrypt' as const }, key.uri];
    for (const way of ways) expect(plain(await subject.hsm.findKey(way))).toEqual(plain(key));
    expect((await subject.hsm.listKeys()).map(({ id }) => id)).toContain(key.id);
    expect(await subject.hsm.listKeys({ label: key.label, usage: 'mac' })).toEqual([]);
  });

  test.each(['semi;colon', 'per%cent', 'equals=slash/', 'Schlüssel ❄', 'a b', '?query&amp'])(
    'a label such as "%s" survives its URI',
    async (label) => {
      const key = await subject.secretKey({ label, algorithm: 'aes-256', usage: 'encrypt' });
      expect(key.uri).toMatch(/^pkcs11:[\x21-\x7e]+$/);
      expect((await subject.hsm.findKey(key.uri)).id).toBe(key.id);
      const byLabel = `pkcs11:object=${encodeURIComponent(key.label)}`;
      expect((await subject.hsm.findKey(byLabel)).id).toBe(key.id);
    },
  );

  test('a label that two keys have is ambiguous, and their ids are not', async () => {
    const twins = [
      await subject.secretKey({ label: 'twin', algorithm: 'aes-256', usage: 'encrypt' }),
      await subject.secretKey({ label: 'twin', algorithm: 'aes-256', usage: 'encrypt' }),
    ];
    await expect(subject.hsm.findKey({ label: twins[0].label })).rejects.toMatchObject({
      code: 'ERR_HSM_KEY_AMBIGUOUS',
    });
    for (const twin of twins) expect((await subject.hsm.findKey({ id: twin.id })).id).toBe(twin.id);
  });

  test.each([
    ['a label nobody has', { label: 'nobody' }],
    ['an id nobody has', { id: randomBytes(16).toString('hex') as KeyId }],
  ])('%s is not found', async (_name, selector) => {
    await expect(subject.hsm.findKey(selector)).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
  });

  test.each(['', 'pkcs11', 'https://example.com', 'pkcs11:id=%zz', 'pkcs11:id=%00', 'pkcs11:object=a;object=b'])(
    'the URI "%s" is refused',
    async (uri) => {
      await expect(subject.hsm.findKey(uri)).rejects.toMatchObject({ fault: 'caller' });
    },
  );
});

describe('destroying', () => {
  test.each([
    ['a key pair', 2, () => subject.keyPair({ label: 'doomed-pair', algorithm: 'ec-p256' })],
    ['a secret key', 1, () => subject.secretKey({ label: 'doomed', algorithm: 'aes-256', usage: 'encrypt' })],
  ])('%s destroys %d objects', async (_name, count, make) => {
    const key = await make();
    const { receipt } = await subject.hsm.destroyKey(key);
    expect(receipt).toMatchObject({ state: 'destroyed', members: [{ found: count, left: 0 }] });
    await expect(subject.hsm.findKey({ id: key.id })).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
    const use =
      key.usage === 'sign'
        ? subject.hsm.sign(key, 'ecdsa-sha256', Buffer.of(1))
        : subject.hsm.encrypt(key, Buffer.of(1));
    await expect(use).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
  });
});

describe('roles are disjoint', () => {
  type Use = (key: HsmKey) => Promise<unknown>;
  const uses: Record<string, { allowed: KeyUsage; use: Use }> = {
    sign: { allowed: 'sign', use: (key) => subject.hsm.sign(key, 'rsa-pss-sha256', Buffer.of(1)) },
    encrypt: { allowed: 'encrypt', use: (key) => subject.hsm.encrypt(key, Buffer.of(1)) },
    decrypt: { allowed: 'encrypt', use: (key) => subject.hsm.decrypt(key, Buffer.alloc(61, 12)) },
    mac: { allowed: 'mac', use: (key) => subject.hsm.mac(key, Buffer.of(1)) },
    'wrap with AES-KWP': { allowed: 'wrap', use: async (key) => subject.hsm.wrapKey(await oneUse(), key, 'aes-kwp') },
    'wrap with OAEP': {
      allowed: 'unwrap',
      use: async (key) => subject.hsm.wrapKey(await oneUse(), key, 'rsa-oaep-sha1'),
    },
    'unwrap with AES-KWP': {
      allowed: 'wrap',
      use: (key) =>
        subject.hsm.unwrapKey(Buffer.alloc(40), key, 'aes-kwp', { label: 'x', algorithm: 'aes-256', usage: 'encrypt' }),
    },
  };
  const keys = new Map<KeyUsage, HsmKey>();

  beforeAll(async () => {
    keys.set('sign', await subject.keyPair({ label: 'role-sign', algorithm: 'rsa-2048' }));
    keys.set('unwrap', await subject.keyPair({ label: 'role-unwrap', algorithm: 'rsa-2048', usage: 'unwrap' }));
    keys.set('encrypt', await subject.secretKey({ label: 'role-encrypt', algorithm: 'aes-256', usage: 'encrypt' }));
    keys.set('wrap', await subject.secretKey({ label: 'role-wrap', algorithm: 'aes-256', usage: 'wrap' }));
    keys.set('mac', await subject.secretKey({ label: 'role-mac', algorithm: 'hmac-sha256', usage: 'mac' }));
  });

  const rows = (['sign', 'unwrap', 'encrypt', 'wrap', 'mac'] as const).flatMap((usage) =>
    Object.entries(uses)
      .filter(([, { allowed }]) => allowed !== usage)
      .map(([name, { use }]) => ({ usage, name, use })),
  );
  test.each(rows)('a key to $usage cannot $name', async ({ usage, use }) => {
    const key = keys.get(usage) as HsmKey;
    await expect(use(key)).rejects.toMatchObject({ code: 'ERR_HSM_ARGUMENT_INVALID', retryable: false });
  });

  /** A description that lies about the role does not help: the token's own attributes decide. */
  test.each(rows)('nor when the caller claims another role: $usage, $name', async ({ usage, name, use }) => {
    const key = keys.get(usage) as HsmKey;
    const lie = { ...key, usage: uses[name].allowed };
    await expect(use(lie)).rejects.toMatchObject({ name: 'HsmError' });
  });

  function oneUse() {
    return subject.secretKey({ label: 'one-use', algorithm: 'aes-256', usage: 'encrypt', extractable: true });
  }
});

/** Looked at by a bare PKCS#11 client, so only on the throw-away SoftHSM token. */
describe('on the token itself', () => {
  const allowed: Record<string, readonly (keyof RawObject)[]> = {
    'private sign': ['SIGN'],
    'public sign': ['VERIFY'],
    'private unwrap': ['UNWRAP'],
    'public unwrap': ['WRAP'],
    'secret encrypt': ['ENCRYPT', 'DECRYPT'],
    'secret wrap': ['WRAP', 'UNWRAP'],
    'secret mac': ['SIGN', 'VERIFY'],
  };
  const usageFlags = [
    'ENCRYPT',
    'DECRYPT',
    'SIGN',
    'SIGN_RECOVER',
    'VERIFY',
    'VERIFY_RECOVER',
    'WRAP',
    'UNWRAP',
    'DERIVE',
  ] as const;
  const classes: Record<number, string> = { 2: 'public', 3: 'private', 4: 'secret' };

  test('every object has one role, nothing else, and shows no key bytes', async () => {
    if (subject.softHsm === undefined) return;
    const usages = new Map((await subject.hsm.listKeys()).map(({ id, usage }) => [id as string, usage]));
    const objects = rawObjects(subject.softHsm);
    expect(objects.length).toBeGreaterThan(10);
    for (const object of objects) {
      const role = `${classes[object.class]} ${usages.get(object.id)}`;
      expect([role, usageFlags.filter((flag) => object[flag] === true)]).toEqual([role, allowed[role]]);
      expect(object).toMatchObject({ TOKEN: true, PRIVATE: true, MODIFIABLE: false });
      if (object.class === 2) continue;
      expect(object).toMatchObject({ SENSITIVE: true, EXTRACTABLE: false });
      expect([object.VALUE, object.PRIVATE_EXPONENT, object.PRIME_1]).not.toContain('readable');
    }
  });

  const sound: ImportedKey = {
    id: '',
    label: '',
    type: 'CKK_AES',
    value: randomBytes(32).toString('hex'),
    usage: ['ENCRYPT', 'DECRYPT'],
    mechanisms: ['CKM_AES_GCM'],
  };

  test('two objects with one id are refused, and destroyed together', async () => {
    if (subject.softHsm === undefined) return;
    const id = randomBytes(16).toString('hex') as KeyId;
    const label = subject.label('doubled');
    const [first, second] = [randomBytes(32), randomBytes(32)].map((value) => value.toString('hex'));
    importSecretKeys(subject.softHsm, [{ ...sound, id, label, value: first }]);
    const key = await subject.hsm.findKey({ id });
    await subject.hsm.encrypt(key, Buffer.of(1));
    importSecretKeys(subject.softHsm, [{ ...sound, id, label, value: second }]);
    await expect(subject.hsm.findKey({ id })).rejects.toMatchObject({ code: 'ERR_HSM_KEY_AMBIGUOUS' });
    expect((await subject.hsm.destroyKey(key)).receipt.members).toMatchObject([{ found: 2, left: 0 }]);
    expect(rawObjects(subject.softHsm).filter((object) => object.id === id)).toEqual([]);
  });

  test.each<[string, Partial<ImportedKey>]>([
    ['may wrap too', { usage: ['ENCRYPT', 'DECRYPT', 'WRAP'] }],
    ['may only decrypt', { usage: ['DECRYPT'] }],
    ['may do nothing', { usage: [] }],
    ['is of 128 bits', { value: randomBytes(16).toString('hex') }],
    ['is allowed another mechanism', { mechanisms: ['CKM_AES_GCM', 'CKM_AES_ECB'] }],
  ])('a key that %s is unsafe: refused by name, absent from the list', async (name, difference) => {
    if (subject.softHsm === undefined) return;
    const id = randomBytes(16).toString('hex') as KeyId;
    importSecretKeys(subject.softHsm, [{ ...sound, id, label: subject.label(name), ...difference }]);
    await expect(subject.hsm.findKey({ id })).rejects.toMatchObject({ code: 'ERR_HSM_KEY_UNSAFE' });
    const lie = { ...(await subject.secretKey({ algorithm: 'aes-256', usage: 'encrypt' })), id };
    await expect(subject.hsm.encrypt(lie, Buffer.of(1))).rejects.toMatchObject({ code: 'ERR_HSM_KEY_UNSAFE' });
    expect((await subject.hsm.listKeys()).map((key) => key.id)).not.toContain(id);
  });
});

function plain(key: HsmKey) {
  const { id, label, algorithm, usage, uri, extractable } = key;
  return { id, label, algorithm, usage, uri, extractable };
}
