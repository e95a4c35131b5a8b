import { execFileSync } from 'node:child_process';
import { constants, createHash, randomBytes, verify } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AsymmetricKeyAlgorithm,
  type EcdsaSignatureFormat,
  type HsmKey,
  type KeyId,
  keyAlgorithms,
  type SignatureInput,
  type SignatureScheme,
  signatureSchemes,
} from '@nest-hsm/hsm';
import { ContractSubject } from './contract-subject.js';

/** Every key algorithm × scheme × input × format of the tables, each checked by node:crypto and some by openssl. */
const algorithms = (Object.keys(keyAlgorithms) as (keyof typeof keyAlgorithms)[]).filter(
  (name): name is AsymmetricKeyAlgorithm => !['aes', 'hmac'].includes(keyAlgorithms[name].family),
);
const schemes = Object.keys(signatureSchemes) as SignatureScheme[];
const rows = algorithms.flatMap((algorithm) =>
  schemes
    .filter((scheme) => signatureSchemes[scheme].family === keyAlgorithms[algorithm].family)
    .flatMap((scheme) => variants(scheme).map((variant) => ({ algorithm, scheme, ...variant }))),
);

const messages = {
  empty: Buffer.alloc(0),
  short: Buffer.from('a message'),
  'of 100 kB': randomBytes(100_000),
};

let subject: ContractSubject;
let keys: ReadonlyMap<AsymmetricKeyAlgorithm, HsmKey>;

beforeAll(async () => {
  subject = await ContractSubject.open();
  const made = algorithms
    .filter((algorithm) => subject.offers(algorithm))
    .map(async (algorithm) => [algorithm, await subject.keyPair({ algorithm })] as const);
  keys = new Map(await Promise.all(made));
});
afterAll(() => subject.close());

describe('what the token signs, node:crypto verifies', () => {
  test.each(rows)('$algorithm, $scheme, $input, $format', async ({ algorithm, scheme, input, format }) => {
    const key = keys.get(algorithm);
    if (key === undefined || !subject.offers(scheme)) {
      const absent = key ?? anyKey();
      await expect(subject.hsm.sign(absent, scheme, messages.short)).rejects.toMatchObject({ name: 'HsmError' });
      return;
    }
    for (const [name, message] of Object.entries(messages)) {
      const data = input === 'digest' ? digestOf(scheme, message) : message;
      const signature = await subject.hsm.sign(key, scheme, data, { input, format });
      expect({ name, valid: isValid(key, scheme, format, message, signature) }).toEqual({ name, valid: true });
      expect(isValid(key, scheme, format, Buffer.concat([message, Buffer.from('!')]), signature)).toBe(false);
    }
  });

  test('signatures of RSA are as long as the modulus, of P1363 twice the curve order', async () => {
    for (const [algorithm, key] of keys) {
      const facts = keyAlgorithms[algorithm];
      if (facts.family === 'rsa') {
        const signature = await subject.hsm.sign(key, 'rsa-pss-sha256', messages.short);
        expect(signature).toHaveLength(facts.modulusBits / 8);
      } else if (facts.family === 'ec') {
        const signature = await subject.hsm.sign(key, 'ecdsa-sha256', messages.short, { format: 'p1363' });
        expect(signature).toHaveLength(2 * facts.coordinateBytes);
      }
    }
  });

  test('verification before release changes nothing for a sound token', async () => {
    const key = keys.get('ec-p256') ?? anyKey();
    const signature = await subject.hsm.sign(key, 'ecdsa-sha256', messages.short, { verify: true });
    expect(isValid(key, 'ecdsa-sha256', 'der', messages.short, signature)).toBe(true);
  });
});

describe('what the token signs, openssl verifies', () => {
  const pss = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:digest'];
  test.each([
    ['ec-p256', 'ecdsa-sha256', ['dgst', '-sha256']],
    ['ec-p384', 'ecdsa-sha384', ['dgst', '-sha384']],
    ['ec-p521', 'ecdsa-sha512', ['dgst', '-sha512']],
    ['rsa-2048', 'rsa-pkcs1-sha256', ['dgst', '-sha256']],
    ['rsa-3072', 'rsa-pkcs1-sha384', ['dgst', '-sha384']],
    ['rsa-2048', 'rsa-pss-sha256', ['dgst', '-sha256', ...pss]],
    ['rsa-4096', 'rsa-pss-sha512', ['dgst', '-sha512', ...pss]],
    ['ed25519', 'ed25519', ['pkeyutl']],
  ] as const)('%s, %s', async (algorithm, scheme, command) => {
    const key = keys.get(algorithm);
    if (key === undefined) return expect(subject.offers(algorithm)).toBe(false);
    const signature = await subject.hsm.sign(key, scheme, messages.short);
    expect(opensslVerify(key, command, signature)).toMatch(/Verified OK|Signature Verified Successfully/);
  });

  function opensslVerify(key: HsmKey, command: readonly string[], signature: Buffer): string {
    const file = (name: string) => join(subject.config.stateDirectory, name);
    writeFileSync(file('key.pem'), key.publicKey?.export({ type: 'spki', format: 'pem' }) ?? '');
    writeFileSync(file('message'), messages.short);
    writeFileSync(file('signature'), signature);
    const args =
      command[0] === 'dgst'
        ? [...command, '-verify', file('key.pem'), '-signature', file('signature'), file('message')]
        : [
            'pkeyutl',
            '-verify',
            '-pubin',
            '-inkey',
            file('key.pem'),
            '-rawin',
            '-in',
            file('message'),
            '-sigfile',
            file('signature'),
          ];
    return execFileSync('openssl', args, { encoding: 'utf8' });
  }
});

describe('refused', () => {
  test.each([
    ['a digest that is too short', 'ec-p256', 'ecdsa-sha256', Buffer.alloc(31), { input: 'digest' }],
    ['a digest that is too long', 'rsa-2048', 'rsa-pkcs1-sha256', Buffer.alloc(48), { input: 'digest' }],
    ['an empty digest', 'ec-p256', 'ecdsa-sha384', Buffer.alloc(0), { input: 'digest' }],
    ['a digest for Ed25519', 'ed25519', 'ed25519', Buffer.alloc(64), { input: 'digest' }],
    ['a scheme of another family', 'ec-p256', 'rsa-pss-sha256', messages.short, {}],
    ['an EC scheme on an RSA key', 'rsa-2048', 'ecdsa-sha256', messages.short, {}],
    ['a message beyond 1 MiB', 'ec-p256', 'ecdsa-sha256', Buffer.alloc((1 << 20) + 1), {}],
  ] as const)('%s', async (_name, algorithm, scheme, data, options) => {
    const key = keys.get(algorithm);
    if (key === undefined) return expect(subject.offers(algorithm)).toBe(false);
    await expect(subject.hsm.sign(key, scheme, data, options)).rejects.toMatchObject({
      code: 'ERR_HSM_ARGUMENT_INVALID',
      fault: 'caller',
      retryable: false,
    });
    expect(await subject.hsm.sign(anyKey(), 'ecdsa-sha256', messages.short)).toBeInstanceOf(Buffer);
  });

  test('a key that is not on the token', async () => {
    const absent = { ...anyKey(), id: randomBytes(16).toString('hex') as KeyId };
    await expect(subject.hsm.sign(absent, 'ecdsa-sha256', messages.short)).rejects.toMatchObject({
      code: 'ERR_HSM_KEY_NOT_FOUND',
    });
  });
});

function variants(scheme: SignatureScheme): { input: SignatureInput; format: EcdsaSignatureFormat }[] {
  switch (signatureSchemes[scheme].family) {
    case 'ec':
      return [
        { input: 'message', format: 'der' },
        { input: 'message', format: 'p1363' },
        { input: 'digest', format: 'der' },
        { input: 'digest', format: 'p1363' },
      ];
    case 'rsa':
      return [
        { input: 'message', format: 'der' },
        { input: 'digest', format: 'der' },
      ];
    case 'edwards':
      return [{ input: 'message', format: 'der' }];
  }
}

function anyKey(): HsmKey {
  const key = keys.get('ec-p256');
  if (key === undefined) throw new Error('contract: want a token that makes P-256 keys');
  return key;
}

function digestOf(scheme: SignatureScheme, message: Buffer): Buffer {
  const facts = signatureSchemes[scheme];
  return 'hash' in facts ? createHash(facts.hash).update(message).digest() : message;
}

function isValid(
  key: HsmKey,
  scheme: SignatureScheme,
  format: EcdsaSignatureFormat,
  message: Buffer,
  signature: Buffer,
): boolean {
  if (key.publicKey === undefined) throw new Error(`${key.label}: want a public key`);
  const facts = signatureSchemes[scheme];
  switch (facts.family) {
    case 'ec': {
      const dsaEncoding = format === 'der' ? 'der' : 'ieee-p1363';
      return verify(facts.hash, message, { key: key.publicKey, dsaEncoding }, signature);
    }
    case 'rsa': {
      const padding = facts.padding === 'pss' ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING;
      const saltLength = facts.padding === 'pss' ? facts.digestBytes : undefined;
      return verify(facts.hash, message, { key: key.publicKey, padding, saltLength }, signature);
    }
    case 'edwards':
      return verify(null, message, key.publicKey, signature);
  }
}
