/**
 * Wycheproof vectors through the token path. The verbs of `Hsm` bring no key bytes onto a token, so a bare PKCS#11 client puts
 * each vector's key on a throw-away SoftHSM token, with the role, the id and the attributes that the library asks for, and
 * the library then uses it as any key of its own:
 *
 *   AES-GCM    `decrypt`    256-bit keys. 96-bit nonces must be right; others, right or refused. Smaller keys: no such role
 *   HMAC       `mac`        256-bit keys; a truncated tag is compared with as many bytes
 *   AES-KW/KWP `unwrapKey`  256-bit wrapping keys. 32-byte contents become a KEK, proven equal by what it encrypts; contents
 *                           of any other length are not a key of ours and are refused, like all invalid vectors
 *   signatures `sign`       the token makes none of the vectors' signatures, so node:crypto verifies what it signs, and the
 *                           vectors hold node:crypto itself to account: ECDSA (DER, P1363), RSA PKCS#1 and PSS, Ed25519
 */
import { constants, createDecipheriv, createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { Hsm, HsmError, type HsmKey, type KeyId, type WrappingAlgorithm } from '@nest-hsm/hsm';
import { type ImportedKey, importSecretKeys } from '../support/raw-token.js';
import { TestToken } from '../support/token.js';
import { readVectors, type SignatureVector, vectorsPresent } from '../vectors/wycheproof.js';

const bytes = (hex: string) => Buffer.from(hex, 'hex');
/** What a vector's key is found by: the vector of that key may appear in several groups. */
const idOf = (key: string) => createHash('sha256').update(bytes(key)).digest('hex').slice(0, 32) as KeyId;

const roles = {
  encrypt: { type: 'CKK_AES', usage: ['ENCRYPT', 'DECRYPT'], mechanisms: ['CKM_AES_GCM'] },
  wrap: { type: 'CKK_AES', usage: ['WRAP', 'UNWRAP'], mechanisms: ['CKM_AES_KEY_WRAP', 'CKM_AES_KEY_WRAP_PAD'] },
  mac: { type: 'CKK_GENERIC_SECRET', usage: ['SIGN', 'VERIFY'], mechanisms: ['CKM_SHA256_HMAC'] },
} as const satisfies Record<string, Pick<ImportedKey, 'type' | 'usage' | 'mechanisms'>>;

const suite = vectorsPresent ? describe : describe.skip;
if (!vectorsPresent)
  process.stderr.write('Wycheproof: skipped, no vectors here (set NEST_HSM_VECTORS to their folder)\n');

suite('Wycheproof through the token', () => {
  let token: TestToken;
  let hsm: Hsm;

  beforeEach(async () => {
    token = new TestToken('wycheproof');
    hsm = await Hsm.open(token.config());
  });
  afterEach(async () => {
    await hsm.close();
    token.remove();
  });

  function importKeys(role: keyof typeof roles, keys: readonly string[]): void {
    const unique = [...new Set(keys)];
    importSecretKeys(
      token,
      unique.map((value) => ({ ...roles[role], value, id: idOf(value), label: `vector-${role}` })),
    );
  }

  test('AES-GCM', async () => {
    const groups = readVectors('aes_gcm').filter(({ keySize, tagSize }) => keySize === 256 && tagSize === 128);
    // The envelope gives the nonce's length in one byte.
    const vectors = groups.flatMap(({ ivSize, tests }) =>
      ivSize < 256 * 8 ? tests.map((each) => ({ ...each, ivSize })) : [],
    );
    expect(vectors.length).toBeGreaterThan(80);
    importKeys(
      'encrypt',
      vectors.map(({ key }) => key),
    );

    const wrong: number[] = [];
    for (const { tcId, ivSize, key, iv, aad, ct, tag, msg, result } of vectors) {
      const kek = await hsm.findKey({ id: idOf(key) });
      const envelope = Buffer.concat([Buffer.of(ivSize / 8), bytes(iv), bytes(ct), bytes(tag)]);
      const outcome = await attempt(hsm.decrypt(kek, envelope, { aad: bytes(aad) }));
      const isRight = result === 'valid' && outcome instanceof Buffer && outcome.equals(bytes(msg));
      const isRefused = outcome === 'ERR_HSM_DECRYPTION_FAILED';
      const isExpected = result === 'valid' ? isRight || (ivSize !== 96 && isRefused) : isRefused;
      if (!isExpected) wrong.push(tcId);
    }
    expect(wrong).toEqual([]);
  });

  test('HMAC-SHA-256', async () => {
    const vectors = readVectors('hmac_sha256').flatMap(({ keySize, tests }) => (keySize === 256 ? tests : []));
    expect(vectors.length).toBeGreaterThan(150);
    importKeys(
      'mac',
      vectors.map(({ key }) => key),
    );

    const wrong: number[] = [];
    for (const { tcId, key, msg, tag, result } of vectors) {
      const mac = await hsm.mac(await hsm.findKey({ id: idOf(key) }), bytes(msg));
      const isEqual = mac.subarray(0, tag.length / 2).equals(bytes(tag));
      if (isEqual !== (result === 'valid')) wrong.push(tcId);
    }
    expect(wrong).toEqual([]);
  });

  test.each([
    ['aes-kw', 'aes_wrap'],
    ['aes-kwp', 'aes_kwp'],
  ] as const)('%s', async (algorithm, file) => {
    const vectors = readVectors(file).flatMap(({ keySize, tests }) => (keySize === 256 ? tests : []));
    expect(vectors.length).toBeGreaterThan(60);
    importKeys(
      'wrap',
      vectors.map(({ key }) => key),
    );

    const wrong: string[] = [];
    let unwrapped = 0;
    for (const { tcId, key, ct, msg, result, comment } of vectors) {
      const wrappingKey = await hsm.findKey({ id: idOf(key) });
      const outcome = await attempt(unwrapAndUse(wrappingKey, algorithm, bytes(ct), bytes(msg)));
      const isKey = result === 'valid' && msg.length === 64;
      const isRefusal = outcome === 'ERR_HSM_DECRYPTION_FAILED' || outcome === 'ERR_HSM_ARGUMENT_INVALID';
      if (isKey ? outcome !== 'the same key' : !isRefusal)
        wrong.push(`${tcId} ${result} ${comment}: ${String(outcome)}`);
      if (isKey) unwrapped++;
    }
    expect(wrong).toEqual([]);
    expect(unwrapped).toBeGreaterThan(0);
    expect(await hsm.listKeys({ usage: 'encrypt' })).toEqual([]);
  });

  /** Unwraps a KEK and has it encrypt something that the vector's own key bytes must decrypt. */
  async function unwrapAndUse(wrappingKey: HsmKey, algorithm: WrappingAlgorithm, wrapped: Buffer, content: Buffer) {
    const kind = { label: 'unwrapped', algorithm: 'aes-256', usage: 'encrypt' } as const;
    const key = await hsm.unwrapKey(wrapped, wrappingKey, algorithm, kind);
    try {
      const data = randomBytes(20);
      const envelope = await hsm.encrypt(key, data);
      const decipher = createDecipheriv('aes-256-gcm', content, envelope.subarray(1, 13));
      decipher.setAuthTag(envelope.subarray(-16));
      const plaintext = Buffer.concat([decipher.update(envelope.subarray(13, -16)), decipher.final()]);
      return plaintext.equals(data) ? 'the same key' : 'another key';
    } finally {
      await hsm.destroyKey(key);
    }
  }
});

suite('Wycheproof against node:crypto, which verifies what the token signs', () => {
  type Options = Omit<Parameters<typeof verify>[2] & object, 'key'>;
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  test.each<[Parameters<typeof readVectors>[0], string | null, Options]>([
    ['ecdsa_secp256r1_sha256', 'sha256', {}],
    ['ecdsa_secp256r1_sha256_p1363', 'sha256', { dsaEncoding: 'ieee-p1363' }],
    ['ecdsa_secp384r1_sha384', 'sha384', {}],
    ['rsa_signature_2048_sha256', 'sha256', { padding: constants.RSA_PKCS1_PADDING }],
    ['rsa_pss_2048_sha256_mgf1_32', 'sha256', pss],
    ['ed25519', null, {}],
  ])('%s', (file, hash, options) => {
    const wrong: number[] = [];
    for (const { publicKeyDer, tests } of readVectors(file)) {
      const key = createPublicKey({ key: bytes(publicKeyDer), format: 'der', type: 'spki' });
      for (const { tcId, msg, sig, result } of tests as readonly SignatureVector[]) {
        const isValid = verify(hash, bytes(msg), { key, ...options }, bytes(sig));
        if (result !== 'acceptable' && isValid !== (result === 'valid')) wrong.push(tcId);
      }
    }
    expect(wrong).toEqual([]);
  });
});

/** The result, or the code of the error. */
async function attempt<T>(promise: Promise<T>): Promise<T | string> {
  try {
    return await promise;
  } catch (error) {
    return error instanceof HsmError ? error.code : String(error);
  }
}
