import { TestToken } from '../../../test/support/token.js';
import { Hsm } from './hsm.js';
import type { TokenDescription } from './agent/protocol.js';
import type { HsmKey } from './key/key.js';

describe('Hsm', () => {
  const token = new TestToken('hsm-spec');
  let hsm: Hsm;
  let key: HsmKey;

  beforeAll(async () => {
    hsm = await Hsm.open(token.config());
    key = await hsm.generateKeyPair({ label: 'signer', algorithm: 'ec-p256' });
  });
  afterAll(async () => {
    await hsm.close();
    token.remove();
  });

  it('gives keys as frozen descriptions with a URI and the public half', () => {
    expect(Object.isFrozen(key)).toBe(true);
    expect(key).toMatchObject({ label: 'signer', algorithm: 'ec-p256', usage: 'sign', extractable: false });
    expect(key.uri).toMatch(/^pkcs11:token=hsm-spec;object=signer;id=(%[0-9A-F]{2}){16};type=private$/);
    expect(key.publicKey?.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
  });

  it('finds a key by its URI, in whole or in part, by id and by label', async () => {
    const { serial, manufacturer, model } = hsm.members[0].token as TokenDescription;
    const whole = key.uri.replace(
      'pkcs11:',
      `pkcs11:serial=${serial};manufacturer=${encodeURIComponent(manufacturer)};model=${encodeURIComponent(model)};`,
    );
    for (const selector of [
      key.uri,
      whole,
      'pkcs11:object=signer',
      { id: key.id },
      { label: 'signer' },
      { label: 'signer', usage: 'sign' as const },
    ]) {
      await expect(hsm.findKey(selector)).resolves.toEqual(key);
    }
  });

  it.each([
    ['another token', 'pkcs11:token=other;object=signer'],
    ['another serial number', 'pkcs11:serial=0;object=signer'],
    ['another type', 'pkcs11:object=signer;type=secret-key'],
    ['another label', { label: 'nobody' }],
    ['another usage', { label: 'signer', usage: 'mac' as const }],
  ])('does not take it for a key of %s', async (_, selector) => {
    await expect(hsm.findKey(selector)).rejects.toMatchObject({ code: 'ERR_HSM_KEY_NOT_FOUND' });
  });

  it('does not choose between two keys', async () => {
    await hsm.generateSecretKey({ label: 'twice', algorithm: 'hmac-sha256', usage: 'mac' });
    await hsm.generateSecretKey({ label: 'twice', algorithm: 'hmac-sha256', usage: 'mac' });
    const ambiguous = { code: 'ERR_HSM_KEY_AMBIGUOUS', message: 'key twice: want one on token hsm-spec, got 2' };
    await expect(hsm.findKey({ label: 'twice' })).rejects.toMatchObject(ambiguous);
  });

  it('fails in every method once it is closed', async () => {
    const closed = await Hsm.open(token.config());
    await closed.close();
    const bytes = Buffer.alloc(16);
    const calls: Record<Method, () => Promise<unknown>> = {
      generateKeyPair: () => closed.generateKeyPair({ label: 'x', algorithm: 'ec-p256' }),
      generateSecretKey: () => closed.generateSecretKey({ label: 'x', algorithm: 'aes-256', usage: 'encrypt' }),
      findKey: () => closed.findKey('pkcs11:'),
      listKeys: () => closed.listKeys(),
      departure: () => closed.departure(),
      rotateKey: () => closed.rotateKey('signer'),
      keyAges: () => closed.keyAges(),
      destroyKey: () => closed.destroyKey(key),
      checkConsistency: () => closed.checkConsistency(),
      receipts: () => closed.receipts(),
      receiptKey: () => closed.receiptKey(),
      sign: () => closed.sign(key, 'ecdsa-sha256', bytes),
      encrypt: () => closed.encrypt(key, bytes),
      decrypt: () => closed.decrypt(key, bytes),
      mac: () => closed.mac(key, bytes),
      random: () => closed.random(1),
      probe: () => closed.probe(),
      enrolMembers: () => closed.enrolMembers(),
      setMembers: () => closed.setMembers([token.member()]),
      wrapKey: () => closed.wrapKey(key, key, 'aes-kwp'),
      unwrapKey: () => closed.unwrapKey(bytes, key, 'aes-kwp', { label: 'x', algorithm: 'aes-256', usage: 'encrypt' }),
    };
    for (const call of Object.values(calls)) await expect(call()).rejects.toMatchObject({ code: 'ERR_HSM_CLOSED' });
    // No method may be missing above: the list is the class's own.
    const methods = Object.entries(Object.getOwnPropertyDescriptors(Hsm.prototype)).flatMap(([name, { value }]) =>
      typeof value === 'function' && !['constructor', 'close'].includes(name) ? [name] : [],
    );
    expect(Object.keys(calls).sort()).toEqual(methods.sort());
    await expect(closed.close()).resolves.toBeUndefined();
    expect(closed.members).toMatchObject([{ name: 'hsm-spec', state: 'leaving', token: { label: 'hsm-spec' } }]);
  });
});

type Method = {
  [Name in keyof Hsm]: Hsm[Name] extends (...args: never[]) => unknown ? (Name extends 'close' ? never : Name) : never;
}[keyof Hsm];
